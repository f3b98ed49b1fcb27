//! Label maps that other programs published, as a store: the `.pt` files of *Re-labeling ImageNet* and `TokenLabeling`.
//!
//! Such a file is one tensor `[2, k, h, w]` an image, scores and class ids. Reading the files needs PyTorch, so that the
//! Python package does it (`python/relabel/exchange`); what their values mean, and the store, are made here.

mod layout;
mod file;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;
use serde_json::json;

use crate::shared::classes::ClassList;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::{Error, ImageError};
use crate::shared::label_map::ImageLabels;
use crate::shared::manifest::{Manifest, ManifestBuilder, label_from_path, manifest_bytes};
use crate::shared::store::{
    Agreement, ClassesInfo, FORMAT_VERSION, FailedImage, ImportedFormat, ImportedInfo, ImportedNumbers,
    ImportedPrediction, ScoreKind, ShardLabels, ShardRecord, StoreInfo, StoreWriter, TeacherInfo, WriteAs, ZSTD_LEVEL,
    encode_shard,
};

pub use file::FileReader;
pub use layout::FileLayout;

/// The class list that words name: `imagenet-1k`, a number of classes without names, or a file as
/// [`ClassList::read`] takes it.
///
/// # Errors
/// When the number is 0 or absurd, or the file is none.
pub fn class_list(words: &str) -> Result<ClassList, Error> {
    const MOST_CLASSES: usize = 1 << 24;
    if words == ClassList::IMAGENET_1K {
        return Ok(ClassList::imagenet_1k());
    }
    match words.parse() {
        Ok(count) if (1..=MOST_CLASSES).contains(&count) => Ok(ClassList::unnamed(count)),
        Ok(count) => Err(Error::Usage(format!("{count} classes are out of range: 1 to {MOST_CLASSES}"))),
        Err(_) => ClassList::read(Path::new(words)),
    }
}

/// The list of files in this order: paths below their folder, and lengths. Ids and labels are those that the images have
/// which the files are about, since the file of `n01440764/n01440764_10026.JPEG` is `n01440764/n01440764_10026.pt`.
///
/// # Errors
/// When a path stands twice or leaves the folder.
pub fn list_files<'a>(files: impl IntoIterator<Item = (&'a str, u64)>) -> Result<Manifest, Error> {
    let listed = |problem: String| Error::Usage(format!("the list of files: {problem}"));
    let mut builder = ManifestBuilder::default();
    for (path, bytes) in files {
        builder.push(path, None, label_from_path(path), bytes).map_err(listed)?;
    }
    builder.finish().map_err(listed)
}

/// What is known, or assumed, of published files.
#[derive(Clone, Debug)]
pub struct Published {
    /// What the teacher is called; the files do not say.
    pub teacher_name: String,
    /// What tells these files from others.
    pub files_sha256: Digest,
    /// Their shape.
    pub layout: FileLayout,
    /// Their numbers.
    pub dtype: ImportedNumbers,
    /// The classes that their ids stand for.
    pub classes: ClassesInfo,
    /// How each of this came to be known: `flag`, `detected`, `assumed`, ...
    pub origins: BTreeMap<String, String>,
    /// Name of their folder.
    pub source: String,
    /// Images in each shard.
    pub shard_images: usize,
}

impl Published {
    /// What a store of these files says of itself.
    ///
    /// # Errors
    /// When the list is empty, or numbers of this type cannot tell all the classes apart.
    pub fn store_info(&self, manifest: &Manifest) -> Result<StoreInfo, Error> {
        let class_count = self.classes.count;
        if manifest.is_empty() {
            return Err(Error::Usage("there is no file to import".to_owned()));
        }
        if class_count > self.dtype.exact_up_to() + 1 {
            return Err(Error::Usage(format!(
                "the files hold class ids as {:?}, which is exact only up to {}, and the class list has {class_count} \
                 classes: some ids would be others'. Name the list that the files were made with, if it is a shorter one",
                self.dtype,
                self.dtype.exact_up_to()
            )));
        }
        if self.layout.k() > class_count {
            return Err(Error::Usage(format!(
                "the files hold {} classes a cell, and the class list has {class_count}. Name the list that they were \
                 made with",
                self.layout.k()
            )));
        }
        let bytes =
            manifest_bytes(manifest).map_err(|problem| Error::Usage(format!("the list of files: {problem}")))?;
        let mut card = serde_json::Map::new();
        card.insert("name".into(), json!(self.teacher_name));
        card.insert("classes".into(), json!(self.classes.list));
        Ok(StoreInfo {
            format_version: FORMAT_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            teacher: TeacherInfo {
                name: self.teacher_name.clone(),
                sha256: self.files_sha256.clone(),
                weights_sha256: BTreeMap::new(),
                locality: None,
                card,
                card_origins: self.origins.clone(),
            },
            k: self.layout.k(),
            map_size: self.layout.map_size(),
            score_kind: ScoreKind::Logits,
            score_steps: None,
            zstd_level: Some(ZSTD_LEVEL),
            flip_average: false,
            with_lse: false,
            imported: Some(ImportedInfo {
                format: ImportedFormat::Pt,
                dtype: self.dtype,
                rank_axis: self.layout.rank_axis(),
                orientation: self.layout.orientation(),
                image_prediction: ImportedPrediction::Pooled,
            }),
            images: manifest.len(),
            shard_images: self.shard_images.min(manifest.len()).max(1),
            batch_images: 1,
            manifest_sha256: digest_bytes(&bytes),
            limit: None,
            source: self.source.clone(),
            classes: self.classes.clone(),
        })
    }
}

