//! Names and paths inside a store, and the limits of its small files.

use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) const GROUP: &str = "zarr.json";
pub(super) const MANIFEST: &str = "manifest.parquet";
pub(super) const RECORDS: &str = "records";
pub(super) const RUNS: &str = "runs";
/// Files that are being written. Readers ignore this folder.
pub(super) const STAGING: &str = ".staging";
/// Lock files of the writers, one for each part.
pub(super) const LOCKS: &str = ".locks";
/// The images that are being decoded.
pub(super) const IN_FLIGHT: &str = ".in-flight";
/// The files whose digests were verified. Existing stores have a folder of this name, so it is kept.
pub(super) const VERIFIED: &str = ".seen";
/// Positions of the images in the source's archives. A cache.
pub(super) const SOURCE_INDEX: &str = ".source-index";
/// Parameters of calibrated pooling.
pub(crate) const CALIBRATION: &str = "pooling.json";
/// Every entry of a store's folder but its arrays.
pub(super) const ENTRIES: [&str; 10] =
    [GROUP, MANIFEST, RECORDS, CALIBRATION, RUNS, STAGING, LOCKS, IN_FLIGHT, VERIFIED, SOURCE_INDEX];

/// Largest description, record or document of a store or release that is read.
pub(crate) const SMALL_FILE_BYTES: u64 = 32 << 20;

/// Largest `SHA256SUMS` that is read.
pub(crate) const CHECKSUMS_BYTES: u64 = 1 << 28;

/// Returns the rows of a shard.
pub(super) fn shard_rows(shard: usize, shard_images: usize, images: usize) -> Range<usize> {
    let first = shard * shard_images;
    first..images.min(first + shard_images)
}

/// Returns the path of a shard's record inside the store.
pub(super) fn record_file(shard: usize) -> String {
    format!("{RECORDS}/{shard:06}.json")
}

pub(super) fn record_path(store: &Path, shard: usize) -> PathBuf {
    store.join(record_file(shard))
}

/// One of the arrays of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreArray {
    /// float16 `[n, k, y, x]`
    Scores,
    /// uint16 or uint32 `[n, k, y, x]`
    Classes,
    /// float16 `[n, k]`
    ImageProbs,
    /// uint16 or uint32 `[n, k]`
    ImageClasses,
    /// float16 `[n, 1, y, x]`, optional
    Lse,
    /// float16 `[n, tile, rank]`, of stores with tiles
    TileProbs,
    /// uint16 or uint32 `[n, tile, rank]`, of stores with tiles
    TileClasses,
    /// float16 `[n, tile, k, y, x]`, of stores with maps of tiles
    TileMapScores,
    /// uint16 or uint32 `[n, tile, k, y, x]`, of stores with maps of tiles
    TileMapClasses,
}

impl StoreArray {
    /// Every array that a store may have.
    pub(super) const ALL: [Self; 9] = [
        Self::Scores,
        Self::Classes,
        Self::ImageProbs,
        Self::ImageClasses,
        Self::Lse,
        Self::TileProbs,
        Self::TileClasses,
        Self::TileMapScores,
        Self::TileMapClasses,
    ];

    /// Name of the array's folder in the store.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Classes => "classes",
            Self::ImageProbs => "image_probs",
            Self::ImageClasses => "image_classes",
            Self::Lse => "lse",
            Self::TileProbs => "tile_probs",
            Self::TileClasses => "tile_classes",
            Self::TileMapScores => "tile_map_scores",
            Self::TileMapClasses => "tile_map_classes",
        }
    }

    /// Returns whether the array has values for every cell, with one inner chunk for each image.
    pub(super) fn is_map(self) -> bool {
        matches!(self, Self::Scores | Self::Classes | Self::Lse | Self::TileMapScores | Self::TileMapClasses)
    }

    /// Returns whether the array has class ids.
    pub(super) fn has_class_ids(self) -> bool {
        matches!(self, Self::Classes | Self::ImageClasses | Self::TileClasses | Self::TileMapClasses)
    }

    /// Returns whether the array has labels of tiles.
    pub(super) fn is_of_tiles(self) -> bool {
        matches!(self, Self::TileProbs | Self::TileClasses | Self::TileMapScores | Self::TileMapClasses)
    }

    pub(super) fn axes(self) -> &'static [&'static str] {
        match (self.is_of_tiles(), self.is_map()) {
            (false, false) => &["image", "rank"],
            (false, true) => &["image", "rank", "y", "x"],
            (true, false) => &["image", "tile", "rank"],
            (true, true) => &["image", "tile", "rank", "y", "x"],
        }
    }

    /// Returns the path of a shard's chunk inside the store. All chunks of an array are in one folder.
    pub(super) fn shard_file(self, shard: usize) -> String {
        let zeros = ".0".repeat(self.axes().len() - 1);
        format!("{}/c.{shard}{zeros}", self.name())
    }

    /// Returns the path of the array's `zarr.json` inside the store.
    pub(super) fn metadata_file(self) -> String {
        format!("{}/{GROUP}", self.name())
    }
}
