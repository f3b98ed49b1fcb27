//! The arrays of a store, as Zarr v3 metadata. Only codecs that zarr-python and `TensorStore` both read.

use std::sync::Arc;

use serde_json::{Value, json};
use zarrs::array::{Array, ArrayMetadata};

use super::info::StoreInfo;
use super::names;
use super::seal::pretty;

/// One of the arrays of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreArray {
    /// float16 `[n, k, y, x]`
    Scores,
    /// uint16 or uint32 `[n, k, y, x]`
    Classes,
    /// float16 `[n, k]`
    ImageProbs,
    /// uint16 or uint32 `[n, k]`
    ImageClasses,
    /// float16 `[n, 1, y, x]`; only in stores that were asked for it
    Lse,
}

impl StoreArray {
    /// Every array that a store may have.
    pub(crate) const ALL: [Self; 5] = [Self::Scores, Self::Classes, Self::ImageProbs, Self::ImageClasses, Self::Lse];

    /// The arrays of a store, in the order in which they are written.
    pub(crate) fn of(info: &StoreInfo) -> &'static [Self] {
        if info.with_lse { &Self::ALL } else { &Self::ALL[..4] }
    }

    /// The array's folder in the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Classes => "classes",
            Self::ImageProbs => "image_probs",
            Self::ImageClasses => "image_classes",
            Self::Lse => "lse",
        }
    }

    /// The chunk of one shard.
    pub(crate) fn chunk_of(self, shard: usize) -> Vec<u64> {
        let mut chunk = vec![0; self.axes().len()];
        chunk[0] = shard as u64;
        chunk
    }

    /// Path of a shard's chunk inside the store: one flat folder for each array.
    pub(crate) fn file_of(self, shard: usize) -> String {
        let zeros = ".0".repeat(self.axes().len() - 1);
        format!("{}/c.{shard}{zeros}", self.name())
    }

    /// Values of one image.
    pub(crate) fn image_values(self, info: &StoreInfo) -> usize {
        if self.is_map() { self.ranks(info) * info.map_size.cells() } else { info.k }
    }

    /// Most bytes that the encoded values of one image may have: what does not compress is stored as it is.
    pub(crate) fn most_chunk_bytes(self, info: &StoreInfo) -> u64 {
        let values = self.image_values(info) as u64 * if info.wide_class_ids() { 4 } else { 2 };
        values + values / 64 + 256
    }

    /// Most bytes that a shard's file may have.
    pub(crate) fn most_file_bytes(self, info: &StoreInfo) -> u64 {
        info.shard_images as u64 * (self.most_chunk_bytes(info) + 16) + 4
    }

    pub(crate) fn is_map(self) -> bool {
        matches!(self, Self::Scores | Self::Classes | Self::Lse)
    }

    fn ranks(self, info: &StoreInfo) -> usize {
        if self == Self::Lse { 1 } else { info.k }
    }

    fn axes(self) -> &'static [&'static str] {
        if self.is_map() { &["image", "rank", "y", "x"] } else { &["image", "rank"] }
    }

    /// The bytes of the array's `zarr.json`.
    pub(crate) fn metadata_json(self, info: &StoreInfo) -> Vec<u8> {
        pretty(&self.metadata_in(info, Chunks::OfShards))
    }

    /// Path of the array's `zarr.json` inside the store.
    pub(crate) fn metadata_file(self) -> String {
        format!("{}/{}", self.name(), names::GROUP)
    }

    fn metadata_in(self, info: &StoreInfo, chunks: Chunks) -> Value {
        let (k, height, width) = (self.ranks(info), info.map_size.height_cells(), info.map_size.width_cells());
        let shape = |images: usize| match (self.is_map(), chunks) {
            (false, _) => json!([images, k]),
            (true, Chunks::OfShards) => json!([images, k, height, width]),
            (true, Chunks::OfImages) => json!([images, height, width, k]),
        };
        let (data_type, fill) = match (self, info.wide_class_ids()) {
            (Self::Scores | Self::Lse, _) => ("float16", json!("-Infinity")),
            (Self::ImageProbs, _) => ("float16", json!(0.0)),
            (_, false) => ("uint16", json!(u16::MAX)),
            (_, true) => ("uint32", json!(u32::MAX)),
        };
        let bytes = json!({ "name": "bytes", "configuration": { "endian": "little" } });
        let checksum = json!({ "name": "crc32c" });
        let zstd = json!({ "name": "zstd", "configuration": { "level": info.zstd_level(), "checksum": false } });
        // With k innermost, the ranks of a cell stand side by side and compress better.
        let k_innermost = json!({ "name": "transpose", "configuration": { "order": [0, 2, 3, 1] } });
        // float16 compresses best with its high and low bytes apart. With zlib, unlike zstd, c-blosc codes the two planes
        // by themselves: the low bytes, which are noise, are stored as they are, and the high bytes get codes of their own.
        let shuffled = json!({ "name": "blosc", "configuration":
            { "cname": "zlib", "clevel": 9, "shuffle": "shuffle", "typesize": 2, "blocksize": 0 } });
        let codecs = match (self, chunks) {
            (Self::Scores | Self::Lse, Chunks::OfShards) => json!([k_innermost, bytes, shuffled, checksum]),
            (Self::Scores | Self::Lse, Chunks::OfImages) => json!([bytes, shuffled, checksum]),
            (Self::Classes, Chunks::OfShards) => json!([k_innermost, bytes, zstd, checksum]),
            (Self::Classes, Chunks::OfImages) | (Self::ImageProbs | Self::ImageClasses, _) => {
                json!([bytes, zstd, checksum])
            }
        };
        let (chunk_images, codecs) = match chunks {
            Chunks::OfShards if self.is_map() => (info.shard_images, sharded(&shape(1), &codecs)),
            Chunks::OfShards => (info.shard_images, codecs),
            Chunks::OfImages => (1, codecs),
        };
        json!({
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape(info.images),
            "data_type": data_type,
            "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": shape(chunk_images) } },
            "chunk_key_encoding": { "name": "default", "configuration": { "separator": "." } },
            "fill_value": fill,
            "codecs": codecs,
            "dimension_names": if chunks == Chunks::OfShards { json!(self.axes()) } else { json!(null) },
            "attributes": {},
        })
    }

    /// The array on a storage, named as in the store.
    pub(crate) fn open<S>(self, info: &StoreInfo, storage: Arc<S>, chunks: Chunks) -> Result<Array<S>, String>
    where
        S: ?Sized,
    {
        let metadata = serde_json::from_value(self.metadata_in(info, chunks)).map_err(|error| error.to_string())?;
        let metadata: ArrayMetadata = metadata;
        Array::new_with_metadata(storage, &format!("/{}", self.name()), metadata).map_err(|error| error.to_string())
    }
}

/// How an array is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// As it is stored: a chunk is a shard.
    OfShards,
    /// As if each inner chunk stood alone, its values in the order in which they are stored: a chunk is one image,
    /// `[n, y, x, k]` for maps. Turning the axes round costs zarrs more than all the rest of decoding.
    OfImages,
}

/// Many images in one file, each compressed and checksummed by itself.
fn sharded(image_shape: &Value, codecs: &Value) -> Value {
    json!([{ "name": "sharding_indexed", "configuration": {
        "chunk_shape": image_shape,
        "codecs": codecs,
        "index_codecs": [{ "name": "bytes", "configuration": { "endian": "little" } }, { "name": "crc32c" }],
        "index_location": "end",
    } }])
}
