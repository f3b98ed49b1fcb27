//! What a store says of itself: `attributes["relabel"]` of its group.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::files::{Files, SMALL_FILE_BYTES};
use super::imported::ImportedInfo;
use super::names;
use super::part::Part;
use super::seal::{pretty, sealed, unsealed};
use crate::shared::classes::{ClassEntry, ClassList};
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;
use crate::shared::regular_file::{self, Found};

/// The version of the layout that this program writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Level at which class ids of new stores are compressed: 19 takes nearly twice as long for 1.4 % fewer bytes of them
/// (`docs/performance.md`).
pub const ZSTD_LEVEL: u8 = 13;

/// Everything that makes a store what it is. Two runs may fill one store only when these are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// Version of the layout.
    pub format_version: u32,
    /// Version of the program that made the store.
    pub tool_version: String,
    /// The teacher and how it was fed.
    pub teacher: TeacherInfo,
    /// Classes kept in each cell.
    pub k: usize,
    /// Rows and columns of cells.
    pub map_size: MapSize,
    /// What a score is.
    pub score_kind: ScoreKind,
    /// Steps for each unit of score to which scores are rounded; absent where only float16 rounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_steps: Option<u16>,
    /// Level at which zstd compressed class ids; absent where it is 19, as in older stores. Any reader reads any level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zstd_level: Option<u8>,
    /// Whether scores are the mean of those of the image and of its mirror image; absent where they are not.
    #[serde(default, skip_serializing_if = "is_off")]
    pub flip_average: bool,
    /// Whether there is an array `lse`; absent where there is none.
    #[serde(default, skip_serializing_if = "is_off")]
    pub with_lse: bool,
    /// What the store was imported from; absent where a teacher was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedInfo>,
    /// Number of images, which is the first length of every array.
    pub images: usize,
    /// Images in each shard; the last may have fewer.
    pub shard_images: usize,
    /// Images in each run of the teacher, which settles the last bits of the scores.
    pub batch_images: usize,
    /// SHA-256 of `manifest.parquet`.
    pub manifest_sha256: Digest,
    /// The number that `--limit` cut the list to; absent where nothing was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What the source is called.
    pub source: String,
    /// The classes.
    pub classes: ClassesInfo,
}

/// The teacher as a store remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherInfo {
    /// Its name.
    pub name: String,
    /// SHA-256 of the ONNX file.
    pub sha256: Digest,
    /// SHA-256 of each file of external weights, by location.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights_sha256: BTreeMap<String, Digest>,
    /// How its cells were shown to be places of the image: `structure`, `probe` or `unchecked`; absent in stores that are
    /// older than this, and in imported ones. Not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// The card in force, remarks included.
    pub card: serde_json::Map<String, Value>,
    /// Where the card's values came from. Not compared: a value is the same wherever it came from.
    pub card_origins: BTreeMap<String, String>,
}

/// What the numbers in `scores` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    /// Raw scores, before softmax.
    Logits,
}

