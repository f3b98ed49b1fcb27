//! Tables as JSON: a list of objects, each on a line of its own.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::columns::{Column, Values};
use super::pred_probs::PRED_PROBS;

/// Writes a table, rows after rows.
pub(super) struct JsonTable<'a, W: Write, R> {
    columns: &'a [Column<R>],
    out: W,
    is_empty: bool,
}

impl<'a, W: Write, R> JsonTable<'a, W, R> {
    pub(super) fn new(mut out: W, columns: &'a [Column<R>]) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { columns, out, is_empty: true })
    }

    /// Writes rows, with the pooled probabilities of all classes, row by row, if the table has them.
    pub(super) fn write(&mut self, rows: &[R], pred_probs: Option<&[f32]>) -> io::Result<()> {
        let per_row = pred_probs.map_or(0, |probs| probs.len() / rows.len().max(1));
        for (at, row) in rows.iter().enumerate() {
            self.out.write_all(if self.is_empty { b"\n" } else { b",\n" })?;
            self.is_empty = false;
            let pred_probs = pred_probs.map(|probs| &probs[at * per_row..(at + 1) * per_row]);
            serde_json::to_writer(&mut self.out, &RowObject { columns: self.columns, row, pred_probs })?;
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
    pred_probs: Option<&'a [f32]>,
}

impl<R> Serialize for RowObject<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for column in self.columns {
            match column.values {
                Values::Integers(number) => object.serialize_entry(column.name, &number(self.row))?,
                Values::Reals(number) => object.serialize_entry(column.name, &number(self.row))?,
                Values::Texts(text) => object.serialize_entry(column.name, &text(self.row))?,
            }
        }
        if let Some(probs) = self.pred_probs {
            object.serialize_entry(PRED_PROBS, probs)?;
        }
        object.end()
    }
}
