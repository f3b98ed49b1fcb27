//! Zarr v3 metadata of a store's arrays. Only codecs that zarr-python and `TensorStore` both support.

use std::sync::Arc;

use serde_json::{Value, json};
use zarrs::array::{Array, ArrayMetadata};

use super::info::StoreInfo;
use super::json_digest::pretty;
use super::layout::{self, StoreArray};
use super::store_error::StoreError;
use crate::shared::tiles::Tiles;

impl StoreArray {
    /// The arrays of a store, in the order in which they are written: first those that a record lists in `files`, then those
    /// of tiles.
    pub(super) fn stored_in(info: &StoreInfo) -> Vec<Self> {
        let is_stored = |array: &Self| match array {
            Self::Scores | Self::Classes => info.map_size.is_some(),
            Self::ImageProbs | Self::ImageClasses => true,
            Self::Lse => info.with_lse,
            Self::TileProbs | Self::TileClasses => info.tiles.is_some(),
            Self::TileMapScores | Self::TileMapClasses => info.tiles.as_ref().is_some_and(Tiles::with_maps),
        };
        Self::ALL.into_iter().filter(is_stored).collect()
    }

    /// Number of values of one image.
    pub(super) fn image_values(self, info: &StoreInfo) -> usize {
        self.image_shape(info).iter().product()
    }

    /// Largest encoded length of one image's values. Incompressible data is stored uncompressed.
    pub(super) fn max_chunk_bytes(self, info: &StoreInfo) -> u64 {
        let values = self.image_values(info) as u64 * if info.wide_class_ids() { 4 } else { 2 };
        values + values / 64 + 256
    }

    /// Largest length of a shard's file.
    pub(super) fn max_file_bytes(self, info: &StoreInfo) -> u64 {
        info.shard_images as u64 * (self.max_chunk_bytes(info) + 16) + 4
    }

    /// Lengths of the axes after the first.
    fn image_shape(self, info: &StoreInfo) -> Vec<usize> {
        let tiles = info.tiles.as_ref();
        let ranks = match self {
            Self::Lse => 1,
            Self::TileProbs | Self::TileClasses => tiles.map_or(0, Tiles::k),
            _ => info.k,
        };
        let tile_axis = self.is_of_tiles().then(|| tiles.map_or(0, Tiles::count));
        let cell_axes = info.map_size.filter(|_| self.is_map()).map(|size| [size.height_cells(), size.width_cells()]);
        tile_axis.into_iter().chain([ranks]).chain(cell_axes.into_iter().flatten()).collect()
    }

    /// Returns the array's `zarr.json`.
    pub(super) fn metadata_json(self, info: &StoreInfo) -> Vec<u8> {
        pretty(&self.metadata(info, ChunkLayout::Shards))
    }

    fn metadata(self, info: &StoreInfo, chunks: ChunkLayout) -> Value {
        let mut image_shape = self.image_shape(info);
        if self.is_map() && chunks != ChunkLayout::Shards {
            let rank_axis = image_shape.remove(usize::from(self.is_of_tiles()));
            image_shape.push(rank_axis);
        }
        let shape = |images: usize| [&[images][..], &image_shape].concat();
        let (data_type, fill) = match (self.has_class_ids(), self.is_map(), info.wide_class_ids()) {
            (false, true, _) => ("float16", json!("-Infinity")),
            (false, false, _) => ("float16", json!(0.0)),
            (true, _, false) => ("uint16", json!(u16::MAX)),
            (true, _, true) => ("uint32", json!(u32::MAX)),
        };
        let bytes = json!({ "name": "bytes", "configuration": { "endian": "little" } });
        let checksum = json!({ "name": "crc32c" });
        let zstd = json!({ "name": "zstd", "configuration": { "level": info.zstd_level(), "checksum": false } });
        // With k innermost, the ranks of a cell are adjacent and compress better.
        let order = if self.is_of_tiles() { json!([0, 1, 3, 4, 2]) } else { json!([0, 2, 3, 1]) };
        let k_innermost = json!({ "name": "transpose", "configuration": { "order": order } });
        // float16 compresses best with its high and low bytes separated. With zlib, unlike with zstd, c-blosc encodes the
        // two planes independently: the low bytes, which are noise, are stored uncompressed, and the high bytes get codes
        // of their own.
        let shuffled = json!({ "name": "blosc", "configuration":
            { "cname": "zlib", "clevel": 9, "shuffle": "shuffle", "typesize": 2, "blocksize": 0 } });
        let compression = if self.is_map() && !self.has_class_ids() { shuffled } else { zstd };
        let codecs = if self.is_map() && chunks == ChunkLayout::Shards {
            json!([k_innermost, bytes, compression, checksum])
        } else {
            json!([bytes, compression, checksum])
        };
        let (chunk_images, codecs) = match chunks {
            ChunkLayout::ImagesOfCells => (1, codecs),
            _ if self.is_map() => (info.shard_images, sharded(&json!(shape(1)), &codecs)),
            _ => (info.shard_images, codecs),
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
            "dimension_names": if chunks == ChunkLayout::Shards { json!(self.axes()) } else { json!(null) },
            "attributes": {},
        })
    }

    /// Opens the array on a storage.
    pub(super) fn open<S>(self, info: &StoreInfo, storage: Arc<S>, chunks: ChunkLayout) -> Result<Array<S>, StoreError>
    where
        S: ?Sized,
    {
        let open = StoreError::codec::<Box<dyn std::error::Error + Send + Sync>>("open the array");
        let metadata: ArrayMetadata =
            serde_json::from_value(self.metadata(info, chunks)).map_err(|error| open(error.into()))?;
        Array::new_with_metadata(storage, &format!("/{}", self.name()), metadata).map_err(|error| open(error.into()))
    }
}

impl StoreInfo {
    /// Paths inside the store of the files that every store has once: `zarr.json`, the manifest, and the `zarr.json` of
    /// each array.
    #[must_use]
    pub fn fixed_files(&self) -> Vec<String> {
        let arrays = StoreArray::stored_in(self).into_iter().map(StoreArray::metadata_file);
        [layout::GROUP, layout::MANIFEST].map(str::to_owned).into_iter().chain(arrays).collect()
    }

    /// Names of the store's arrays, which are their folders.
    #[must_use]
    pub fn array_names(&self) -> Vec<&'static str> {
        StoreArray::stored_in(self).iter().map(|array| array.name()).collect()
    }
}

/// Chunks and axes under which an array is opened. All three describe the same bytes: a transposition by zarrs costs more
/// than the rest of decoding, so label maps are encoded and decoded in their stored order, `[n, y, x, k]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkLayout {
    /// As the store's metadata declares it: a chunk is a shard, the axes of maps are `[n, k, y, x]` (of tiles `[n, tile, k, y, x]`), and
    /// a codec transposes them.
    Shards,
    /// The same with the axes of maps in their stored order, `[n, y, x, k]` (of tiles `[n, tile, y, x, k]`).
    ShardsOfCells,
    /// One inner chunk as an array of its own: a chunk is one image, with the axes of maps in their stored order.
    ImagesOfCells,
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