/// The class list as a store remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassesInfo {
    /// Where the list came from.
    pub list: String,
    /// Number of classes.
    pub count: usize,
    /// What folders of each class are called; empty text where it is not known.
    pub ids: Vec<String>,
    /// Names for people.
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

    /// Rows of a shard.
    #[must_use]
    pub fn rows_of(&self, shard: usize) -> std::ops::Range<usize> {
        super::shard_rows(shard, self.shard_images, self.images)
    }

    /// Rows of a part.
    #[must_use]
    pub fn rows_of_part(&self, part: Part) -> std::ops::Range<usize> {
        let shards = part.shards(self.shards());
        let row = |shard: usize| self.images.min(shard * self.shard_images);
        row(shards.start)..row(shards.end)
    }

    /// A warning for everything that is made with a teacher whose cells were not shown to be places of the image.
    #[must_use]
    pub fn locality_warning(&self) -> Option<&'static str> {
        (self.teacher.locality.as_deref() == Some("unchecked")).then_some(
            "it was not checked that the teacher's cells are places of the image (`locality = \"unchecked\"` in its card)",
        )
    }

    /// Level at which zstd compresses class ids.
    pub(super) fn zstd_level(&self) -> u8 {
        self.zstd_level.unwrap_or(19)
    }

    /// Class ids of at most 65,535 classes are stored as u16, more as u32. 65,535 itself means "not labelled".
    #[must_use]
    pub fn wide_class_ids(&self) -> bool {
        self.classes.count > usize::from(u16::MAX)
    }

    /// What keeps a run with `wanted` from filling this store, one line each, both values in it.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        self.compared(wanted).iter().map(Difference::to_wanted).collect()
    }

    fn compared(&self, wanted: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, there: String, here: String| {
            differences.extend(Difference::between(what, there, here));
        };
        compare("format version", self.format_version.to_string(), wanted.format_version.to_string());
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
        for key in FED_BY {
            let value = |teacher: &TeacherInfo| teacher.card.get(key).map_or("absent".to_owned(), Value::to_string);
            compare(&format!("card, {key}"), value(&self.teacher), value(&wanted.teacher));
        }
        compare("top-k", self.k.to_string(), wanted.k.to_string());
        compare("map size", self.map_size.to_string(), wanted.map_size.to_string());
        let steps = |info: &Self| info.score_steps.map_or("none".to_owned(), |steps| steps.to_string());
        compare("score steps", steps(self), steps(wanted));
        let on = |on: bool| if on { "on" } else { "off" }.to_owned();
        compare("flip average", on(self.flip_average), on(wanted.flip_average));
        compare("lse", on(self.with_lse), on(wanted.with_lse));
        let made_by = |info: &Self| info.imported.map_or("a teacher that was run".to_owned(), imported_in_words);
        compare("labels", made_by(self), made_by(wanted));
        compare("class list", self.classes.list.clone(), wanted.classes.list.clone());
        if self.classes.list == wanted.classes.list && self.classes != wanted.classes {
            compare("class list's content", "other names".to_owned(), "these names".to_owned());
        }
        differences.dedup();
        differences
    }

    /// The same for a store that is not there yet: its list and how it is cut count as well.
    #[must_use]
    pub(crate) fn differences_to_new(&self, wanted: &Self) -> Vec<String> {
        self.compared_to_new(wanted).iter().map(Difference::to_wanted).collect()
    }

    /// Everything that keeps two stores from becoming one.
    pub(super) fn compared_to_new(&self, wanted: &Self) -> Vec<Difference> {
        let mut differences = self.compared(wanted);
        let mut compare = |what: &str, there: String, here: String| {
            differences.extend(Difference::between(what, there, here));
        };
        compare("manifest", self.manifest_sha256.to_string(), wanted.manifest_sha256.to_string());
        compare("shard size", self.shard_images.to_string(), wanted.shard_images.to_string());
        compare("batch", self.batch_images.to_string(), wanted.batch_images.to_string());
        compare("zstd level", self.zstd_level().to_string(), wanted.zstd_level().to_string());
        differences
    }

    /// A digest of everything that the labels of a shard depend on, but the images. Each record carries it.
    /// What is said only for people (names, remarks, the program's version) does not count.
    #[must_use]
    pub fn identity(&self) -> Digest {
        let mut info = self.clone();
        info.tool_version.clear();
        info.source.clear();
        info.limit = None;
        info.teacher.name.clear();
        info.teacher.locality = None;
        info.teacher.card_origins.clear();
        info.teacher.card.retain(|key, _| FED_BY.contains(&key.as_str()));
        digest_bytes(&serde_json::to_vec(&info).unwrap_or_default())
    }

    /// The group's `zarr.json`.
    #[must_use]
    pub(crate) fn group_json(&self) -> Vec<u8> {
        let Ok(Value::Object(info)) = serde_json::to_value(self) else { return Vec::new() };
        pretty(&json!({ "zarr_format": 3, "node_type": "group", "attributes": { "relabel": sealed(info) } }))
    }

    /// Reads the group's `zarr.json`.
    ///
    /// # Errors
    /// When it is not there, damaged, of another format version or of another program.
    pub(crate) fn read(store: &Path) -> Result<Self, Error> {
        let problem = |problem: String| Error::Store { path: store.to_path_buf(), problem: problem.into() };
        match GroupState::read(store)? {
            GroupState::Whole(info) => Ok(*info),
            GroupState::Absent => {
                let is_folder = regular_file::look_at(store)?.is_some_and(|there| there.is_dir());
                let what = if is_folder { "is no store: it has no zarr.json" } else { "does not exist" };
                Err(problem(format!("it {what}. A store is what `relabel run` writes")))
            }
            GroupState::Damaged(what) => Err(problem(format!(
                "its zarr.json is damaged: {what}. The run command that made the store makes it again"
            ))),
        }
    }

    /// Reads the `zarr.json` of a store that lies elsewhere.
    ///
    /// # Errors
    /// As for [`StoreInfo::read`].
    pub(super) fn of_files(files: &dyn Files) -> Result<Self, Error> {
        let problem = |problem: String| Error::Store { path: files.name().into(), problem: problem.into() };
        let Some(text) = files.read(names::GROUP)? else {
            let what = "there is no store: it has no zarr.json. Is this the address that the store or the release was \
                        published under?";
            return Err(problem(what.to_owned()));
        };
        Self::from_json(&text).map_err(|unreadable| {
            problem(match unreadable {
                Unreadable::Foreign(what) => what,
                Unreadable::Damaged(what) => format!("its zarr.json is damaged: {what}"),
                Unreadable::Nameless => "its zarr.json has no attributes of relabel".to_owned(),
            })
        })
    }

    fn from_json(text: &[u8]) -> Result<Self, Unreadable> {
        let damaged = |error: &dyn std::fmt::Display| Unreadable::Damaged(error.to_string());
        let group: Value = serde_json::from_slice(text).map_err(|error| damaged(&error))?;
        let attributes = group["attributes"]["relabel"].as_object().ok_or(Unreadable::Nameless)?;
        let version = attributes.get("format_version").and_then(Value::as_u64);
        if version.is_some_and(|version| version != u64::from(FORMAT_VERSION)) {
            return Err(Unreadable::Foreign(format!(
                "it has format version {}; this relabel reads version {FORMAT_VERSION}. Use a relabel that matches",
                version.unwrap_or_default()
            )));
        }
        if group["zarr_format"] != 3 || group["node_type"] != "group" {
            return Err(Unreadable::Damaged("it does not describe a Zarr v3 group".to_owned()));
        }
        let content = unsealed(attributes.clone()).map_err(Unreadable::Damaged)?;
        let info: Self = serde_json::from_value(content.into()).map_err(|error| damaged(&error))?;
        info.check().map_err(Unreadable::Damaged)?;
        Ok(info)
    }

    /// Checks that the numbers fit together and ask for nothing that no data set needs. With them, every length, sum and
    /// product that is made of a description fits into its type, and into memory. A seal only tells that nobody changed
    /// them since they were written.
    ///
    /// # Errors
    /// Returns which number is out of range.
    pub(super) fn check(&self) -> Result<(), String> {
        let classes = &self.classes;
        for (name, value, most) in [
            ("images", self.images, MAX_IMAGES),
            ("shard_images", self.shard_images, self.images),
            ("batch_images", self.batch_images, MAX_BATCH_IMAGES),
            ("classes.count", classes.count, MAX_CLASSES),
            ("k", self.k, classes.count),
        ] {
            if value == 0 || value > most {
                return Err(format!("{name} is {value}, and 1 to {most} can be"));
            }
        }
        if self.shards() > MAX_SHARDS {
            return Err(format!(
                "{} images in shards of {} are {} shards, and at most {MAX_SHARDS} can be: larger shards are needed",
                self.images,
                self.shard_images,
                self.shards()
            ));
        }
        if (classes.ids.len(), classes.names.len()) != (classes.count, classes.count) {
            return Err(format!(
                "it has {} classes, with {} ids and {} names",
                classes.count,
                classes.ids.len(),
                classes.names.len()
            ));
        }
        if self.k * self.map_size.cells() > MAX_MAP_VALUES {
            return Err(format!(
                "a map of {} cells with k = {} has more than {MAX_MAP_VALUES} values",
                self.map_size, self.k
            ));
        }
        if self.k * self.shard_images > MAX_SHARD_RANKS {
            return Err(format!(
                "{} images a shard with k = {} are more than {MAX_SHARD_RANKS} ranks",
                self.shard_images, self.k
            ));
        }
        if !(1..=22).contains(&self.zstd_level()) {
            return Err(format!("zstd_level is {}, and 1 to 22 can be", self.zstd_level()));
        }
        match self.score_steps {
            Some(steps) if !steps.is_power_of_two() || steps > MAX_SCORE_STEPS => {
                Err(format!("score_steps is {steps}, and a power of two up to {MAX_SCORE_STEPS} can be"))
            }
            _ => Ok(()),
        }
    }

    /// Most bytes that `manifest.parquet` may have: paths have at most 4,096.
    pub(super) fn most_manifest_bytes(&self) -> u64 {
        self.images as u64 * 16_384 + (1 << 20)
    }
}

