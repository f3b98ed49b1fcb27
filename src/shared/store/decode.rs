//! Decodes what the shards hold: for each piece that has a checksum of its own, what its codecs did.

use std::sync::Arc;

use zarrs::array::ArrayToBytesCodecTraits as _;
use zarrs::array::{Array, CodecOptions};
use zarrs::storage::store::MemoryStore;
use zstd::bulk::Decompressor;

use super::arrays::{Chunks, StoreArray};
use super::info::StoreInfo;

/// Decoders of the arrays of a store.
pub(super) struct Decoders {
    /// By [`StoreArray`].
    arrays: Vec<Array<MemoryStore>>,
}

/// What decoding uses again for each image; make one for each thread.
#[derive(Default)]
pub struct DecodeScratch {
    zstd: Option<Decompressor<'static>>,
}

impl Decoders {
    pub(super) fn new(info: &StoreInfo) -> Result<Self, String> {
        let storage = Arc::new(MemoryStore::new());
        let decoder = |array: &StoreArray| {
            let chunks = if array.is_map() { Chunks::OfImages } else { Chunks::OfShards };
            array.open(info, Arc::clone(&storage), chunks)
        };
        Ok(Self { arrays: StoreArray::of(info).iter().map(decoder).collect::<Result<_, _>>()? })
    }

    /// Decodes an image's inner chunk (`[y, x, k]`) or, of arrays without these, a shard's chunk, into this machine's byte
    /// order. It is decoded whole, since zarrs passes over checksums when it decodes parts (test
    /// `readers::a_flipped_bit_is_an_error`), and in this thread: a process that was forked has no others.
    pub(super) fn decode(
        &self,
        array: StoreArray,
        encoded: Vec<u8>,
        scratch: &mut DecodeScratch,
    ) -> Result<Vec<u8>, String> {
        let decoder = &self.arrays[array as usize];
        let first = vec![0; decoder.dimensionality()];
        let shape = decoder.chunk_shape(&first).map_err(|error| error.to_string())?;
        let values: u64 = shape.iter().map(|side| side.get()).product();
        let bytes = values as usize * decoder.data_type().fixed_size().unwrap_or_default();
        if matches!(array, StoreArray::Scores | StoreArray::Lse) {
            check_blosc(&encoded, bytes)?;
        } else if cfg!(target_endian = "little") {
            return scratch.checked_zstd(&encoded, bytes);
        }
        let mut options = CodecOptions::default();
        options.set_concurrent_target(1);
        let decoded = decoder
            .codecs()
            .decode(encoded.into(), &shape, decoder.data_type(), decoder.fill_value(), &options)
            .map_err(|error| error.to_string())?;
        Ok(decoded.into_fixed().map_err(|error| error.to_string())?.into_owned())
    }
}

/// Checks that the header of a blosc chunk names as many bytes as the array has: its codec allocates what the header names.
fn check_blosc(encoded: &[u8], bytes: usize) -> Result<(), String> {
    let header = encoded.first_chunk::<16>().ok_or_else(|| format!("its chunk has {} bytes", encoded.len()))?;
    let said = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if said as usize == bytes { Ok(()) } else { Err(format!("its chunk has {said} bytes, not {bytes}")) }
}

impl DecodeScratch {
    /// What the codecs `zstd` and `crc32c` did. zarrs would do as well, but makes a new zstd context for each chunk, which
    /// takes longer than decompressing it, and allocates all that comes out, however much that is.
    fn checked_zstd(&mut self, encoded: &[u8], bytes: usize) -> Result<Vec<u8>, String> {
        let Some((content, checksum)) = encoded.split_last_chunk::<4>() else {
            return Err("its chunk is shorter than its checksum".to_owned());
        };
        let (found, wanted) = (crc32c::crc32c(content), u32::from_le_bytes(*checksum));
        if found != wanted {
            return Err(format!("the checksum of its chunk is {found:08x}, not {wanted:08x}"));
        }
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            None => self.zstd.insert(Decompressor::new().map_err(|error| error.to_string())?),
        };
        let decoded = zstd.decompress(content, bytes).map_err(|error| error.to_string())?;
        if decoded.len() == bytes {
            Ok(decoded)
        } else {
            Err(format!("its chunk has {} bytes, not {bytes}", decoded.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_that_become_more_than_the_array_has_are_refused_before_they_do() {
        let zeros = vec![0; 100 << 20];
        for bytes in [10, 1000, 100 << 20] {
            let mut encoded = zstd::bulk::compress(&zeros, 3).unwrap();
            encoded.extend(crc32c::crc32c(&encoded).to_le_bytes());
            let decoded = DecodeScratch::default().checked_zstd(&encoded, bytes);
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
