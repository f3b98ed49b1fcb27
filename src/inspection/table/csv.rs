//! Tables as CSV: no value is an empty field, numbers have as many digits as tell them apart, and the items of a
//! list are parted by `;`. Texts that a spreadsheet would take for formulas get a `'` before them.

use std::borrow::Cow;
use std::io::{self, Write};

use super::{Column, Values};

/// Writes a table, rows after rows.
pub(super) struct CsvTable<'a, W: Write, R> {
    columns: &'a [Column<R>],
    out: ::csv::Writer<W>,
}

impl<'a, W: Write, R> CsvTable<'a, W, R> {
    /// Writes the header.
    pub(super) fn new(out: W, columns: &'a [Column<R>]) -> io::Result<Self> {
        let mut out = ::csv::Writer::from_writer(out);
        out.write_record(columns.iter().map(|column| column.name))?;
        Ok(Self { columns, out })
    }

    pub(super) fn write(&mut self, rows: &[R]) -> io::Result<()> {
        for row in rows {
            for column in self.columns {
                match column.values {
                    Values::Texts(text) => self.out.write_field(&*plain(text(row).unwrap_or_default()))?,
                    Values::Integers(number) => self.out.write_field(field(number(row)))?,
                    Values::Reals(number) => self.out.write_field(field(number(row)))?,
                    Values::TextLists(texts) => {
                        let texts: Vec<_> = texts(row).unwrap_or_default().into_iter().map(plain).collect();
                        self.out.write_field(texts.join(";"))?;
                    }
                    Values::RealLists(numbers) => {
                        let numbers = numbers(row).unwrap_or_default().iter();
                        self.out.write_field(numbers.map(ToString::to_string).collect::<Vec<_>>().join(";"))?;
                    }
                }
            }
            self.out.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A text that no spreadsheet takes for a formula: one that begins as a formula does gets a `'` before it.
fn plain(text: &str) -> Cow<'_, str> {
    const BEGIN_FORMULAS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];
    if text.starts_with(BEGIN_FORMULAS) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

fn field(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
