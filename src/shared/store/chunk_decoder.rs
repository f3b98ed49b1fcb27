//! Decodes the chunks of shards. A chunk is the smallest unit with a checksum of its own.

use std::sync::Arc;

use zarrs::array::ArrayToBytesCodecTraits as _;
use zarrs::array::{Array, CodecOptions};
use zarrs::storage::store::MemoryStore;
use zstd::bulk::Decompressor;

use super::array_metadata::ChunkLayout;
use super::info::StoreInfo;
use super::layout::StoreArray;
use super::store_error::StoreError;

/// Decoders of the arrays of a store.
pub(super) struct ChunkDecoders {
    /// By [`StoreArray`]; `None` for arrays that the store does not have.
    arrays: Vec<Option<Array<MemoryStore>>>,
}

/// Buffers that are reused for each image. Every thread needs its own.
#[derive(Default)]
pub struct DecodeScratch {
    zstd: Option<Decompressor<'static>>,
}

impl ChunkDecoders {
    pub(super) fn new(info: &StoreInfo) -> Result<Self, StoreError> {
        let storage = Arc::new(MemoryStore::new());
        let stored = StoreArray::stored_in(info);
        let decoder = |array: StoreArray| {
            if !stored.contains(&array) {
                return Ok(None);
            }
            let chunks = if array.is_map() { ChunkLayout::ImagesOfCells } else { ChunkLayout::Shards };
            array.open(info, Arc::clone(&storage), chunks).map(Some)
        };
        Ok(Self { arrays: StoreArray::ALL.into_iter().map(decoder).collect::<Result<_, _>>()? })
    }

    /// Decodes an image's inner chunk (`[y, x, k]`) or, of arrays without inner chunks, a shard's chunk, into native byte
    /// order. The chunk is decoded completely, since zarrs ignores checksums when it decodes subsets (test
    /// `readers::a_flipped_bit_is_an_error`), and in this thread, since a forked process has no others.
    pub(super) fn decode(
        &self,
        array: StoreArray,
        encoded: Vec<u8>,
        scratch: &mut DecodeScratch,
    ) -> Result<Vec<u8>, StoreError> {
        let decoder = self.arrays[array as usize].as_ref().ok_or(StoreError::NoArray(array.name()))?;
        let first = vec![0; decoder.dimensionality()];
        let shape = decoder.chunk_shape(&first).map_err(StoreError::codec("decode its chunk"))?;
        let values: u64 = shape.iter().map(|side| side.get()).product();
        let bytes = values as usize * decoder.data_type().fixed_size().unwrap_or_default();
        if array.is_map() && !array.has_class_ids() {
            check_blosc(&encoded, bytes)?;
        } else if cfg!(target_endian = "little") {
            return scratch.decode_zstd_crc32c(&encoded, bytes);
        }
        let mut options = CodecOptions::default();
        options.set_concurrent_target(1);
        let decoded = decoder
            .codecs()
            .decode(encoded.into(), &shape, decoder.data_type(), decoder.fill_value(), &options)
            .map_err(StoreError::codec("decode its chunk"))?;
        Ok(decoded.into_fixed().map_err(StoreError::codec("decode its chunk"))?.into_owned())
    }
}

/// Checks the decoded length in the header of a blosc chunk, since the codec allocates that much.
fn check_blosc(encoded: &[u8], expected: usize) -> Result<(), StoreError> {
    let header = encoded.first_chunk::<16>().ok_or(StoreError::ShortChunk(encoded.len()))?;
    let bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if bytes == expected { Ok(()) } else { Err(StoreError::ChunkBytes { bytes, expected }) }
}

impl DecodeScratch {
    /// Decodes the codecs `zstd` and `crc32c`. zarrs creates a zstd context for each chunk, which takes longer than
    /// decompressing it, and allocates any decompressed length.
    fn decode_zstd_crc32c(&mut self, encoded: &[u8], expected: usize) -> Result<Vec<u8>, StoreError> {
        let Some((content, checksum)) = encoded.split_last_chunk::<4>() else {
            return Err(StoreError::ShortChunk(encoded.len()));
        };
        let (computed, stated) = (crc32c::crc32c(content), u32::from_le_bytes(*checksum));
        if computed != stated {
            return Err(StoreError::ChunkChecksum { computed, stated });
        }
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            None => self.zstd.insert(Decompressor::new().map_err(StoreError::codec("decode its chunk"))?),
        };
        let decoded = zstd.decompress(content, expected).map_err(StoreError::codec("decode its chunk"))?;
        if decoded.len() == expected {
            Ok(decoded)
        } else {
            Err(StoreError::ChunkBytes { bytes: decoded.len(), expected })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_longer_than_the_array_are_refused_before_they_are_decompressed() {
        let zeros = vec![0; 100 << 20];
        for bytes in [10, 1000, 100 << 20] {
            let mut encoded = zstd::bulk::compress(&zeros, 3).unwrap();
            encoded.extend(crc32c::crc32c(&encoded).to_le_bytes());
            let decoded = DecodeScratch::default().decode_zstd_crc32c(&encoded, bytes);
            assert_eq!(decoded.is_ok(), bytes == zeros.len(), "{bytes}");
        }
        let header = |bytes: u32| [&[2, 1, 1, 2][..], &bytes.to_le_bytes(), &[0; 8]].concat();
        assert!(check_blosc(&header(450), 450).is_ok());
        for bad in [0, 449, 451, u32::MAX] {
            assert!(check_blosc(&header(bad), 450).is_err(), "{bad}");
        }
        assert!(check_blosc(&[0; 15], 450).is_err());
    }
}
