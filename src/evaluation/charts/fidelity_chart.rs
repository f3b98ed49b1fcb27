//! Fidelity against crop area: how close each kind of label is to the teacher's prediction for the crop.

use super::figure_text::{counted, images, number_with_error, percent_with_error};
use super::{FOLDER_COLOR, POOLED_COLOR, PREDICTION_COLOR, REST_COLOR, SWAPPED_COLOR};
use crate::evaluation::evaluation_file::{AreaFidelity, CropFidelity, Fidelity};
use crate::inspection::inspect::Rgb;
use crate::inspection::picture::{
    Chart, ChartColumn, ChartKey, ChartPart, KeyRow, KeySymbol, LineStyle, Marker, Plot, PlotAxis, PlotLayer, PlotPoint,
};

/// One kind of label.
pub(super) struct LabelKind<'a> {
    pub(super) name: &'static str,
    pub(super) fidelity: &'a Fidelity,
    style: LineStyle,
}

/// Returns the kinds of labels that were compared.
pub(super) fn label_kinds(fidelity: &CropFidelity) -> Vec<LabelKind<'_>> {
    let style = |color: Rgb, marker: Marker, shift_pixels: i8, dashed: bool| LineStyle {
        color,
        dashed,
        marker: Some(marker),
        shift_pixels,
    };
    let all = [
        ("Target of the crop", Some(&fidelity.pooled), style(POOLED_COLOR, Marker::Circle, 0, false)),
        ("Target of the crop, fill=\"rest\"", fidelity.rest.as_ref(), style(REST_COLOR, Marker::Triangle, 5, false)),
        ("Prediction for the entire image", Some(&fidelity.image), style(PREDICTION_COLOR, Marker::Diamond, -5, false)),
        ("Folder class", fidelity.folder.as_ref(), style(FOLDER_COLOR, Marker::Square, 2, false)),
        (
            "Target with x and y swapped (must be worse)",
            Some(&fidelity.swapped),
            style(SWAPPED_COLOR, Marker::Cross, -2, true),
        ),
    ];
    all.into_iter().filter_map(|(name, fidelity, style)| Some(LabelKind { name, fidelity: fidelity?, style })).collect()
}

/// Returns the three figures of a kind of label as text: top-1, total variation, divergence.
pub(super) fn texts(fidelity: &Fidelity) -> [String; 3] {
    [
        percent_with_error(fidelity.top1, fidelity.top1_standard_error),
        number_with_error(fidelity.tv, fidelity.tv_standard_error),
        fidelity.kl.map_or("infinite".to_owned(), |kl| number_with_error(kl, fidelity.kl_standard_error)),
    ]
}

/// A figure of the crops in a range of areas, and its standard error.
type Figure = fn(&AreaFidelity) -> Option<(f64, Option<f64>)>;

/// Returns the chart and its description.
pub(super) fn fidelity_chart(fidelity: &CropFidelity, teacher: &str) -> (Chart, String) {
    let kinds = label_kinds(fidelity);
    let top1: Figure = |at| Some((at.top1?, at.top1_standard_error));
    let tv: Figure = |at| Some((at.tv?, at.tv_standard_error));
    let kl: Figure = |at| Some((at.kl?, at.kl_standard_error));
    let scale = |figure: Figure, label: &str| PlotAxis::from_zero(label, highest(&kinds, figure), 5, 1.0);
    let columns = vec![
        column(
            "Same best class: higher is better",
            &kinds,
            top1,
            PlotAxis::percent("crops with the same best class, %"),
        ),
        column("Total variation: lower is better", &kinds, tv, scale(tv, "distance, 0 to 1")),
        column("KL divergence: lower is better", &kinds, kl, scale(kl, "nats")),
    ];
    let row = |kind: &LabelKind<'_>| KeyRow {
        symbol: KeySymbol::Line(kind.style),
        name: kind.name.to_owned(),
        values: texts(kind.fidelity).to_vec(),
    };
    let compared = format!("{} of {}", counted(fidelity.crops, "crop", "crops"), images(fidelity.images));
    let chart = Chart {
        title: "Labels of crops compared with the teacher's own prediction for the crop".to_owned(),
        subtitle: format!("{compared}, teacher {teacher}"),
        columns,
        key: ChartKey {
            headings: ["label, means over all crops", "same best class", "total variation", "KL divergence, nats"]
                .map(str::to_owned)
                .to_vec(),
            rows: kinds.iter().map(row).collect(),
        },
        notes: notes(fidelity),
    };
    let words = kinds.iter().map(|kind| {
        let [top1, tv, kl] = texts(kind.fidelity);
        format!("{}: same best class {top1}, total variation {tv}, KL divergence {kl}.", kind.name)
    });
    let description = format!(
        "Agreement of labels with the teacher's prediction for the crop, by crop area, {compared}. {}",
        words.collect::<Vec<_>>().join(" ")
    );
    (chart, description)
}

fn notes(fidelity: &CropFidelity) -> Vec<String> {
    let errors = "Error bars and ± are one standard error; the crops of an image count as one observation.";
    let hidden = "Bars that are shorter than the markers are hidden.";
    let infinite = "The KL divergence of the folder class is infinite: it gives all other classes a probability of 0.";
    let mut notes = vec![format!("{errors} {hidden}")];
    notes.extend(fidelity.folder.is_some().then(|| infinite.to_owned()));
    notes
}

fn column(title: &str, kinds: &[LabelKind<'_>], figure: Figure, y: PlotAxis) -> ChartColumn {
    let layer = |kind: &LabelKind<'_>| PlotLayer::Line {
        points: kind.fidelity.by_area.iter().map(|at| point(at, figure)).collect(),
        style: kind.style,
    };
    // The target of the crop is drawn last, above the others.
    let layers = kinds.iter().rev().map(layer).collect();
    let largest = kinds.iter().flat_map(|kind| &kind.fidelity.by_area).map(|at| at.area[1]).fold(1.0, f64::max);
    let label = "area of the crop, % of the image";
    let x = if largest > 1.0 { PlotAxis::from_zero(label, largest, 5, 100.0) } else { PlotAxis::percent(label) };
    ChartColumn {
        title: title.to_owned(),
        width_pixels: 380.0,
        parts: vec![ChartPart::Plot(Plot { height_pixels: 290.0, x, y, layers })],
    }
}

fn point(at: &AreaFidelity, figure: Figure) -> Option<PlotPoint> {
    let (y, error) = figure(at)?;
    Some(PlotPoint { x: f64::midpoint(at.area[0], at.area[1]), y, error })
}

fn highest(kinds: &[LabelKind<'_>], figure: Figure) -> f64 {
    let areas = kinds.iter().flat_map(|kind| &kind.fidelity.by_area);
    areas.filter_map(figure).map(|(value, error)| value + error.unwrap_or(0.0)).fold(0.0, f64::max)
}
