//! Summary of a comparison.

use serde::Serialize;

use super::cell_figures::CellFigures;
use super::compared_image::ComparedImage;
use super::comparison::{Comparison, StoreSide};
use super::difference_histogram::DifferenceHistogram;
use super::folder_class_comparison::FolderClassComparison;
use super::tile_comparison::TileFigures;
use crate::shared::digest::Digest;
use crate::shared::geometry::MapSize;
use crate::shared::tiles::Tiles;

/// Number of images and classes that a summary lists.
const LISTED: usize = 10;

/// Summary of a comparison of two stores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparisonSummary {
    /// The first store.
    pub a: SideSummary,
    /// The second store.
    pub b: SideSummary,
    /// Whether the stores have the same manifest.
    pub same_manifest: bool,
    /// Number of images that both stores list.
    pub common: usize,
    /// Number of compared images: those that both stores have labels of.
    pub images: usize,
    /// Number of common images that only one store has labels of.
    pub labelled_in_one: usize,
    /// Number of compared images whose scores, classes and probabilities, as far as both stores have them, are the same bits.
    pub identical_images: usize,
    /// Whether all common images are identical, or without labels in both stores.
    pub identical: bool,
    /// Fraction of cells with the same best class; of crops whose target has the same best class if the maps have different
    /// sizes.
    pub agreement: f64,
    /// What the agreement is a fraction of: `cells` or `crops`.
    pub agreement_of: &'static str,
    /// Comparison of the cells; `None` if the maps have different sizes.
    pub cells: Option<CellSummary>,
    /// Comparison of the predictions.
    pub predictions: PredictionSummary,
    /// Comparison of the predictions for tiles; `None` if the stores have no tiles in common.
    pub tiles: Option<TileSummary>,
    /// Comparison of the targets of random crops.
    pub targets: TargetSummary,
    /// The images with the lowest agreement, without identical ones.
    pub worst: Vec<WorstImage>,
    /// The folder classes with the lowest agreement, if it is below 1.
    pub lowest_agreement: Vec<FolderClassComparison>,
}

/// One of the two stores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideSummary {
    /// Name of the teacher.
    pub teacher: String,
    /// SHA-256 of the teacher's ONNX file.
    pub teacher_sha256: Digest,
    /// Classes kept in each cell.
    pub k: usize,
    /// Rows and columns of cells.
    pub map_size: Option<MapSize>,
    /// Steps for each unit of score to which scores are rounded; `None` if only float16 rounds them.
    pub score_steps: Option<u16>,
    /// Tiles that have predictions of their own; `None` without any.
    pub tiles: Option<Tiles>,
    /// Whether predictions are pooled from label maps, as in imported stores, and not the teacher's own.
    pub pooled_predictions: bool,
    /// Number of images in the manifest.
    pub images: usize,
    /// Number of common images that could not be labelled.
    pub failed: usize,
    /// Number of common images whose shards are not done.
    pub to_do: usize,
    /// Number of images that the other store does not list.
    pub only_here: usize,
    /// Id of one of them.
    pub only_here_example: Option<String>,
}

/// Comparison of cells, over all cells of the compared images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellSummary {
    /// Number of cells.
    pub cells: u64,
    /// Number of cells with the same best class.
    pub same_best: u64,
    /// The smaller k.
    pub k: usize,
    /// Mean over cells of the fraction of the best k classes that both stores have.
    pub rank_overlap: f64,
    /// Fraction of the classes kept by either store that only one keeps.
    pub only_in_one: f64,
    /// Absolute differences of the scores of classes that both stores keep in a cell.
    pub scores: DifferenceSummary,
}

/// Summary of absolute differences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DifferenceSummary {
    /// Number of differences.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Quantiles, with a relative error of at most 0.05 %.
    pub quantiles: DifferenceQuantiles,
    /// Maximum.
    pub max: f64,
}

/// Quantiles of absolute differences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DifferenceQuantiles {
    /// Median.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
}

/// Comparison of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PredictionSummary {
    /// Fraction of images with the same best class.
    pub same_best: f64,
    /// Mean total variation distance.
    pub mean_distance: f64,
    /// Largest total variation distance.
    pub max_distance: f64,
}

/// Comparison of the predictions for tiles, over all common tiles of the compared images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TileSummary {
    /// Number of tiles per image that both stores have.
    pub tiles: usize,
    /// Fraction of tiles with the same best class.
    pub same_best: f64,
    /// Mean total variation distance.
    pub mean_distance: f64,
    /// Largest total variation distance.
    pub max_distance: f64,
}

/// Comparison of the targets of random crops.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TargetSummary {
    /// Number of crops per image.
    pub crops: usize,
    /// Seed of the crops.
    pub seed: u64,
    /// Fraction of crops whose target has the same best class.
    pub same_best: f64,
    /// Total variation distances.
    pub distance: DifferenceSummary,
}

/// An image with a low agreement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorstImage {
    /// Id of the image.
    pub id: String,
    /// Row in the first store.
    pub row_a: usize,
    /// Row in the second store.
    pub row_b: usize,
    /// Folder of the image.
    pub label: Option<String>,
    /// Agreement of the image.
    pub agreement: f64,
    /// Mean total variation distance of the targets of its crops.
    pub target_distance: f32,
    /// What the second map resembles more: "x and y swapped", "the map of ...".
    pub looks_like: Option<String>,
}