/// A store that is made of published files, shard by shard.
#[derive(Debug)]
pub struct Import {
    store: StoreWriter,
    manifest: Manifest,
    layout: FileLayout,
    classes_by_label: HashMap<String, u32>,
    is_new: bool,
    to_do: Vec<usize>,
}

impl Import {
    /// Creates the store at `out`, or goes on with it. `holder` is what others are told while this process writes.
    ///
    /// # Errors
    /// When files and classes do not go together, something else is at `out`, or it was made of other files.
    pub fn open(out: &Path, published: &Published, manifest: Manifest, holder: String) -> Result<Self, Error> {
        let wanted = published.store_info(&manifest)?;
        let write_as = WriteAs { holder, ..WriteAs::default() };
        let is_new = !StoreWriter::exists(out)?;
        let store = if is_new {
            StoreWriter::check_free(out)?;
            StoreWriter::create(out, wanted, &manifest, write_as)?
        } else {
            let (store, there) = StoreWriter::resume(out, write_as, &mut || Ok(manifest.clone()))?;
            let mut differences = store.info().differences(&wanted);
            differences.extend(there.difference(&manifest).map(|line| format!("files: {line}")));
            if store.info().shard_images != wanted.shard_images {
                let (there, asked) = (store.info().shard_images, wanted.shard_images);
                differences.push(format!("shard size: {there} in the store, {asked} asked for"));
            }
            if !differences.is_empty() {
                let advice = "give the folder and the flags that the store was made with, or name another --out";
                return Err(Error::OtherRun { path: out.to_path_buf(), differences, advice });
            }
            store
        };
        let to_do = store.part_state(&|_| ())?.to_do;
        let classes: ClassList = (&store.info().classes).into();
        let classes_by_label = classes.by_label();
        Ok(Self { store, manifest, layout: published.layout, classes_by_label, is_new, to_do })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &StoreWriter {
        &self.store
    }

    /// Whether the store was not there before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Numbers of the shards that were to do when it was opened, in order.
    #[must_use]
    pub fn to_do(&self) -> &[usize] {
        &self.to_do
    }

    /// Commits a shard: `values` holds a file's values for each of its rows, one behind the other, and `failures` says
    /// which rows have none, and why. Shards may be committed in any order, from several threads.
    ///
    /// # Errors
    /// When the shard cannot be encoded or written.
    ///
    /// # Panics
    /// When there are not as many values as the rows of the shard have: a fault of the caller.
    pub fn commit(
        &self,
        shard: usize,
        values: &[f32],
        failures: &HashMap<usize, ImageError>,
    ) -> Result<ShardRecord, Error> {
        let info = self.store.info();
        let rows = info.rows_of(shard);
        assert_eq!(values.len(), rows.len() * self.layout.values(), "the values of {} files", rows.len());
        let first_row = rows.start;
        let images: Vec<Result<ImageLabels, FailedImage>> = values
            .par_chunks(self.layout.values())
            .enumerate()
            .map_init(
                || FileReader::new(self.layout, info.classes.count),
                |reader, (at, values)| {
                    let row = first_row + at;
                    let labels = failures.get(&row).map_or_else(|| reader.labels(values), |error| Err(error.clone()));
                    labels.map_err(|error| self.failed(row, error))
                },
            )
            .collect();
        let labels = ShardLabels { shard, images };
        let files = encode_shard(info, &labels)
            .map_err(|problem| Error::Internal { action: format!("encode shard {shard}"), problem: problem.into() })?;
        self.store.commit(&labels, &files, self.agreement(first_row, &labels))
    }

    fn failed(&self, row: usize, error: ImageError) -> FailedImage {
        FailedImage { row, id: self.manifest.id(row).to_owned(), path: self.manifest.path(row).to_owned(), error }
    }

    fn agreement(&self, first_row: usize, labels: &ShardLabels) -> Agreement {
        let mut agreement = Agreement::default();
        for (row, image) in (first_row..).zip(&labels.images) {
            let class = self.manifest.label(row).and_then(|label| self.classes_by_label.get(label));
            if let (Ok(labels), Some(&class)) = (image, class) {
                agreement.see(labels.prediction.rank_of(class));
            }
        }
        agreement
    }
}
