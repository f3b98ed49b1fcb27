//! The index at the end of a shard's file, in the layout of Zarr's `sharding_indexed`: offset and length of each inner
//! chunk, 64 bits each, little-endian; then a CRC-32C.

use super::store_error::StoreError;

/// The inner chunks of one file.
#[derive(Debug)]
pub(super) struct ShardIndex {
    chunks: Vec<Option<InnerChunk>>,
}

/// Position of an inner chunk in its file. It ends before the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InnerChunk {
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

impl ShardIndex {
    /// Length of an index of `shard_images` images.
    pub(super) const fn bytes(shard_images: usize) -> usize {
        shard_images * 16 + 4
    }

    /// Parses the index of a file whose digest was verified. `chunks_end` is where the index begins in the file.
    pub(super) fn parse(bytes: &[u8], chunks_end: u64) -> Result<Self, StoreError> {
        let entry = |at: usize, entry: &[u8; 16]| {
            let [offset, length] = [0, 8].map(|half| {
                let mut number = [0; 8];
                number.copy_from_slice(&entry[half..half + 8]);
                u64::from_le_bytes(number)
            });
            if offset == u64::MAX && length == u64::MAX {
                return Ok(None);
            }
            match offset.checked_add(length) {
                Some(end) if end <= chunks_end => Ok(Some(InnerChunk { offset, bytes: length as usize })),
                _ => Err(StoreError::IndexEntry { image: at, offset, bytes: length, end: chunks_end }),
            }
        };
        let entries = bytes.as_chunks::<16>().0.iter().enumerate();
        let chunks = entries.map(|(at, bytes)| entry(at, bytes)).collect::<Result<_, _>>()?;
        Ok(Self { chunks })
    }

    /// Parses the index of a file whose digest was not verified, and verifies the index's own checksum.
    pub(super) fn parse_verified(bytes: &[u8], chunks_end: u64) -> Result<Self, StoreError> {
        let Some((entries, checksum)) = bytes.split_last_chunk::<4>() else {
            return Err(StoreError::IndexLength(bytes.len()));
        };
        if crc32c::crc32c(entries) != u32::from_le_bytes(*checksum) {
            return Err(StoreError::IndexChecksum);
        }
        Self::parse(bytes, chunks_end)
    }

    /// Returns the inner chunk of the image at this position in the shard; `None` if it has none.
    pub(super) fn chunk(&self, at: usize) -> Option<InnerChunk> {
        self.chunks.get(at).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(entries: &[(u64, u64)]) -> Vec<u8> {
        let numbers = entries.iter().flat_map(|(offset, length)| [*offset, *length]);
        numbers.flat_map(u64::to_le_bytes).chain([0; 4]).collect()
    }

    #[test]
    fn chunks_are_found_and_missing_ones_are_none() {
        let bytes = index(&[(0, 10), (u64::MAX, u64::MAX), (10, 5)]);
        assert_eq!(bytes.len(), ShardIndex::bytes(3));
        let index = ShardIndex::parse(&bytes, 15).unwrap();
        let found: Vec<_> = (0..4).map(|at| index.chunk(at).map(|chunk| (chunk.offset, chunk.bytes))).collect();
        assert_eq!(found, [Some((0, 10)), None, Some((10, 5)), None]);
    }

    #[test]
    fn an_index_is_verified_by_its_checksum() {
        let mut bytes = index(&[(0, 10)]);
        assert!(ShardIndex::parse_verified(&bytes, 10).is_err());
        let checksum = crc32c::crc32c(&bytes[..16]).to_le_bytes();
        bytes[16..].copy_from_slice(&checksum);
        assert!(ShardIndex::parse_verified(&bytes, 10).unwrap().chunk(0).is_some());
        bytes[0] ^= 1;
        assert!(ShardIndex::parse_verified(&bytes, 10).is_err() && ShardIndex::parse_verified(&[0; 3], 10).is_err());
    }

    #[test]
    fn chunks_outside_of_the_file_are_refused() {
        for bad in [(0, 16), (15, 1), (u64::MAX, 1), (1, u64::MAX), (u64::MAX - 1, 3)] {
            assert!(ShardIndex::parse(&index(&[bad]), 15).is_err(), "{bad:?}");
        }
    }
}
