//! Description of published files, and of the store that is made of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::file_layout::FileLayout;
use crate::shared::classes::ClassList;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, ManifestBuilder, ManifestError, folder_class_from_path, manifest_bytes};
use crate::shared::store::{
    ClassesInfo, FORMAT_VERSION, ImportedDtype, ImportedFormat, ImportedInfo, ImportedPrediction, ScoreKind, StoreInfo,
    TeacherInfo, ZSTD_LEVEL,
};

/// Returns the class list of an argument: `imagenet-1k`, a number of classes without names, or a file for
/// [`ClassList::read`].
///
/// # Errors
/// Returns [`Error::Usage`] if the number is out of range; the errors of [`ClassList::read`] if the file is not a class
/// list.
pub fn class_list(argument: &str) -> Result<ClassList, Error> {
    const MAX_CLASSES: usize = 1 << 24;
    if argument == ClassList::IMAGENET_1K {
        return Ok(ClassList::imagenet_1k());
    }
    match argument.parse() {
        Ok(count) if (1..=MAX_CLASSES).contains(&count) => Ok(ClassList::unnamed(count)),
        Ok(count) => Err(Error::Usage(format!("{count} classes are out of range\n  help: pass 1 to {MAX_CLASSES}"))),
        Err(_) => ClassList::read(Path::new(argument)),
    }
}

/// Creates the manifest of files, in this order: paths below their folder, and lengths. Ids and folder classes are those of
/// the images, since the file of `n01440764/n01440764_10026.JPEG` is `n01440764/n01440764_10026.pt`.
///
/// # Errors
/// Returns [`Error::Usage`] if a path is repeated or leaves the folder.
pub fn list_files<'a>(files: impl IntoIterator<Item = (&'a str, u64)>) -> Result<Manifest, Error> {
    let refused = |problem: ManifestError| Error::Usage(format!("the list of files: {problem}"));
    let mut builder = ManifestBuilder::default();
    for (path, bytes) in files {
        builder.push(path, None, folder_class_from_path(path), bytes).map_err(refused)?;
    }
    builder.finish().map_err(refused)
}

/// Description of published files, known or assumed.
#[derive(Clone, Debug)]
pub struct PublishedFiles {
    /// Name of the teacher, which the files do not contain.
    pub teacher_name: String,
    /// Digest that identifies the files.
    pub files_sha256: Digest,
    /// Shape of the files.
    pub layout: FileLayout,
    /// Number type of the files.
    pub dtype: ImportedDtype,
    /// Class list of the ids in the files.
    pub classes: ClassesInfo,
    /// Origin of each value: `flag`, `detected`, `assumed`, ...
    pub origins: BTreeMap<String, String>,
    /// Name of the folder.
    pub source: String,
    /// Images in each shard.
    pub shard_images: usize,
}

impl PublishedFiles {
    /// Returns the description of a store of these files.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the list of files is empty, or the number type cannot represent all class ids.
    pub fn store_info(&self, manifest: &Manifest) -> Result<StoreInfo, Error> {
        let class_count = self.classes.count;
        if manifest.is_empty() {
            return Err(Error::Usage("no files to import\n  help: pass a folder with .pt files".to_owned()));
        }
        if class_count > self.dtype.exact_up_to() + 1 {
            return Err(Error::Usage(format!(
                "the files have class ids as {}, which is exact only up to {}, and the class list has {class_count} classes\n  \
                 help: pass the class list that the files were made with, if it is shorter",
                match self.dtype {
                    ImportedDtype::Float32 => "float32",
                    ImportedDtype::Float16 => "float16",
                },
                self.dtype.exact_up_to()
            )));
        }
        if self.layout.k() > class_count {
            return Err(Error::Usage(format!(
                "the files have {} classes in each cell, and the class list has {class_count} classes\n  help: pass the class \
                 list that the files were made with",
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
            map_size: Some(self.layout.map_size()),
            score_kind: ScoreKind::Logits,
            score_steps: None,
            zstd_level: Some(ZSTD_LEVEL),
            flip_average: false,
            with_lse: false,
            tiles: None,
            imported: Some(ImportedInfo {
                format: ImportedFormat::Pt,
                dtype: self.dtype,
                rank_axis: self.layout.rank_axis(),
                orientation: self.layout.cell_order(),
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
