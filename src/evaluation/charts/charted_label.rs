//! The labels of crops in charts and tables: names, figures as text, and appearance of their lines.

use super::figure_text::{number_with_error, percent_with_error};
use super::{POOLED_COLOR, PREDICTION_COLOR};
use crate::evaluation::evaluation_file::{CropFidelity, Fidelity, LabelKind};
use crate::inspection::inspect::{PALETTE, Rgb};
use crate::inspection::picture::{LineStyle, Marker};

/// A label that was compared.
pub(super) struct ChartedLabel<'a> {
    pub(super) name: String,
    pub(super) fidelity: &'a Fidelity,
    pub(super) style: LineStyle,
    /// Whether it is a baseline or a check. It is grey, and may be outside of the axes.
    pub(super) is_baseline: bool,
}

/// Colour of baselines and checks.
const BASELINE_COLOR: Rgb = Rgb([150, 156, 164]);

/// Returns the kinds of labels that were compared.
pub(super) fn compared_kinds(fidelity: &CropFidelity) -> Vec<ChartedLabel<'_>> {
    let label = |(kind, fidelity): (LabelKind, _)| ChartedLabel {
        name: kind.title().to_owned(),
        fidelity,
        style: kind_style(kind),
        is_baseline: kind.is_baseline(),
    };
    fidelity.labels.iter().map(label).collect()
}

/// Returns the prediction for the image, those of coverings, and that of all tiles; nothing without coverings.
pub(super) fn compared_coverings(fidelity: &CropFidelity) -> Vec<ChartedLabel<'_>> {
    if fidelity.coverings.is_empty() {
        return Vec::new();
    }
    let image = fidelity.labels.get(LabelKind::Image).map(|image| ChartedLabel {
        name: LabelKind::Image.title().to_owned(),
        fidelity: image,
        style: kind_style(LabelKind::Image),
        is_baseline: false,
    });
    let coverings = fidelity.coverings();
    let last = coverings.len().saturating_sub(1);
    let tiles = coverings.into_iter().enumerate().map(|(at, (covering, tiles, fidelity))| ChartedLabel {
        name: match covering {
            Some(covering) => format!("Image and {tiles} tiles (--tiles {covering})"),
            None => format!("Image and all {tiles} tiles"),
        },
        fidelity,
        style: covering_style(at, last),
        is_baseline: false,
    });
    image.into_iter().chain(tiles).collect()
}

/// Returns a sentence that names the closest label of each figure; `None` if nothing was compared.
pub(super) fn closest_labels(labels: &[ChartedLabel<'_>]) -> Option<String> {
    let lowest = |figure: fn(&Fidelity) -> Option<f64>| {
        let figures = labels.iter().filter_map(|label| Some((figure(label.fidelity)?, label)));
        figures.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, label)| label.name.as_str())
    };
    let found = [lowest(|of| Some(-of.top1)), lowest(|of| Some(of.tv)), lowest(|of| of.kl)];
    let [Some(top1), Some(tv), Some(kl)] = found else { return None };
    Some(if top1 == tv && tv == kl {
        format!("Closest in all three figures: {top1}.")
    } else {
        format!("Closest by best class: {top1}; by total variation: {tv}; by KL divergence: {kl}.")
    })
}

/// Returns the three figures of a label as text: top-1, total variation, divergence.
pub(super) fn texts(fidelity: &Fidelity) -> [String; 3] {
    [
        percent_with_error(fidelity.top1, fidelity.top1_standard_error),
        number_with_error(fidelity.tv, fidelity.tv_standard_error),
        fidelity.kl.map_or("infinite".to_owned(), |kl| number_with_error(kl, fidelity.kl_standard_error)),
    ]
}

/// Labels from maps are violet and blue, those from predictions brown and orange, calibrated ones green. Variants are dashed.
fn kind_style(kind: LabelKind) -> LineStyle {
    let style = |color: Rgb, marker: Marker, shift_pixels: i8, dashed: bool| LineStyle {
        color,
        dashed,
        marker: Some(marker),
        shift_pixels,
    };
    match kind {
        LabelKind::Pooled => style(POOLED_COLOR, Marker::Circle, 0, false),
        LabelKind::Rest => style(PALETTE[15], Marker::Triangle, 5, true),
        LabelKind::Calibrated => style(PALETTE[6], Marker::Square, 3, false),
        LabelKind::CalibratedWithoutTiles => style(PALETTE[2], Marker::Triangle, -3, true),
        LabelKind::TileMap => style(PALETTE[12], Marker::Triangle, -6, false),
        LabelKind::Tiles => style(PALETTE[11], Marker::Circle, -2, false),
        LabelKind::Tile => style(PALETTE[3], Marker::Diamond, 6, false),
        LabelKind::Image => style(PREDICTION_COLOR, Marker::Diamond, -5, false),
        LabelKind::Folder => style(BASELINE_COLOR, Marker::Square, 2, false),
        LabelKind::Swapped => style(BASELINE_COLOR, Marker::Cross, -2, true),
    }
}

/// Colours and markers of coverings, from few tiles to many.
const COVERING_STYLES: [(Rgb, Marker); 4] = [
    (PALETTE[12], Marker::Triangle),
    (PALETTE[6], Marker::Square),
    (PALETTE[3], Marker::Triangle),
    (PALETTE[2], Marker::Square),
];

/// Returns the style of a covering at a position. The last one is [`LabelKind::Tiles`], as in the chart of kinds.
fn covering_style(at: usize, last: usize) -> LineStyle {
    let tiles = kind_style(LabelKind::Tiles);
    if at == last {
        return tiles;
    }
    let (color, marker) = COVERING_STYLES[at % COVERING_STYLES.len()];
    LineStyle { color, marker: Some(marker), shift_pixels: (at % 4) as i8 * 2 + 1, ..tiles }
}
