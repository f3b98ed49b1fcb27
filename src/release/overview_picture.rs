//! `overview.png`: a picture of the labels of some images.

use std::collections::BTreeMap;

use super::publish_options::OverviewPicture;
use crate::inspection::inspect::{ImageStatistics, ImageViewer};
use crate::inspection::picture::{PictureError, Scene, draw_image, draw_maps, draw_predictions};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::store::{RowState, StoreReader};

/// Name of the file.
pub(super) const OVERVIEW: &str = "overview.png";
/// Number of images side by side.
const SHOWN: usize = 3;

/// Score of an image as an example in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    row: usize,
    /// Best class of the target of the full image.
    class: u32,
    interest: f32,
}

impl Candidate {
    /// Prefers several objects, two classes that share the target, few scattered classes, and a confident teacher.
    pub(super) fn of(row: usize, statistics: &ImageStatistics, class_count: usize) -> Self {
        let prob = |rank: usize| statistics.target.probs.get(rank).copied().unwrap_or(0.0);
        // Without a label map, the best classes of tiles replace objects.
        let objects = if statistics.objects > 0 { statistics.objects } else { statistics.winners.len() }.min(4) as f32;
        let crowd = 1.0 + statistics.winners.len().saturating_sub(5) as f32;
        let uncertainty = statistics.entropy / (class_count.max(2) as f32).ln();
        let confidence = (1.0 - uncertainty).max(0.0).powi(2);
        let interest = (1.0 + objects) * confidence * (0.2 + prob(1).min(0.3)) / crowd;
        Self { row, class: statistics.target.classes.first().copied().unwrap_or_default(), interest }
    }
}

/// The most interesting image of each class.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    of_class: BTreeMap<u32, Candidate>,
}

impl Candidates {
    /// Adds an image. The first of equally interesting ones is kept.
    pub(super) fn add(&mut self, candidate: Candidate) {
        let best = self.of_class.entry(candidate.class).or_insert(candidate);
        if candidate.interest > best.interest {
            *best = candidate;
        }
    }

    /// Returns the rows of the most interesting images, all of different classes.
    fn best(&self) -> Vec<usize> {
        let mut candidates: Vec<&Candidate> = self.of_class.values().collect();
        candidates.sort_by(|a, b| b.interest.total_cmp(&a.interest).then(a.row.cmp(&b.row)));
        candidates.iter().take(SHOWN).map(|candidate| candidate.row).collect()
    }
}

/// Draws the picture. Returns its bytes and the rows that it shows.
pub(super) fn overview(
    store: &StoreReader,
    manifest: &Manifest,
    classes: &ClassList,
    teacher: &str,
    picture: &OverviewPicture,
    candidates: &Candidates,
) -> Result<(Vec<u8>, Vec<usize>), Error> {
    let failed = |problem: String| Error::Store { path: store.path().to_path_buf(), problem: problem.into() };
    let mut viewer = ImageViewer::new(store.info(), manifest, classes);
    let mut view = |row: usize| match store.row(row)? {
        RowState::Labelled(labels) => {
            viewer.view(row, labels, None).map_err(|error| failed(format!("row {row}: {error}")))
        }
        RowState::Failed(_) | RowState::ToDo => {
            Err(failed(format!("the labels of row {row} were deleted during publication")))
        }
    };
    let draw_error = |error: PictureError| failed(format!("cannot draw {OVERVIEW}: {error}"));
    match picture {
        OverviewPicture::Image { row, photo } => {
            let scene = Scene { view: &view(*row)?, classes, teacher, photo: photo.as_ref() };
            Ok((draw_image(&scene).map_err(draw_error)?, vec![*row]))
        }
        OverviewPicture::Automatic => {
            let rows = candidates.best();
            let views = rows.iter().map(|&row| view(row)).collect::<Result<Vec<_>, _>>()?;
            let draw = if store.info().map_size.is_some() { draw_maps } else { draw_predictions };
            Ok((draw(&views, classes, teacher).map_err(draw_error)?, rows))
        }
    }
}
