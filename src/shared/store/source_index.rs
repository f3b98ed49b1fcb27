//! The cached index of the source's archives.

use std::path::Path;

use super::layout;
use crate::shared::regular_file;

const MAX_BYTES: u64 = 1 << 32;

/// Returns the cached positions of the images in the source's archives; `None` if it cannot be read, since nothing
/// depends on it.
pub(super) fn read_source_index(store: &Path) -> Option<Vec<u8>> {
    regular_file::read(&store.join(layout::SOURCE_INDEX), MAX_BYTES).ok()?.usable().ok()
}