/// One thing in which two stores differ, with both values.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) what: String,
    pub(super) there: String,
    pub(super) here: String,
}

impl Difference {
    fn between(what: &str, there: String, here: String) -> Option<Self> {
        (there != here).then(|| Self { what: what.to_owned(), there, here })
    }

    fn to_wanted(&self) -> String {
        format!("{}: {} in the store, {} asked for", self.what, self.there, self.here)
    }
}

/// What lies in the place of a group's `zarr.json`.
pub(crate) enum GroupState {
    /// Nothing.
    Absent,
    /// What it should be.
    Whole(Box<StoreInfo>),
    /// Something that this program or a mishap left, and why it cannot be used.
    Damaged(String),
}

/// Why a `zarr.json` is not what it should be.
enum Unreadable {
    /// It does not say that it is ours.
    Nameless,
    /// It is of another format version.
    Foreign(String),
    /// Something happened to it.
    Damaged(String),
}

impl GroupState {
    /// Reads what is there.
    ///
    /// # Errors
    /// When it is of another format version or program, or cannot be read.
    pub(crate) fn read(store: &Path) -> Result<Self, Error> {
        let path = store.join(names::GROUP);
        let text = match regular_file::read(&path, SMALL_FILE_BYTES)? {
            Found::There(text) => text,
            Found::Absent => return Ok(Self::Absent),
            Found::Unusable(problem) => return Ok(Self::Damaged(problem)),
        };
        match StoreInfo::from_json(&text) {
            Ok(info) => Ok(Self::Whole(Box::new(info))),
            Err(Unreadable::Damaged(what)) => Ok(Self::Damaged(what)),
            Err(Unreadable::Nameless) if has_files_of_a_store(store)? => {
                Ok(Self::Damaged("it has no attributes of relabel".to_owned()))
            }
            Err(Unreadable::Nameless) => Err(Error::Store {
                path: store.to_path_buf(),
                problem: "its zarr.json has no attributes of relabel: another program's Zarr group".into(),
            }),
            Err(Unreadable::Foreign(problem)) => {
                Err(Error::Store { path: store.to_path_buf(), problem: problem.into() })
            }
        }
    }
}

