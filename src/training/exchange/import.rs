//! Imports published files into a store, shard by shard.

use std::collections::HashMap;
use std::path::Path;

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;

use super::file_layout::FileLayout;
use super::file_reader::FileReader;
use super::published_files::PublishedFiles;
use crate::shared::classes::ClassList;
use crate::shared::error::{Error, ImageError};
use crate::shared::label_map::ImageLabels;
use crate::shared::manifest::Manifest;
use crate::shared::store::{
    Agreement, FailedImage, ShardLabels, ShardRecord, StoreWriter, WriterOptions, encode_shard,
};

/// A store that is made of published files.
#[derive(Debug)]
pub struct Import {
    store: StoreWriter,
    manifest: Manifest,
    layout: FileLayout,
    classes_by_folder: HashMap<String, u32>,
    is_new: bool,
    to_do: Vec<usize>,
}

impl Import {
    /// Creates the store at `out`, or resumes it. `holder` describes this process to other writers.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if files and classes do not match; [`Error::SettingsDiffer`] if the store was made of
    /// different files; [`Error::Store`] if `out` contains other files.
    pub fn open(out: &Path, published: &PublishedFiles, manifest: Manifest, holder: String) -> Result<Self, Error> {
        let wanted = published.store_info(&manifest)?;
        let options = WriterOptions { holder, ..WriterOptions::default() };
        let is_new = !StoreWriter::exists(out)?;
        let store = if is_new {
            StoreWriter::check_free(out)?;
            StoreWriter::create(out, wanted, &manifest, options)?
        } else {
            let (store, there) = StoreWriter::resume(out, options, &mut || Ok(manifest.clone()))?;
            let mut differences = store.info().differences(&wanted);
            differences.extend(there.difference(&manifest).map(|line| format!("files: {line}")));
            if store.info().shard_images != wanted.shard_images {
                let (there, wanted) = (store.info().shard_images, wanted.shard_images);
                differences.push(format!("shard size: {there} in the store, {wanted} requested"));
            }
            if !differences.is_empty() {
                let advice = "pass the folder and the flags that the store was created with, or choose another --out";
                return Err(Error::SettingsDiffer { path: out.to_path_buf(), differences, advice });
            }
            store
        };
        let to_do = store.part_state(&|_| ())?.to_do;
        let classes: ClassList = (&store.info().classes).into();
        let classes_by_folder = classes.by_folder_class();
        Ok(Self { store, manifest, layout: published.layout, classes_by_folder, is_new, to_do })
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &StoreWriter {
        &self.store
    }

    /// Returns whether the store was created.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Numbers of the shards that were unfinished when the store was opened, in order.
    #[must_use]
    pub fn to_do(&self) -> &[usize] {
        &self.to_do
    }

    /// Commits a shard. `values` are the values of the files of its rows, concatenated; `failures` are the rows without
    /// labels. Shards may be committed in any order, from several threads.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be written; [`Error::Internal`] if the shard cannot be encoded.
    ///
    /// # Panics
    /// Panics if the number of values is not that of the shard's rows.
    pub fn commit(
        &self,
        shard: usize,
        values: &[f32],
        failures: &HashMap<usize, ImageError>,
    ) -> Result<ShardRecord, Error> {
        let info = self.store.info();
        let rows = info.shard_rows(shard);
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
            let class = self.manifest.folder_class(row).and_then(|label| self.classes_by_folder.get(label));
            if let (Ok(labels), Some(&class)) = (image, class) {
                agreement.count(labels.prediction.rank_of(class));
            }
        }
        agreement
    }
}
