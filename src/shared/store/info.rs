//! Description of a store: `attributes["relabel"]` of its group.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::imported::ImportedInfo;
use super::layout;
use super::part::Part;
use super::store_error::StoreError;
use crate::shared::classes::{ClassEntry, ClassList};
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::geometry::MapSize;
use crate::shared::tiles::Tiles;

/// Format version of stores with label maps.
pub const FORMAT_VERSION: u32 = 1;

/// Format version of stores without label maps, which readers of version 1 cannot use. The latest version.
pub const MAPLESS_FORMAT_VERSION: u32 = 2;

/// Zstd level of class ids in new stores: level 19 takes nearly twice as long for 1.4 % fewer bytes of them
/// (`docs/performance.md`).
pub const ZSTD_LEVEL: u8 = 13;

/// Zstd level of stores whose description has none.
const DEFAULT_ZSTD_LEVEL: u8 = 19;

/// Description of a store. Two runs may fill one store only if theirs are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// Version of the format.
    pub format_version: u32,
    /// Version of the program that created the store.
    pub tool_version: String,
    /// The teacher and its card.
    pub teacher: TeacherInfo,
    /// Classes kept in each cell.
    pub k: usize,
    /// Rows and columns of cells; absent if the store has predictions only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_size: Option<MapSize>,
    /// Meaning of a score.
    pub score_kind: ScoreKind,
    /// Steps for each unit of score to which scores are rounded; absent if only float16 rounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_steps: Option<u16>,
    /// Zstd level of class ids; absent in older stores, where it is 19. Any reader reads any level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zstd_level: Option<u8>,
    /// Whether scores are the mean of the image's and its mirror image's; absent if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flip_average: bool,
    /// Whether there is an array `lse`; absent if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub with_lse: bool,
    /// The tiles that have labels of their own; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<Tiles>,
    /// The files that the store was imported from; absent if a teacher was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedInfo>,
    /// Number of images, the first length of every array.
    pub images: usize,
    /// Images in each shard; the last shard may have fewer.
    pub shard_images: usize,
    /// Batch size of the teacher, on which the last bits of the scores depend.
    pub batch_images: usize,
    /// SHA-256 of `manifest.parquet`.
    pub manifest_sha256: Digest,
    /// The number of images to which `--limit` cut the manifest; absent if it was not cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Name of the source.
    pub source: String,
    /// The classes.
    pub classes: ClassesInfo,
}

/// Description of the teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherInfo {
    /// Name of the teacher.
    pub name: String,
    /// SHA-256 of the ONNX file.
    pub sha256: Digest,
    /// SHA-256 of each file of external weights, by location.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights_sha256: BTreeMap<String, Digest>,
    /// How it was verified that each cell shows its position in the image: `structure`, `probe` or `unchecked`; absent in
    /// imported stores and in those of older versions. Not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// The card, including free keys.
    pub card: serde_json::Map<String, Value>,
    /// Origins of the card's values. Not compared: they do not change the values.
    pub card_origins: BTreeMap<String, String>,
}

/// Meaning of the numbers in `scores`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    /// Raw scores, before softmax.
    Logits,
}

/// Description of the class list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassesInfo {
    /// Origin of the list.
    pub list: String,
    /// Number of classes.
    pub count: usize,
    /// Folder name of each class; empty string if unknown.
    pub ids: Vec<String>,
    /// Display names.
    pub names: Vec<String>,
}

impl From<&ClassList> for ClassesInfo {
    fn from(list: &ClassList) -> Self {
        let entries = list.entries();
        Self {
            list: list.source().to_owned(),
            count: entries.len(),
            ids: entries.iter().map(|entry| entry.id.clone()).collect(),
            names: entries.iter().map(|entry| entry.name.clone()).collect(),
        }
    }
}

