//! Walks a store once and compares its labels with each truth.

use super::truth_tally::{CensoredCells, ComparedImage, ImageFindings, TruthTally};
use crate::evaluation::evaluation_file::TruthFigures;
use crate::evaluation::metrics::{LocalizedImage, ObjectBoxes, OverlapScratch, localize, sparse_prediction};
use crate::evaluation::truth::{ImageBoxes, Truth};
use crate::inspection::inspect::{FinishedRow, walk};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::geometry::UnitBox;
use crate::shared::label_map::LabelMap;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::store::StoreReader;
use crate::training::pool::{PoolError, PoolOptions, Pooler};

/// Rows whose labels are held in memory at a time.
const BLOCK_ROWS: usize = 4096;

/// Compares the labels of all labelled rows with each truth, on the threads of the current rayon pool. If the store has no label
/// maps, only predictions are compared.
///
/// # Errors
/// Returns [`Error::Interrupted`] if a stop was requested, [`Error::Store`] if a shard is damaged, [`Error::Usage`] if no
/// labelled image has a truth, and [`Error::NoLabelMaps`] if a truth has only boxes, and the store has no label maps.
pub fn evaluate_truths(
    store: &StoreReader,
    manifest: &Manifest,
    truths: &[Truth],
    monitor: &dyn Monitor,
) -> Result<Vec<TruthFigures>, Error> {
    if truths.iter().any(|truth| truth.has_boxes() && !truth.has_classes()) {
        store.map_size("evaluate boxes")?;
    }
    let classes: ClassList = (&store.info().classes).into();
    let class_count = classes.entries().len();
    let folder_classes = classes.by_folder_class();
    let folder_class = |row: usize| manifest.folder_class(row).and_then(|label| folder_classes.get(label)).copied();
    let damaged = |row: usize, problem: &PoolError| Error::Store {
        path: store.path().to_path_buf(),
        problem: format!("row {row}: {problem}").into(),
    };
    let make_scratch = || (Pooler::new(class_count, PoolOptions::default()), OverlapScratch::new());
    let examine = |scratch: &mut (Pooler, OverlapScratch), row: usize, finished: FinishedRow| {
        let FinishedRow::Labelled(labels) = finished else { return Ok(None) };
        let (pooler, overlaps) = scratch;
        let map = labels.map.as_ref();
        let pooled = map.map(|map| pooler.pool_sparse(map, UnitBox::WHOLE.into())).transpose();
        let pooled = pooled.map_err(|problem| damaged(row, &problem))?;
        let truths = truths.iter().map(|truth| findings(truth, row, map, folder_class(row), overlaps)).collect();
        Ok(Some(ComparedImage {
            row,
            pooled: pooled.map(|parts| parts.into_iter().next().unwrap_or_default()),
            prediction: sparse_prediction(&labels.prediction),
            truths,
        }))
    };
    let mut tallies: Vec<TruthTally> = truths.iter().map(|_| TruthTally::new(class_count)).collect();
    let rows: Vec<usize> = (0..manifest.len()).collect();
    for rows in rows.chunks(BLOCK_ROWS) {
        for image in walk(store, rows, monitor, make_scratch, examine)?.into_iter().flatten() {
            for (at, (truth, tally)) in truths.iter().zip(&mut tallies).enumerate() {
                tally.add(truth, &image, &image.truths[at]);
            }
        }
    }
    truths.iter().zip(tallies).map(|(truth, tally)| tally.finish(truth, manifest, &classes)).collect()
}

/// Compares the map of a row with its truth.
fn findings(
    truth: &Truth,
    row: usize,
    map: Option<&LabelMap>,
    folder_class: Option<u32>,
    overlaps: &mut OverlapScratch,
) -> ImageFindings {
    let Some(map) = map else { return ImageFindings::default() };
    let classes = truth.classes(row).filter(|classes| !classes.is_empty());
    let censored = classes.map(|classes| censored(map, classes));
    let (objects, boxes_without_class) = truth.boxes(row).map_or((Vec::new(), 0), |boxes| objects(boxes, folder_class));
    let localized: Vec<LocalizedImage> = objects.iter().map(|objects| localize(overlaps, map, objects)).collect();
    ImageFindings { censored, localized, boxes_without_class }
}

/// Counts the cells that have none of the true classes.
fn censored(map: &LabelMap, classes: &[u32]) -> CensoredCells {
    let cells = map.size().cells();
    let has_none = |cell: &usize| !map.cell(*cell).1.iter().any(|kept| classes.contains(kept));
    CensoredCells { cells, censored: (0..cells).filter(has_none).count() }
}

/// Groups boxes by class. A box without a class gets the folder class; without one, it is counted.
fn objects(image: &ImageBoxes, folder_class: Option<u32>) -> (Vec<ObjectBoxes>, usize) {
    let mut groups: Vec<ObjectBoxes> = Vec::new();
    let mut without_class = 0;
    for true_box in &image.boxes {
        let Some(class) = true_box.class.or(folder_class) else {
            without_class += 1;
            continue;
        };
        let sides = [true_box.x0, true_box.y0, true_box.x1, true_box.y1];
        match groups.iter_mut().find(|group| group.class == class) {
            Some(group) => group.boxes.push(sides),
            None => groups.push(ObjectBoxes {
                class,
                image: [image.width_pixels as usize, image.height_pixels as usize],
                boxes: vec![sides],
            }),
        }
    }
    (groups, without_class)
}