impl Comparison<'_> {
    /// Summarises the comparison.
    #[must_use]
    pub fn summary(&self) -> ComparisonSummary {
        let images = &self.images;
        let mean =
            |value: fn(&ComparedImage) -> f64| images.iter().map(value).sum::<f64>() / images.len().max(1) as f64;
        let cells = self.cell_summary();
        let same_target = mean(|image| f64::from(image.crops.same_best));
        let cell_agreement = cells.as_ref().map(|cells| cells.same_best as f64 / cells.cells.max(1) as f64);
        let identical_images = images.iter().filter(|image| image.is_identical).count();
        let mut lowest_agreement = self.folder_classes();
        lowest_agreement.retain(|class| class.agreement < 1.0);
        lowest_agreement.sort_by(|a, b| a.agreement.total_cmp(&b.agreement).then(b.images.cmp(&a.images)));
        lowest_agreement.truncate(LISTED);
        ComparisonSummary {
            a: self.side_summary(0),
            b: self.side_summary(1),
            same_manifest: self.pairs.same_manifest,
            common: self.pairs.len(),
            images: images.len(),
            labelled_in_one: self.labelled_in_one,
            identical_images,
            identical: identical_images == images.len() && self.labelled_in_one == 0,
            agreement: cell_agreement.unwrap_or(same_target),
            agreement_of: if cells.is_some() { "cells" } else { "crops" },
            cells,
            predictions: PredictionSummary {
                same_best: mean(|image| f64::from(u8::from(image.same_prediction))),
                mean_distance: mean(|image| f64::from(image.prediction_distance)),
                max_distance: images.iter().map(|image| f64::from(image.prediction_distance)).fold(0.0, f64::max),
            },
            tiles: self.tile_summary(),
            targets: TargetSummary {
                crops: self.options.crops,
                seed: self.options.seed,
                same_best: same_target,
                distance: summary(&self.totals.targets, mean(|image| f64::from(image.crops.mean_distance))),
            },
            worst: images
                .iter()
                .filter(|image| !image.is_identical)
                .take(LISTED)
                .map(|image| self.worst(image))
                .collect(),
            lowest_agreement,
        }
    }

    fn cell_summary(&self) -> Option<CellSummary> {
        let [a, b] = self.sides.map(|side| side.store.info());
        if a.map_size != b.map_size {
            return None;
        }
        let figures = || self.images.iter().filter_map(|image| image.cells.as_ref());
        let sum = |value: fn(&CellFigures) -> u32| figures().map(|cells| u64::from(value(cells))).sum();
        let share = |part: u64, of: u64| part as f64 / of.max(1) as f64;
        let (shared, only_one): (u64, u64) = (sum(|cells| cells.shared), sum(|cells| cells.only_one));
        let score_sum: f64 = figures().map(|cells| cells.score_sum).sum();
        Some(CellSummary {
            cells: sum(|cells| cells.cells),
            same_best: sum(|cells| cells.same_best),
            k: a.k.min(b.k),
            rank_overlap: share(sum(|cells| cells.shared_ranks), sum(|cells| cells.ranks)),
            only_in_one: share(only_one, shared + only_one),
            scores: summary(&self.totals.scores, score_sum / shared.max(1) as f64),
        })
    }

    fn tile_summary(&self) -> Option<TileSummary> {
        let figures = || self.images.iter().filter_map(|image| image.tiles);
        let images = figures().count();
        let mean = |value: fn(TileFigures) -> f32| {
            figures().map(|tiles| f64::from(value(tiles))).sum::<f64>() / images.max(1) as f64
        };
        (images > 0).then(|| TileSummary {
            tiles: self.tiles.count(),
            same_best: mean(|tiles| tiles.same_best),
            mean_distance: mean(|tiles| tiles.mean_distance),
            max_distance: figures().map(|tiles| f64::from(tiles.max_distance)).fold(0.0, f64::max),
        })
    }

    fn side_summary(&self, side: usize) -> SideSummary {
        let StoreSide { store, .. } = self.sides[side];
        let (info, only_in) = (store.info(), &self.pairs.only_in[side]);
        SideSummary {
            teacher: info.teacher.name.clone(),
            teacher_sha256: info.teacher.sha256.clone(),
            k: info.k,
            map_size: info.map_size,
            score_steps: info.score_steps,
            tiles: info.tiles.clone(),
            pooled_predictions: info.imported.is_some(),
            images: info.images,
            failed: self.unlabelled[side].failed,
            to_do: self.unlabelled[side].to_do,
            only_here: only_in.images,
            only_here_example: only_in.example.clone(),
        }
    }

    fn worst(&self, image: &ComparedImage) -> WorstImage {
        let manifest = self.sides[0].manifest;
        WorstImage {
            id: manifest.id(image.row_a).to_owned(),
            row_a: image.row_a,
            row_b: image.row_b,
            label: manifest.folder_class(image.row_a).map(str::to_owned),
            agreement: image.agreement(),
            target_distance: image.crops.mean_distance,
            looks_like: self.likeness_text(image),
        }
    }
}

fn summary(differences: &DifferenceHistogram, mean: f64) -> DifferenceSummary {
    DifferenceSummary {
        count: differences.count(),
        mean,
        quantiles: DifferenceQuantiles {
            p50: differences.quantile(0.5),
            p90: differences.quantile(0.9),
            p99: differences.quantile(0.99),
            p99_9: differences.quantile(0.999),
        },
        max: differences.max(),
    }
}