impl From<&ClassesInfo> for ClassList {
    fn from(info: &ClassesInfo) -> Self {
        let entry = |(id, name): (&String, &String)| ClassEntry { id: id.clone(), name: name.clone() };
        Self::from_entries(info.list.clone(), info.ids.iter().zip(&info.names).map(entry).collect())
    }
}

impl StoreInfo {
    /// Number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.images.div_ceil(self.shard_images)
    }

    /// Returns the rows of a shard.
    #[must_use]
    pub fn shard_rows(&self, shard: usize) -> Range<usize> {
        layout::shard_rows(shard, self.shard_images, self.images)
    }

    /// Returns the rows of a part.
    #[must_use]
    pub fn part_rows(&self, part: Part) -> Range<usize> {
        let shards = part.shards(self.shards());
        let row = |shard: usize| self.images.min(shard * self.shard_images);
        row(shards.start)..row(shards.end)
    }

    /// Returns a warning if it was not verified that each cell shows its position in the image.
    #[must_use]
    pub fn locality_warning(&self) -> Option<&'static str> {
        (self.teacher.locality.as_deref() == Some("unchecked")).then_some(
            "it was not verified that each cell of the teacher shows its position in the image (its card has \
             `locality = \"unchecked\"`)",
        )
    }

    /// Zstd level of class ids.
    pub(super) fn zstd_level(&self) -> u8 {
        self.zstd_level.unwrap_or(DEFAULT_ZSTD_LEVEL)
    }

    /// Returns whether class ids are stored as u32. Those of at most 65,535 classes are stored as u16, where 65,535 itself means
    /// "not labelled".
    #[must_use]
    pub fn wide_class_ids(&self) -> bool {
        self.classes.count > usize::from(u16::MAX)
    }

    /// Returns the settings in which a run with `wanted` differs from this store, one line each, with both values.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        self.compared(wanted).iter().map(SettingDifference::to_line).collect()
    }

    fn compared(&self, wanted: &Self) -> Vec<SettingDifference> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, there: String, here: String| {
            differences.extend(SettingDifference::between(what, there, here));
        };
        // A store without maps has another version, which needs no line of its own.
        if self.map_size.is_some() == wanted.map_size.is_some() {
            compare("format version", self.format_version.to_string(), wanted.format_version.to_string());
        }
        let file = |teacher: &TeacherInfo| format!("{} (sha256 {:.12}...)", teacher.name, teacher.sha256.to_string());
        if self.teacher.sha256 != wanted.teacher.sha256 {
            compare("teacher", file(&self.teacher), file(&wanted.teacher));
        }
        for location in self.teacher.weights_sha256.keys().chain(wanted.teacher.weights_sha256.keys()) {
            let digest = |teacher: &TeacherInfo| {
                teacher.weights_sha256.get(location).map_or("absent".to_owned(), Digest::to_string)
            };
            compare(&format!("weights {location}"), digest(&self.teacher), digest(&wanted.teacher));
        }
        for key in INPUT_KEYS {
            let value = |teacher: &TeacherInfo| teacher.card.get(key).map_or("absent".to_owned(), Value::to_string);
            compare(&format!("card, {key}"), value(&self.teacher), value(&wanted.teacher));
        }
        compare("top-k", self.k.to_string(), wanted.k.to_string());
        let maps = |info: &Self| info.map_size.map_or("none".to_owned(), |size| size.to_string());
        let what = if self.map_size.is_some() == wanted.map_size.is_some() { "map size" } else { "label maps" };
        compare(what, maps(self), maps(wanted));
        let steps = |info: &Self| info.score_steps.map_or("none".to_owned(), |steps| steps.to_string());
        compare("score steps", steps(self), steps(wanted));
        let on = |on: bool| if on { "on" } else { "off" }.to_owned();
        compare("flip average", on(self.flip_average), on(wanted.flip_average));
        compare("lse", on(self.with_lse), on(wanted.with_lse));
        if self.tiles.as_ref().map(Tiles::unnamed) != wanted.tiles.as_ref().map(Tiles::unnamed) {
            let tiles = |info: &Self| info.tiles.as_ref().map_or("none".to_owned(), Tiles::to_string);
            let (there, here) = (tiles(self), tiles(wanted));
            let other = if there == here { ", with other boxes" } else { "" };
            compare("tiles", there, here + other);
        }
        let origin = |info: &Self| info.imported.map_or("from a teacher".to_owned(), describe_imported);
        compare("labels", origin(self), origin(wanted));
        compare("class list", self.classes.list.clone(), wanted.classes.list.clone());
        if self.classes.list == wanted.classes.list && self.classes != wanted.classes {
            compare("content of the class list", "other names".to_owned(), "these names".to_owned());
        }
        differences.dedup();
        differences
    }

    /// Returns the differences from a run that would create the store, to which the manifest and the sizes of shards and
    /// batches belong as well.
    #[must_use]
    pub(super) fn differences_to_new(&self, wanted: &Self) -> Vec<String> {
        self.compared_to_new(wanted).iter().map(SettingDifference::to_line).collect()
    }

    /// Returns the differences that prevent a merge of two stores.
    pub(super) fn compared_to_new(&self, wanted: &Self) -> Vec<SettingDifference> {
        let mut differences = self.compared(wanted);
        let mut compare = |what: &str, there: String, here: String| {
            differences.extend(SettingDifference::between(what, there, here));
        };
        compare("manifest", self.manifest_sha256.to_string(), wanted.manifest_sha256.to_string());
        compare("shard size", self.shard_images.to_string(), wanted.shard_images.to_string());
        compare("batch", self.batch_images.to_string(), wanted.batch_images.to_string());
        compare("zstd level", self.zstd_level().to_string(), wanted.zstd_level().to_string());
        differences
    }

    /// Returns a digest of everything that the labels of entire images depend on, except the images. Each record contains it.
    /// Names, free keys of the card and the program's version are not part of it. Tiles are not, either: programs that do not
    /// know them compute the same digest.
    #[must_use]
    pub fn identity(&self) -> Digest {
        self.digest_of_settings(None)
    }

    /// Returns a digest of everything that all labels depend on, except the images: [`StoreInfo::identity`] and the tiles.
    #[must_use]
    pub fn identity_with_tiles(&self) -> Digest {
        self.digest_of_settings(self.tiles.as_ref().map(Tiles::unnamed))
    }

    fn digest_of_settings(&self, tiles: Option<Tiles>) -> Digest {
        let mut info = self.clone();
        info.tiles = tiles;
        info.tool_version.clear();
        info.source.clear();
        info.limit = None;
        info.teacher.name.clear();
        info.teacher.locality = None;
        info.teacher.card_origins.clear();
        info.teacher.card.retain(|key, _| INPUT_KEYS.contains(&key.as_str()));
        digest_bytes(&serde_json::to_vec(&info).unwrap_or_default())
    }

    /// Checks that the numbers are consistent and bounded. Every length, sum and product computed from a checked description
    /// fits into its type and into memory. The digest in the file does not show that: it only detects later changes.
    ///
    /// # Errors
    /// Returns the number that is out of range.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let classes = &self.classes;
        for (name, value, max) in [
            ("images", self.images, MAX_IMAGES),
            ("shard_images", self.shard_images, self.images),
            ("batch_images", self.batch_images, MAX_BATCH_IMAGES),
            ("classes.count", classes.count, MAX_CLASSES),
            ("k", self.k, classes.count),
            ("zstd_level", usize::from(self.zstd_level()), MAX_ZSTD_LEVEL),
        ] {
            if value == 0 || value > max {
                return Err(StoreError::OutOfRange { name, value, max });
            }
        }
        if self.shards() > MAX_SHARDS {
            return Err(StoreError::TooManyShards {
                images: self.images,
                shard_images: self.shard_images,
                shards: self.shards(),
                max_shards: MAX_SHARDS,
            });
        }
        if (classes.ids.len(), classes.names.len()) != (classes.count, classes.count) {
            return Err(StoreError::ClassNames {
                classes: classes.count,
                ids: classes.ids.len(),
                names: classes.names.len(),
            });
        }
        let version = if self.map_size.is_some() { FORMAT_VERSION } else { MAPLESS_FORMAT_VERSION };
        if self.format_version != version || (self.map_size.is_none() && self.with_lse) {
            return Err(StoreError::FormatVersion { version: self.format_version, expected: version });
        }
        if let Some(tiles) = &self.tiles {
            self.check_tiles(tiles)?;
        }
        let maps = 1 + self.tiles.as_ref().filter(|tiles| tiles.with_maps()).map_or(0, Tiles::count);
        if let Some(map_size) = self.map_size.filter(|size| maps * self.k * size.cells() > MAX_MAP_VALUES) {
            return Err(StoreError::MapValues { map_size, k: self.k, maps, max_values: MAX_MAP_VALUES });
        }
        if self.k * self.shard_images > MAX_SHARD_RANKS {
            return Err(StoreError::ShardRanks {
                shard_images: self.shard_images,
                k: self.k,
                max_ranks: MAX_SHARD_RANKS,
            });
        }
        match self.score_steps {
            Some(steps) if !steps.is_power_of_two() || steps > MAX_SCORE_STEPS => {
                Err(StoreError::ScoreSteps { steps, max_steps: MAX_SCORE_STEPS })
            }
            _ => Ok(()),
        }
    }

    fn check_tiles(&self, tiles: &Tiles) -> Result<(), StoreError> {
        if tiles.k() == 0 || tiles.k() > self.classes.count {
            return Err(StoreError::OutOfRange { name: "tiles.k", value: tiles.k(), max: self.classes.count });
        }
        if tiles.with_maps() && self.map_size.is_none() {
            return Err(StoreError::TileMapsWithoutMaps);
        }
        let ranks = tiles.k() * tiles.count();
        if ranks * self.shard_images > MAX_SHARD_RANKS {
            let (shard_images, max_ranks) = (self.shard_images, MAX_SHARD_RANKS);
            return Err(StoreError::ShardRanks { shard_images, k: ranks, max_ranks });
        }
        Ok(())
    }

    /// Largest length of `manifest.parquet`. Paths have at most 4,096 bytes.
    pub(super) fn max_manifest_bytes(&self) -> u64 {
        self.images as u64 * 16_384 + (1 << 20)
    }
}