fn has_files_of_a_store(store: &Path) -> Result<bool, Error> {
    let has =
        |name: &str, is: fn(&Metadata) -> bool| Ok(regular_file::look_at(&store.join(name))?.is_some_and(|m| is(&m)));
    Ok(has(names::MANIFEST, Metadata::is_file)? && has(names::RECORDS, Metadata::is_dir)?)
}

// serde hands it a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_off(on: &bool) -> bool {
    !on
}

fn imported_in_words(imported: ImportedInfo) -> String {
    format!("imported, {}", serde_json::to_string(&imported).unwrap_or_default())
}

/// More images than any data set has that is labelled by one run.
const MAX_IMAGES: usize = 1 << 30;
/// A reader looks for the record of each.
const MAX_SHARDS: usize = 1 << 20;
const MAX_BATCH_IMAGES: usize = 1 << 20;
const MAX_CLASSES: usize = 1 << 24;
/// Values of one image in `scores`, and in `classes`.
const MAX_MAP_VALUES: usize = 1 << 24;
/// Values of one shard in `image_probs`, which are decoded at once.
const MAX_SHARD_RANKS: usize = 1 << 26;
const MAX_SCORE_STEPS: u16 = 1024;

/// The keys of a card that change what the teacher sees. The others (name, licence, ...) may differ.
pub(super) const FED_BY: [&str; 6] = ["input_size", "mean", "std", "filter", "channel_order", "exif_orientation"];
