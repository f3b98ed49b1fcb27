//! Tables as JSON: an array of objects, one per line.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::columns::{ColumnValues, Table, TableColumn};

/// Writes a table as JSON.
pub(super) struct JsonTable<'a, W: Write, R> {
    columns: &'a [TableColumn<R>],
    list_column: &'static str,
    out: W,
    is_empty: bool,
}

impl<'a, W: Write, R> JsonTable<'a, W, R> {
    pub(super) fn new(mut out: W, table: &Table<'a, R>) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { columns: table.columns, list_column: table.list_column.unwrap_or_default(), out, is_empty: true })
    }

    pub(super) fn write(&mut self, rows: &[R], lists: Option<&[f32]>) -> io::Result<()> {
        let list_len = lists.map_or(0, |values| values.len() / rows.len().max(1));
        for (at, row) in rows.iter().enumerate() {
            self.out.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
            self.is_empty = false;
            let list = lists.map(|values| (self.list_column, &values[at * list_len..(at + 1) * list_len]));
            serde_json::to_writer(&mut self.out, &RowObject { columns: self.columns, row, list })?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]")
    }
}

struct RowObject<'a, R> {
    columns: &'a [TableColumn<R>],
    row: &'a R,
    list: Option<(&'static str, &'a [f32])>,
}

impl<R> Serialize for RowObject<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for column in self.columns {
            match column.values {
                ColumnValues::Integers(number) => object.serialize_entry(&*column.name, &number(self.row))?,
                ColumnValues::Reals(number) => object.serialize_entry(&*column.name, &number(self.row))?,
                ColumnValues::Doubles(number) => object.serialize_entry(&*column.name, &number(self.row))?,
                ColumnValues::IntegersAt(number, at) => object.serialize_entry(&*column.name, &number(self.row, at))?,
                ColumnValues::DoublesAt(number, at) => object.serialize_entry(&*column.name, &number(self.row, at))?,
                ColumnValues::Texts(text) => object.serialize_entry(&*column.name, &text(self.row))?,
                ColumnValues::TextLists(texts) => object.serialize_entry(&*column.name, &texts(self.row))?,
                ColumnValues::RealLists(numbers) => object.serialize_entry(&*column.name, &numbers(self.row))?,
                ColumnValues::IntegerLists(numbers) => object.serialize_entry(&*column.name, &numbers(self.row))?,
            }
        }
        if let Some((name, values)) = self.list {
            object.serialize_entry(name, values)?;
        }
        object.end()
    }
}
