//! Tables as JSON: a list of objects, each on a line of its own.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Column, Table, Values};

/// Writes a table, rows after rows.
pub(super) struct JsonTable<'a, W: Write, R> {
    columns: &'a [Column<R>],
    block_name: &'static str,
    out: W,
    is_empty: bool,
}

impl<'a, W: Write, R> JsonTable<'a, W, R> {
    pub(super) fn new(mut out: W, table: &Table<'a, R>) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { columns: table.columns, block_name: table.block.unwrap_or_default(), out, is_empty: true })
    }

    pub(super) fn write(&mut self, rows: &[R], block: Option<&[f32]>) -> io::Result<()> {
        let per_row = block.map_or(0, |values| values.len() / rows.len().max(1));
        for (at, row) in rows.iter().enumerate() {
            self.out.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
            self.is_empty = false;
            let block = block.map(|values| (self.block_name, &values[at * per_row..(at + 1) * per_row]));
            serde_json::to_writer(&mut self.out, &RowObject { columns: self.columns, row, block })?;
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]")
    }
}

struct RowObject<'a, R> {
    columns: &'a [Column<R>],
    row: &'a R,
    block: Option<(&'static str, &'a [f32])>,
}

impl<R> Serialize for RowObject<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for column in self.columns {
            match column.values {
                Values::Integers(number) => object.serialize_entry(column.name, &number(self.row))?,
                Values::Reals(number) => object.serialize_entry(column.name, &number(self.row))?,
                Values::Texts(text) => object.serialize_entry(column.name, &text(self.row))?,
                Values::TextLists(texts) => object.serialize_entry(column.name, &texts(self.row))?,
                Values::RealLists(numbers) => object.serialize_entry(column.name, &numbers(self.row))?,
            }
        }
        if let Some((name, values)) = self.block {
            object.serialize_entry(name, values)?;
        }
        object.end()
    }
}
