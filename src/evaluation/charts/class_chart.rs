//! Accuracy per class: all classes by name if there are few, otherwise a sorted curve and the lowest by name.

use super::figure_text::{counted, images, percent};
use super::{POOLED_COLOR, PREDICTION_COLOR};
use crate::evaluation::evaluation_file::{ClassAccuracy, ClassFigures};
use crate::inspection::inspect::Rgb;
use crate::inspection::picture::{
    BarList, Chart, ChartColumn, ChartKey, ChartPart, KeyRow, KeySymbol, LineStyle, Marker, NamedBar, Plot, PlotAxis,
    PlotLayer, PlotPoint,
};
use crate::shared::numbers::thousands;

/// Up to this number, all classes are named.
const MAX_NAMED: usize = 25;
/// Of more classes, this many are named.
const LOWEST_NAMED: usize = 12;

const POOLED: LineStyle = LineStyle { color: POOLED_COLOR, dashed: false, marker: None, shift_pixels: 0 };
const PREDICTION: LineStyle = LineStyle { color: PREDICTION_COLOR, dashed: true, marker: None, shift_pixels: 0 };
const PREDICTION_MARK: LineStyle =
    LineStyle { color: PREDICTION_COLOR, dashed: false, marker: Some(Marker::Diamond), shift_pixels: 0 };

const POOLED_NAME: &str = "Target of the full image";
const PREDICTION_NAME: &str = "Prediction of the teacher";

/// The labels that are compared, and what is drawn of them.
#[derive(Clone, Copy)]
struct Drawn {
    /// Whether there are targets; otherwise, only predictions are drawn, in their place.
    has_targets: bool,
}

impl Drawn {
    /// Accuracy that bars have.
    fn main(self, class: &ClassAccuracy) -> f64 {
        class.pooled_top1.filter(|_| self.has_targets).unwrap_or(class.prediction_top1)
    }

    /// Accuracy that is marked next to it.
    fn second(self, class: &ClassAccuracy) -> Option<f64> {
        self.has_targets.then_some(class.prediction_top1)
    }

    fn color(self) -> Rgb {
        if self.has_targets { POOLED_COLOR } else { PREDICTION_COLOR }
    }

    /// The label in titles.
    fn label(self) -> &'static str {
        if self.has_targets { "target" } else { "prediction" }
    }
}

/// Returns the chart and its description.
pub(super) fn class_chart(figures: &ClassFigures, truth: &str, teacher: &str) -> (Chart, String) {
    let drawn = Drawn { has_targets: figures.pooled.is_some() };
    let mut classes: Vec<&ClassAccuracy> = figures.by_class.iter().filter(|class| class.images > 0).collect();
    classes.sort_by(|a, b| {
        let by_accuracy = drawn.main(a).total_cmp(&drawn.main(b)).then(a.prediction_top1.total_cmp(&b.prediction_top1));
        by_accuracy.then(b.images.cmp(&a.images)).then(a.class.cmp(&b.class))
    });
    let pooled = drawn.has_targets.then(|| Quantiles::new(classes.iter().map(|class| drawn.main(class))));
    let prediction = Quantiles::new(classes.iter().map(|class| class.prediction_top1));
    let is_few = classes.len() <= MAX_NAMED;
    let label = drawn.label();
    let columns = if is_few {
        let title = format!("Classes, from the lowest accuracy of the {label} to the highest");
        vec![named(title, 900.0, &classes, drawn)]
    } else {
        let lowest = format!("The {LOWEST_NAMED} classes with the lowest accuracy of the {label}");
        vec![curves(pooled.as_ref(), &prediction), named(lowest, 600.0, &classes[..LOWEST_NAMED], drawn)]
    };
    let row = |symbol: KeySymbol, name: &str, of: &Quantiles| KeyRow {
        symbol,
        name: name.to_owned(),
        values: of.texts().to_vec(),
    };
    // A curve appears above the markers of the list, so both have the colour of the label.
    let bar = KeySymbol::Bar { color: drawn.color(), outlined: false };
    let pooled_symbol = if is_few { bar } else { KeySymbol::Line(POOLED) };
    let prediction_symbol = match (is_few, drawn.has_targets) {
        (true, true) => KeySymbol::Line(PREDICTION_MARK),
        (true, false) => bar,
        (false, true) => KeySymbol::Line(LineStyle { dashed: true, ..PREDICTION_MARK }),
        (false, false) => KeySymbol::Line(PREDICTION),
    };
    let mut rows: Vec<KeyRow> = pooled.iter().map(|pooled| row(pooled_symbol, POOLED_NAME, pooled)).collect();
    rows.push(row(prediction_symbol, PREDICTION_NAME, &prediction));
    let chart = Chart {
        title: format!("Accuracy per class against {truth}"),
        subtitle: format!(
            "{} of {}, teacher {teacher}",
            images(figures.images),
            counted(classes.len(), "class", "classes")
        ),
        columns,
        key: ChartKey {
            headings: ["label", "lowest tenth: up to", "median of classes", "mean of classes"]
                .map(str::to_owned)
                .to_vec(),
            rows,
        },
        notes: vec!["Top-1: fraction of the images of a class whose best class is a true class.".to_owned()],
    };
    let lowest: Vec<String> =
        classes.iter().take(3).map(|class| format!("{} ({})", short_name(class), percent(drawn.main(class)))).collect();
    let medians = pooled.iter().map(|pooled| (POOLED_NAME, pooled)).chain([(PREDICTION_NAME, &prediction)]);
    let medians: Vec<String> = medians.map(|(name, of)| format!("{name}: median {}.", of.texts()[1])).collect();
    let mut description = format!(
        "Top-1 accuracy of {} against {truth}. {}",
        counted(classes.len(), "class", "classes"),
        medians.join(" ")
    );
    if !lowest.is_empty() {
        description += &format!(" Lowest: {}.", lowest.join(", "));
    }
    (chart, description)
}

