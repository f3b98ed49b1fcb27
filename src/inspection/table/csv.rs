//! Tables as CSV. Null is an empty field, numbers have as many digits as are needed for an exact round trip, and
//! items of lists are separated by `;`. Strings that a spreadsheet would read as formulas get a leading `'`.

use std::borrow::Cow;
use std::io::{self, Write};

use super::columns::{ColumnValues, TableColumn};

/// Writes a table as CSV.
pub(super) struct CsvTable<'a, W: Write, R> {
    columns: &'a [TableColumn<R>],
    out: ::csv::Writer<W>,
}

impl<'a, W: Write, R> CsvTable<'a, W, R> {
    /// Writes the header.
    pub(super) fn new(out: W, columns: &'a [TableColumn<R>]) -> io::Result<Self> {
        let mut out = ::csv::Writer::from_writer(out);
        out.write_record(columns.iter().map(|column| &*column.name))?;
        Ok(Self { columns, out })
    }

    pub(super) fn write(&mut self, rows: &[R]) -> io::Result<()> {
        for row in rows {
            for column in self.columns {
                match column.values {
                    ColumnValues::Texts(text) => {
                        self.out.write_field(&*escape_formula(text(row).unwrap_or_default()))?;
                    }
                    ColumnValues::Integers(number) => self.out.write_field(field(number(row)))?,
                    ColumnValues::Reals(number) => self.out.write_field(field(number(row)))?,
                    ColumnValues::Doubles(number) => self.out.write_field(field(number(row)))?,
                    ColumnValues::IntegersAt(number, at) => self.out.write_field(field(number(row, at)))?,
                    ColumnValues::DoublesAt(number, at) => self.out.write_field(field(number(row, at)))?,
                    ColumnValues::TextLists(texts) => {
                        let texts: Vec<_> = texts(row).unwrap_or_default().into_iter().map(escape_formula).collect();
                        self.out.write_field(texts.join(";"))?;
                    }
                    ColumnValues::RealLists(numbers) => self.out.write_field(list_field(numbers(row)))?,
                    ColumnValues::IntegerLists(numbers) => self.out.write_field(list_field(numbers(row)))?,
                }
            }
            self.out.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Adds a leading `'` to a string that a spreadsheet would read as a formula.
fn escape_formula(text: &str) -> Cow<'_, str> {
    const FORMULA_STARTS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];
    if text.starts_with(FORMULA_STARTS) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

fn list_field<T: ToString>(numbers: Option<&[T]>) -> String {
    numbers.unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(";")
}

fn field(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