/// A setting in which two stores differ, with both values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SettingDifference {
    pub(super) what: String,
    pub(super) there: String,
    pub(super) here: String,
}

impl SettingDifference {
    fn between(what: &str, there: String, here: String) -> Option<Self> {
        (there != here).then(|| Self { what: what.to_owned(), there, here })
    }

    fn to_line(&self) -> String {
        format!("{}: {} in the store, {} requested", self.what, self.there, self.here)
    }
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

fn describe_imported(imported: ImportedInfo) -> String {
    format!("imported, {}", serde_json::to_string(&imported).unwrap_or_default())
}

/// More images than any data set that one run labels.
const MAX_IMAGES: usize = 1 << 30;
/// Readers look for the record of each shard.
const MAX_SHARDS: usize = 1 << 20;
const MAX_BATCH_IMAGES: usize = 1 << 20;
const MAX_CLASSES: usize = 1 << 24;
/// Values of one image in all its maps.
const MAX_MAP_VALUES: usize = 1 << 24;
/// Values of one shard in `image_probs` or `tile_probs`, which are decoded together.
const MAX_SHARD_RANKS: usize = 1 << 26;
const MAX_SCORE_STEPS: u16 = 1024;
const MAX_ZSTD_LEVEL: usize = 22;

/// The keys of a card that affect the teacher's input. The others (name, licence, ...) may differ.
pub(super) const INPUT_KEYS: [&str; 6] = ["input_size", "mean", "std", "filter", "channel_order", "exif_orientation"];