/// Sorted values.
struct Quantiles(Vec<f64>);

impl Quantiles {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Returns the value below which this fraction of values is: the nearest rank.
    fn at(&self, fraction: f64) -> Option<f64> {
        let rank = (fraction * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// Returns the lowest tenth, the median and the mean.
    fn texts(&self) -> [String; 3] {
        let mean = (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64);
        [self.at(0.1), self.at(0.5), mean].map(|value| value.map_or("–".to_owned(), percent))
    }
}

/// Number of letters of a class name in a description.
const NAME_LETTERS: usize = 40;

fn short_name(class: &ClassAccuracy) -> String {
    let name: String = class.name.chars().take(NAME_LETTERS).collect();
    if name.trim().is_empty() { format!("class {}", class.class) } else { name }
}

fn named(title: String, width_pixels: f32, classes: &[&ClassAccuracy], drawn: Drawn) -> ChartColumn {
    // The id distinguishes classes with the same name, and names with letters that the font does not have.
    let bar = |class: &&ClassAccuracy| NamedBar {
        name: format!("{} {}", class.class, class.name),
        value: drawn.main(class),
        second: drawn.second(class),
        text: format!("{} of {}", percent(drawn.main(class)), thousands(class.images)),
    };
    let bars = classes.iter().map(bar).collect();
    let list = BarList { color: drawn.color(), second: drawn.has_targets.then_some(PREDICTION_MARK), bars };
    ChartColumn { title, width_pixels, parts: vec![ChartPart::BarList(list)] }
}

fn curves(pooled: Option<&Quantiles>, prediction: &Quantiles) -> ChartColumn {
    let count = prediction.0.len();
    let line = |values: &Quantiles, style: LineStyle| {
        let point = |(at, value): (usize, &f64)| Some(PlotPoint { x: at as f64 + 0.5, y: *value, error: None });
        PlotLayer::Line { points: values.0.iter().enumerate().map(point).collect(), style }
    };
    let mut layers: Vec<PlotLayer> = pooled.map(|pooled| line(pooled, POOLED)).into_iter().collect();
    layers.push(line(prediction, PREDICTION));
    let ticks = PlotAxis::from_zero("", count as f64, 5, 1.0).ticks;
    let x = PlotAxis {
        label: "classes, each curve sorted by its own accuracy".to_owned(),
        range: [0.0, count as f64],
        ticks: ticks.into_iter().filter(|(at, _)| *at <= count as f64).collect(),
    };
    ChartColumn {
        title: "All classes".to_owned(),
        width_pixels: 480.0,
        parts: vec![ChartPart::Plot(Plot {
            height_pixels: 250.0,
            x,
            y: PlotAxis::percent("top-1 accuracy, %"),
            layers,
        })],
    }
}
