//! Tables written as Parquet, CSV or JSON from one list of columns.

mod columns;
mod parquet;
mod csv;
mod json;
mod table_writer;

pub use columns::{ColumnValues, Table, TableColumn};
pub use table_writer::{TableFormat, TableWriter};
