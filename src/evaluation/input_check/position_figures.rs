//! How the cells of label maps move with the image.

use serde::Serialize;

use crate::evaluation::evaluation_file::Estimate;
use crate::labelling::teacher::{Locality, ProbeResult};

/// Whether the cells of label maps look where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionCheck {
    /// Number of mirrored images.
    pub images: usize,
    /// Shares of cells with the same best class; `None` for maps with one column.
    pub mirror: Option<MirrorFigures>,
    /// Responses of labels to changed patches; `None` for maps with one cell.
    pub probe: Option<ProbeResult>,
    /// What this means.
    pub verdict: PositionVerdict,
}

/// Fractions of cells that have the same best class in the map of an image and in the map of its mirror image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MirrorFigures {
    /// The map of the mirror image is mirrored back.
    pub mirrored_back: Estimate,
    /// It is not mirrored back: the baseline.
    pub not_mirrored: Estimate,
    /// It is turned upside down instead.
    pub upside_down: Estimate,
    /// It is mirrored back and moved by `shift_columns`.
    pub shifted: Option<Estimate>,
    /// The shift of two or more columns that fits best.
    pub shift_columns: i64,
    /// The maps of two different images: chance.
    pub other_image: Option<Estimate>,
}

/// What a position check shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PositionVerdict {
    /// Cells look where they are.
    Consistent,
    /// Too few images or cells, or labels that hardly depend on the image.
    Inconclusive(String),
    /// Cells look elsewhere, by what was seen.
    Elsewhere(String),
}

/// What the responses to patches show.
pub(super) enum ProbeEvidence {
    Agrees,
    Unclear,
    /// They are low, as those of cells in random order, or of labels that hardly respond.
    Low,
    /// They follow a different order of cells.
    Contradicts(String),
}

/// What the mirrored images show.
pub(super) enum MirrorEvidence {
    Agrees,
    Unclear,
    /// A different order of cells fits better.
    Contradicts(String),
}

/// Judges the responses to patches.
pub(super) fn probe_evidence(probe: &ProbeResult) -> ProbeEvidence {
    if probe.passes() {
        return ProbeEvidence::Agrees;
    }
    let [rows, columns] = probe.along;
    let mirrored = |value: Option<f32>| value.is_some_and(|value| value <= -0.6);
    let seen = match (mirrored(rows), mirrored(columns)) {
        (true, true) => "the lower right cells respond to changes at the upper left",
        (true, false) => "the lower cells respond to changes at the top",
        (false, true) => "the right cells respond to changes at the left",
        (false, false) if probe.across.iter().flatten().any(|&value| value >= 0.75) => {
            "rows of cells respond to changes along columns of the image"
        }
        (false, false) if probe.near >= 0.6 && probe.shift.iter().any(|shift| shift.abs() > ProbeResult::MAX_SHIFT) => {
            "cells respond to changes one cell away"
        }
        (false, false) => {
            let is_low = probe.near < 0.5 && probe.along.iter().flatten().any(|&value| value < 0.5);
            return if is_low { ProbeEvidence::Low } else { ProbeEvidence::Unclear };
        }
    };
    ProbeEvidence::Contradicts(format!("{seen}: {probe}"))
}

/// Combines both kinds of evidence. Positions that the graph structure proves are never contradicted by labels alone.
pub(super) fn verdict(probe: &ProbeEvidence, mirror: &MirrorEvidence, locality: &Locality) -> PositionVerdict {
    let elsewhere = |seen: String| match locality {
        Locality::Structure => {
            PositionVerdict::Inconclusive(format!("{seen}; but the graph structure shows the positions"))
        }
        _ => PositionVerdict::Elsewhere(seen),
    };
    match (probe, mirror) {
        (ProbeEvidence::Contradicts(seen), _) | (ProbeEvidence::Unclear, MirrorEvidence::Contradicts(seen)) => {
            elsewhere(seen.clone())
        }
        (ProbeEvidence::Low, MirrorEvidence::Contradicts(seen)) => {
            elsewhere(format!("{seen}, and cells do not respond to changes at their places"))
        }
        (ProbeEvidence::Low, MirrorEvidence::Unclear) => {
            elsewhere("cells do not respond to changes at their places".to_owned())
        }
        (ProbeEvidence::Agrees, MirrorEvidence::Contradicts(seen)) => {
            PositionVerdict::Inconclusive(format!("{seen}; but cells respond to changes at their places"))
        }
        (ProbeEvidence::Low, MirrorEvidence::Agrees) => PositionVerdict::Inconclusive(
            "maps are mirrored with the image, but cells respond to changes elsewhere".to_owned(),
        ),
        (ProbeEvidence::Agrees, _) | (ProbeEvidence::Unclear, MirrorEvidence::Agrees) => PositionVerdict::Consistent,
        (ProbeEvidence::Unclear, MirrorEvidence::Unclear) => {
            PositionVerdict::Inconclusive("labels hardly depend on the image".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(along: [f32; 2], across: [f32; 2], near: f32, shift: [f32; 2]) -> ProbeResult {
        ProbeResult {
            photographs: 2,
            patches: 32,
            along: along.map(Some),
            across: across.map(Some),
            near,
            shift,
            example: None,
        }
    }

    #[test]
    fn orders_of_cells_are_named_by_what_was_seen() {
        let seen = |result: ProbeResult| match probe_evidence(&result) {
            ProbeEvidence::Agrees => "agrees".to_owned(),
            ProbeEvidence::Unclear => "unclear".to_owned(),
            ProbeEvidence::Low => "low".to_owned(),
            ProbeEvidence::Contradicts(seen) => seen,
        };
        assert_eq!(seen(probe([0.99, 0.98], [0.1, 0.0], 1.0, [0.2, 0.0])), "agrees");
        assert!(seen(probe([0.99, -0.98], [0.1, 0.0], 0.2, [0.0; 2])).contains("at the left"));
        assert!(seen(probe([-0.99, 0.98], [0.1, 0.0], 0.2, [0.0; 2])).contains("at the top"));
        assert!(seen(probe([0.1, 0.0], [0.98, 0.99], 0.2, [0.0; 2])).contains("along columns"));
        assert!(seen(probe([0.9, 0.7], [0.0, 0.0], 0.9, [0.0, 1.0])).contains("one cell away"));
        assert_eq!(seen(probe([0.2, 0.1], [0.0, 0.2], 0.3, [0.0; 2])), "low");
        assert_eq!(seen(probe([0.8, 0.85], [0.0, 0.2], 0.6, [0.0; 2])), "unclear");
    }

    #[test]
    fn positions_shown_by_the_graph_are_not_refused() {
        let contradicts = || ProbeEvidence::Contradicts("seen".to_owned());
        let unchecked = verdict(&contradicts(), &MirrorEvidence::Agrees, &Locality::Unchecked);
        assert_eq!(unchecked, PositionVerdict::Elsewhere("seen".to_owned()));
        let proved = verdict(&contradicts(), &MirrorEvidence::Agrees, &Locality::Structure);
        assert!(matches!(proved, PositionVerdict::Inconclusive(_)), "{proved:?}");
        let low = verdict(&ProbeEvidence::Low, &MirrorEvidence::Agrees, &Locality::Unchecked);
        assert!(matches!(low, PositionVerdict::Inconclusive(_)), "{low:?}");
    }
}
