//! What a table's columns are called, and how each row gives its values.

/// A column of rows of type `R`.
pub struct Column<R> {
    pub(crate) name: &'static str,
    pub(crate) values: Values<R>,
    pub(crate) is_nullable: bool,
}

/// The values of a column: how each row gives its own.
pub enum Values<R> {
    /// Parquet's `int64`.
    Integers(fn(&R) -> Option<usize>),
    /// Parquet's `float`.
    Reals(fn(&R) -> Option<f32>),
    /// Parquet's `string`.
    Texts(fn(&R) -> Option<&str>),
    /// Lists of texts; an empty list is not the same as none.
    TextLists(fn(&R) -> Option<Vec<&str>>),
    /// Lists of numbers.
    RealLists(fn(&R) -> Option<&[f32]>),
}

impl<R> Column<R> {
    /// A column that has a value in every row.
    #[must_use]
    pub fn always(name: &'static str, values: Values<R>) -> Self {
        Self { name, values, is_nullable: false }
    }

    /// A column that has none in some rows.
    #[must_use]
    pub fn nullable(name: &'static str, values: Values<R>) -> Self {
        Self { name, values, is_nullable: true }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}
