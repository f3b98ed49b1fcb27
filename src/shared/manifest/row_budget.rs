//! How much memory the rows of a Parquet file may take.

use crate::shared::numbers::bytes;

/// Memory that a file's rows may take, however short the file is.
const MIN_BUDGET_BYTES: u64 = 16 << 20;
/// Memory that each byte of a file may expand to. A million sequential names, written so that they take the least, have 1,600.
const BYTES_PER_FILE_BYTE: u64 = 2000;
/// Memory of a row without its strings.
const ROW_BYTES: u64 = 64;

/// Memory left for the rows of a file. In Parquet a few bytes can expand to any number of equal rows.
#[derive(Debug)]
pub(crate) struct RowBudget {
    file_bytes: u64,
    left_bytes: u64,
}

/// A file whose rows take more memory than a file of its length should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} expand to more rows than a list of this size has: the file is damaged, or was made to exhaust memory\n  help: write the list again, or pass a different one",
    bytes(*file_bytes)
)]
pub struct RowBudgetError {
    file_bytes: u64,
}

impl RowBudget {
    /// Returns the budget of a file of this length.
    pub(crate) fn for_file(file_bytes: u64) -> Self {
        Self { file_bytes, left_bytes: MIN_BUDGET_BYTES.max(file_bytes.saturating_mul(BYTES_PER_FILE_BYTE)) }
    }

    /// Takes the memory of one row with strings of `text_bytes` in total.
    ///
    /// # Errors
    /// Returns [`RowBudgetError`] if the budget is exhausted.
    pub(crate) fn take(&mut self, text_bytes: usize) -> Result<(), RowBudgetError> {
        let left = self.left_bytes.checked_sub(ROW_BYTES + text_bytes as u64);
        self.left_bytes = left.ok_or(RowBudgetError { file_bytes: self.file_bytes })?;
        Ok(())
    }
}
