//! `overview.png`: what label maps look like.

use std::collections::BTreeMap;

use super::request::Picture;
use crate::inspection::inspect::{Figures, View};
use crate::inspection::picture::{Scene, draw, draw_maps};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::store::{RowState, StoreReader};

/// The file.
pub(super) const OVERVIEW: &str = "overview.png";
/// Label maps side by side.
const SHOWN: usize = 3;

/// How much there is to see in an image's map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    row: usize,
    /// The best class of its pooled label.
    class: u32,
    interest: f32,
}

impl Candidate {
    /// Several objects, two classes that share the label, few that win only here and there; and a teacher that is sure.
    pub(super) fn of(row: usize, figures: &Figures, class_count: usize) -> Self {
        let prob = |rank: usize| figures.whole.probs.get(rank).copied().unwrap_or(0.0);
        let objects = figures.objects.min(4) as f32;
        let crowd = 1.0 + figures.winners.len().saturating_sub(5) as f32;
        let doubt = figures.entropy / (class_count.max(2) as f32).ln();
        let is_sure = (1.0 - doubt).max(0.0).powi(2);
        let interest = (1.0 + objects) * is_sure * (0.2 + prob(1).min(0.3)) / crowd;
        Self { row, class: figures.whole.classes.first().copied().unwrap_or_default(), interest }
    }
}

/// The most interesting image of each class.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    of_class: BTreeMap<u32, Candidate>,
}

impl Candidates {
    /// Sees the next image. Of equal ones the first stays.
    pub(super) fn see(&mut self, candidate: Candidate) {
        let best = self.of_class.entry(candidate.class).or_insert(candidate);
        if candidate.interest > best.interest {
            *best = candidate;
        }
    }

    /// Rows of the most interesting images, of different classes.
    fn best(&self) -> Vec<usize> {
        let mut candidates: Vec<&Candidate> = self.of_class.values().collect();
        candidates.sort_by(|a, b| b.interest.total_cmp(&a.interest).then(a.row.cmp(&b.row)));
        candidates.iter().take(SHOWN).map(|candidate| candidate.row).collect()
    }
}

/// Draws the picture. Gives its bytes and the rows that it shows.
pub(super) fn overview(
    store: &StoreReader,
    manifest: &Manifest,
    classes: &ClassList,
    teacher: &str,
    picture: &Picture,
    candidates: &Candidates,
) -> Result<(Vec<u8>, Vec<usize>), Error> {
    let failed = |problem: String| Error::Store { path: store.path().to_path_buf(), problem: problem.into() };
    let view = |row: usize| match store.row(row)? {
        RowState::Labelled(labels) => {
            View::new(manifest, row, labels, classes, None).map_err(|problem| failed(format!("row {row}: {problem}")))
        }
        RowState::Failed(_) | RowState::ToDo => Err(failed(format!("row {row} has no labels any more"))),
    };
    let undrawn = |problem: String| failed(format!("{OVERVIEW} cannot be drawn: {problem}"));
    match picture {
        Picture::Of { row, photo } => {
            let scene = Scene { view: &view(*row)?, classes, teacher, photo: photo.as_ref() };
            Ok((draw(&scene).map_err(undrawn)?, vec![*row]))
        }
        Picture::Chosen => {
            let rows = candidates.best();
            let views = rows.iter().map(|&row| view(row)).collect::<Result<Vec<_>, _>>()?;
            Ok((draw_maps(&views, classes, teacher).map_err(undrawn)?, rows))
        }
    }
}
