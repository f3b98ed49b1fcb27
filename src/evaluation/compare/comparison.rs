//! Comparison of all images that two stores have in common.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;

use super::class_mapping::ClassMapping;
use super::compared_image::{ComparedImage, DifferenceTotals, ImageComparer};
use super::image_pairs::ImagePairs;
use super::likeness::{Likeness, MapPair, find_likenesses};
use super::tile_comparison::CommonTiles;
use crate::inspection::audit::random_crops;
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::label_map::ImageLabels;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::printable::printable_path;
use crate::shared::store::{Agreement, DecodeScratch, RowState, StoreReader};

/// Options of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComparisonOptions {
    /// Number of random crops per image, the same for all images; at least 1.
    pub crops: usize,
    /// Seed of the random crops.
    pub seed: u64,
}

/// One of two stores, with its manifest.
#[derive(Clone, Copy)]
pub struct StoreSide<'a> {
    /// The store.
    pub store: &'a StoreReader,
    /// Its manifest.
    pub manifest: &'a Manifest,
}

/// Numbers of common images that one store has no labels of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unlabelled {
    /// Images that could not be labelled.
    pub(super) failed: usize,
    /// Images whose shards are not done.
    pub(super) to_do: usize,
}

/// A comparison of two stores: their common images, ranked.
pub struct Comparison<'a> {
    pub(super) sides: [StoreSide<'a>; 2],
    pub(super) pairs: ImagePairs,
    pub(super) classes: ClassList,
    pub(super) options: ComparisonOptions,
    pub(super) tiles: CommonTiles,
    /// Lowest agreement first.
    pub(super) images: Vec<ComparedImage>,
    pub(super) totals: DifferenceTotals,
    pub(super) unlabelled: [Unlabelled; 2],
    /// Number of common images that only one store has labels of.
    pub(super) labelled_in_one: usize,
    /// What the maps of the images that differ most resemble, by row of the first store.
    likenesses: HashMap<usize, Likeness>,
    mapping: ClassMapping,
}

/// Rows per task.
const ROWS_AT_ONCE: usize = 64;

/// Number of images, those that differ most, for which [`Likeness`] is tested: their maps are compared with each other.
const TESTED_IMAGES: usize = 64;

impl<'a> Comparison<'a> {
    /// Compares the images that both stores have labels of, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if a stop was requested, and [`Error::Store`] if the class lists have different entries,
    /// no image has labels in both stores, or a shard is damaged.
    pub fn run(
        a: StoreSide<'a>,
        b: StoreSide<'a>,
        pairs: ImagePairs,
        options: ComparisonOptions,
        monitor: &dyn Monitor,
    ) -> Result<Self, Error> {
        for side in [&a, &b] {
            side.store.map_size("compare label maps")?;
        }
        let mapping = ClassMapping::new(&a.store.info().classes, &b.store.info().classes)
            .map_err(|error| cannot_compare(&a, &b, &error.to_string()))?;
        let mut comparison = Self {
            sides: [a, b],
            pairs,
            classes: (&a.store.info().classes).into(),
            options,
            tiles: CommonTiles::new(a.store.info().tiles.as_ref(), b.store.info().tiles.as_ref()),
            images: Vec::new(),
            totals: DifferenceTotals::default(),
            unlabelled: [Unlabelled::default(); 2],
            labelled_in_one: 0,
            likenesses: HashMap::new(),
            mapping,
        };
        comparison.compare_images(monitor)?;
        if comparison.images.is_empty() {
            let [a_state, b_state] = comparison
                .unlabelled
                .map(|unlabelled| format!("{} failed and {} to do", unlabelled.failed, unlabelled.to_do));
            let problem = format!(
                "no image has labels in both stores: {a_state} in A, {b_state} in B\n  help: label images with `relabel run`, \
                 then compare"
            );
            return Err(cannot_compare(&a, &b, &problem));
        }
        comparison.images.sort_by(ComparedImage::by_agreement);
        comparison.find_likenesses(monitor)?;
        Ok(comparison)
    }

    /// Returns the compared images, lowest agreement first.
    #[must_use]
    pub fn images(&self) -> &[ComparedImage] {
        &self.images
    }

    /// The classes of the first store, which figures and tables refer to.
    #[must_use]
    pub fn classes(&self) -> &ClassList {
        &self.classes
    }

    /// Returns what the second map of an image resembles, if it was tested and resembles anything.
    #[must_use]
    pub fn likeness(&self, image: &ComparedImage) -> Option<Likeness> {
        self.likenesses.get(&image.row_a).copied()
    }

    /// Returns a description that continues "looks like: ".
    #[must_use]
    pub fn likeness_text(&self, image: &ComparedImage) -> Option<String> {
        Some(match self.likeness(image)? {
            Likeness::Rearranged(arrangement) => arrangement.description().to_owned(),
            Likeness::OtherImage { row_a } => format!("the map of {}", self.sides[0].manifest.id(row_a)),
        })
    }

