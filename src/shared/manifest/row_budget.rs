//! How much memory the rows of a Parquet file may take.

/// Memory that a file's rows may take, however short the file is.
const ALWAYS_BYTES: u64 = 16 << 20;
/// Memory that each byte of a file may stand for. A million sequential names, written so that they take the least, have 1,600.
const BYTES_PER_FILE_BYTE: u64 = 2000;
/// A row without its texts.
const ROW_BYTES: u64 = 64;

/// What is left of the memory that a file's rows may take. In Parquet a few bytes stand for any number of equal rows.
#[derive(Debug)]
pub(crate) struct RowBudget {
    file_bytes: u64,
    left_bytes: u64,
}

impl RowBudget {
    /// The budget of a file of this length.
    pub(crate) fn of_file(file_bytes: u64) -> Self {
        Self { file_bytes, left_bytes: ALWAYS_BYTES.max(file_bytes.saturating_mul(BYTES_PER_FILE_BYTE)) }
    }

    /// Takes the memory of one row with so many bytes of text.
    ///
    /// # Errors
    /// Returns a refusal if the rows take more than the file's length can stand for.
    pub(crate) fn take(&mut self, text_bytes: usize) -> Result<(), String> {
        let left = self.left_bytes.checked_sub(ROW_BYTES + text_bytes as u64);
        self.left_bytes = left.ok_or_else(|| {
            format!(
                "its {} bytes unpack to more rows than a list of so few bytes has: it is damaged, or was made to fill the memory",
                self.file_bytes
            )
        })?;
        Ok(())
    }
}
