//! Definition of a table: its columns, and how each row yields their values.

use std::borrow::Cow;

/// Definition of a table with rows of type `R`.
pub struct Table<'a, R> {
    /// Name of the Parquet schema.
    pub name: &'static str,
    /// The columns, in order.
    pub columns: &'a [TableColumn<R>],
    /// Name of a last column of lists of equal length. Its values are passed as one slice, not row by row. CSV omits it.
    pub list_column: Option<&'static str>,
}

/// A column of rows of type `R`.
pub struct TableColumn<R> {
    pub(super) name: Cow<'static, str>,
    pub(super) values: ColumnValues<R>,
    pub(super) is_nullable: bool,
}

/// Type of a column, and the function that returns the value of a row.
pub enum ColumnValues<R> {
    /// Parquet's `int64`.
    Integers(fn(&R) -> Option<usize>),
    /// Parquet's `float`.
    Reals(fn(&R) -> Option<f32>),
    /// Parquet's `double`.
    Doubles(fn(&R) -> Option<f64>),
    /// `int64`: the number at a position of the row. For columns that are alike.
    IntegersAt(fn(&R, usize) -> Option<usize>, usize),
    /// `double`: the number at a position of the row.
    DoublesAt(fn(&R, usize) -> Option<f64>, usize),
    /// Parquet's `string`.
    Texts(fn(&R) -> Option<&str>),
    /// Lists of strings. An empty list differs from null.
    TextLists(fn(&R) -> Option<Vec<&str>>),
    /// Lists of numbers.
    RealLists(fn(&R) -> Option<&[f32]>),
    /// Lists of integers, such as class ids.
    IntegerLists(fn(&R) -> Option<&[u32]>),
}

impl<R> TableColumn<R> {
    /// Creates a column with a value in every row.
    #[must_use]
    pub fn required(name: impl Into<Cow<'static, str>>, values: ColumnValues<R>) -> Self {
        Self { name: name.into(), values, is_nullable: false }
    }

    /// Creates a column that is null in some rows.
    #[must_use]
    pub fn nullable(name: impl Into<Cow<'static, str>>, values: ColumnValues<R>) -> Self {
        Self { name: name.into(), values, is_nullable: true }
    }

    /// Returns the name of the column.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}
