//! Tables written as Parquet, CSV or JSON from one list of columns.

mod columns;
mod parquet;
mod csv;
mod json;
mod table_writer;
mod table_file;

pub use columns::{ColumnValues, Table, TableColumn};
pub use table_file::{TableDrafts, TableFile};
pub use table_writer::{TableFormat, TableWriter};
