//! Fidelity against crop area: how close each label is to the teacher's prediction for the crop.

use super::charted_label::{ChartedLabel, closest_labels, compared_coverings, compared_kinds, texts};
use super::figure_text::{counted, images};
use crate::evaluation::evaluation_file::{AreaFidelity, CropFidelity, LabelKind};
use crate::inspection::picture::{
    Chart, ChartColumn, ChartKey, ChartPart, KeyRow, KeySymbol, Plot, PlotAxis, PlotLayer, PlotPoint,
};

/// A figure of the crops in a range of areas, and its standard error.
type Figure = fn(&AreaFidelity) -> Option<(f64, Option<f64>)>;

/// Returns the chart of all kinds of labels and its description.
pub(super) fn fidelity_chart(fidelity: &CropFidelity, teacher: &str) -> (Chart, String) {
    let title = "Labels of crops compared with the teacher's own prediction for the crop";
    let infinite = "The KL divergence of the folder class is infinite: it gives all other classes a probability of 0.";
    let notes = fidelity.labels.get(LabelKind::Folder).map(|_| infinite.to_owned());
    let words = "Agreement of labels with the teacher's prediction for the crop, by crop area";
    chart(fidelity, &compared_kinds(fidelity), [title, words], notes, teacher)
}

/// Returns the chart of coverings and its description; `None` if there are none.
pub(super) fn covering_chart(fidelity: &CropFidelity, teacher: &str) -> Option<(Chart, String)> {
    let labels = compared_coverings(fidelity);
    let title = "Predictions for tiles, weighted by overlap, compared with the teacher's own prediction for the crop";
    let words = "Agreement of predictions for tiles with the teacher's prediction for the crop, by crop area";
    let runs = "The teacher runs once for the image and once for each tile.".to_owned();
    (!labels.is_empty()).then(|| chart(fidelity, &labels, [title, words], Some(runs), teacher))
}

fn chart(
    fidelity: &CropFidelity,
    labels: &[ChartedLabel<'_>],
    [title, words]: [&str; 2],
    note: Option<String>,
    teacher: &str,
) -> (Chart, String) {
    let top1: Figure = |at| Some((at.top1?, at.top1_standard_error));
    let tv: Figure = |at| Some((at.tv?, at.tv_standard_error));
    let kl: Figure = |at| Some((at.kl?, at.kl_standard_error));
    let scale = |figure: Figure, label: &str| PlotAxis::from_zero(label, highest(labels, figure), 5, 1.0);
    let columns = vec![
        column(
            "Same best class: higher is better",
            labels,
            top1,
            PlotAxis::percent("crops with the same best class, %"),
        ),
        column("Total variation: lower is better", labels, tv, scale(tv, "distance, 0 to 1")),
        column("KL divergence: lower is better", labels, kl, scale(kl, "nats")),
    ];
    let row = |label: &ChartedLabel<'_>| KeyRow {
        symbol: KeySymbol::Line(label.style),
        name: label.name.clone(),
        values: texts(label.fidelity).to_vec(),
    };
    let compared = format!("{} of {}", counted(fidelity.crops, "crop", "crops"), images(fidelity.images));
    let chart = Chart {
        title: title.to_owned(),
        subtitle: format!("{compared}, teacher {teacher}"),
        columns,
        key: ChartKey {
            headings: ["label, means over all crops", "same best class", "total variation", "KL divergence, nats"]
                .map(str::to_owned)
                .to_vec(),
            rows: labels.iter().map(row).collect(),
        },
        notes: notes(labels).into_iter().chain(note).collect(),
    };
    let figures = labels.iter().map(|label| {
        let [top1, tv, kl] = texts(label.fidelity);
        format!("{}: same best class {top1}, total variation {tv}, KL divergence {kl}.", label.name)
    });
    (chart, format!("{words}, {compared}. {}", figures.collect::<Vec<_>>().join(" ")))
}

fn notes(labels: &[ChartedLabel<'_>]) -> Vec<String> {
    let errors = "Error bars and ± are one standard error; the crops of an image count as one observation.";
    let hidden = "Bars that are shorter than the markers are hidden.";
    let outside = "Grey: baselines; those above an axis are drawn at its edge.";
    let mut notes = vec![format!("{errors} {hidden}")];
    notes.extend(closest_labels(labels));
    notes.extend(labels.iter().any(|label| label.is_baseline).then(|| outside.to_owned()));
    notes
}

fn column(title: &str, labels: &[ChartedLabel<'_>], figure: Figure, y: PlotAxis) -> ChartColumn {
    let layer = |label: &ChartedLabel<'_>| PlotLayer::Line {
        points: label.fidelity.by_area.iter().map(|at| point(at, figure)).collect(),
        style: label.style,
    };
    // The first labels are drawn last, above the others.
    let layers = labels.iter().rev().map(layer).collect();
    let largest = labels.iter().flat_map(|label| &label.fidelity.by_area).map(|at| at.area[1]).fold(1.0, f64::max);
    let label = "area of the crop, % of the image";
    let x = if largest > 1.0 { PlotAxis::from_zero(label, largest, 5, 100.0) } else { PlotAxis::percent(label) };
    ChartColumn {
        title: title.to_owned(),
        width_pixels: 420.0,
        parts: vec![ChartPart::Plot(Plot { height_pixels: 360.0, x, y, layers })],
    }
}

fn point(at: &AreaFidelity, figure: Figure) -> Option<PlotPoint> {
    let (y, error) = figure(at)?;
    Some(PlotPoint { x: f64::midpoint(at.area[0], at.area[1]), y, error })
}

/// Returns the highest value of labels that are not baselines, with its standard error.
fn highest(labels: &[ChartedLabel<'_>], figure: Figure) -> f64 {
    let shown = labels.iter().filter(|label| !label.is_baseline);
    let areas = shown.flat_map(|label| &label.fidelity.by_area);
    areas.filter_map(figure).map(|(value, error)| value + error.unwrap_or(0.0)).fold(0.0, f64::max)
}