    /// Reads the labels of an image in both stores, with the class ids of the first.
    ///
    /// # Errors
    /// Returns an error of a store if its labels cannot be read any more.
    pub fn labels(&self, image: &ComparedImage) -> Result<[ImageLabels; 2], Error> {
        let [a, b] = self.sides;
        let labels = |side: StoreSide<'_>, row: usize| match side.store.row(row)? {
            RowState::Labelled(labels) => Ok(labels),
            _ => Err(changed(side.store, row)),
        };
        Ok([labels(a, image.row_a)?, self.mapping.apply(labels(b, image.row_b)?)])
    }

    fn compare_images(&mut self, monitor: &dyn Monitor) -> Result<(), Error> {
        let [a, b] = self.sides;
        let crops = random_crops(self.options.crops.max(1), self.options.seed);
        let class_count = a.store.info().classes.count;
        let totals = Mutex::new(DifferenceTotals::default());
        let make_scratch = || {
            (ImageComparer::new(class_count, &crops, &self.tiles), [DecodeScratch::default(), DecodeScratch::default()])
        };
        let chunks = self.pairs.rows.par_chunks(ROWS_AT_ONCE).map_init(make_scratch, |(comparer, scratch), rows| {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let mut compared = ComparedChunk::default();
            for &(row_a, row_b) in rows {
                let in_a = a.store.row_with(row_a, &mut scratch[0])?;
                let in_b = b.store.row_with(row_b, &mut scratch[1])?;
                let (in_a, in_b) = (compared.count(0, in_a), compared.count(1, in_b));
                match (in_a, in_b) {
                    (Some(in_a), Some(in_b)) => {
                        let in_b = self.mapping.apply(in_b);
                        let image = comparer.compare((row_a, &in_a), (row_b, &in_b)).map_err(|error| Error::Store {
                            path: a.store.path().to_path_buf(),
                            problem: format!("row {row_a}: {error}").into(),
                        })?;
                        compared.images.push(image);
                    }
                    (None, None) => {}
                    _ => compared.labelled_in_one += 1,
                }
            }
            totals.lock().unwrap_or_else(PoisonError::into_inner).take(&mut comparer.totals);
            monitor.images_done(compared.images.len(), rows.len() - compared.images.len(), Agreement::default());
            Ok(compared)
        });
        let mut results = Vec::new();
        chunks.collect_into_vec(&mut results);
        for chunk in results {
            let chunk = chunk?;
            self.images.extend(chunk.images);
            self.labelled_in_one += chunk.labelled_in_one;
            for (total, chunk) in self.unlabelled.iter_mut().zip(chunk.unlabelled) {
                total.failed += chunk.failed;
                total.to_do += chunk.to_do;
            }
        }
        self.totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(())
    }

    /// Tests what the maps of the images that differ most resemble.
    fn find_likenesses(&mut self, monitor: &dyn Monitor) -> Result<(), Error> {
        let [a, b] = self.sides;
        let mut pairs = Vec::new();
        for image in self.images.iter().take(TESTED_IMAGES).filter(|image| image.agreement() < 1.0) {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let [in_a, in_b] = self.labels(image)?;
            if let (Some(a), Some(b)) = (in_a.map, in_b.map) {
                pairs.push(MapPair { row_a: image.row_a, a, b });
            }
        }
        let class_count = a.store.info().classes.count.max(b.store.info().classes.count);
        let typical = self.images.get(self.images.len() / 2).map_or(1.0, ComparedImage::agreement);
        let found = find_likenesses(&pairs, &self.images, class_count, typical);
        self.likenesses = pairs.iter().zip(found).filter_map(|(pair, found)| Some((pair.row_a, found?))).collect();
        Ok(())
    }
}

/// Results of a few rows.
#[derive(Default)]
struct ComparedChunk {
    images: Vec<ComparedImage>,
    unlabelled: [Unlabelled; 2],
    labelled_in_one: usize,
}

impl ComparedChunk {
    /// Returns the labels, or counts why there are none.
    fn count(&mut self, side: usize, state: RowState) -> Option<ImageLabels> {
        match state {
            RowState::Labelled(labels) => return Some(labels),
            RowState::Failed(_) => self.unlabelled[side].failed += 1,
            RowState::ToDo => self.unlabelled[side].to_do += 1,
        }
        None
    }
}

fn cannot_compare(a: &StoreSide<'_>, b: &StoreSide<'_>, problem: &str) -> Error {
    let problem = format!("cannot compare it (B) with {} (A): {problem}", printable_path(a.store.path()));
    Error::Store { path: b.store.path().to_path_buf(), problem: problem.into() }
}

fn changed(store: &StoreReader, row: usize) -> Error {
    let problem = format!("row {row}: its labels were removed while they were compared\n  help: compare again");
    Error::Store { path: store.path().to_path_buf(), problem: problem.into() }
}
