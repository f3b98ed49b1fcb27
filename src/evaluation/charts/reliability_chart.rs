//! Reliability diagram: accuracy against confidence, and the number of images by confidence.

use super::PREDICTION_COLOR;
use super::figure_text::{calibration, images, number, percent};
use crate::evaluation::evaluation_file::{Accuracy, ClassFigures, ReliabilityBin};
use crate::inspection::inspect::{PALETTE, Rgb};
use crate::inspection::picture::{
    Chart, ChartColumn, ChartKey, ChartPart, KeyRow, KeySymbol, LineStyle, Plot, PlotAxis, PlotBar, PlotLayer,
    PlotPoint,
};

const ACCURACY_COLOR: Rgb = PALETTE[12];
const GAP_COLOR: Rgb = PREDICTION_COLOR;
const COUNT_COLOR: Rgb = Rgb([150, 156, 164]);
const DIAGONAL: LineStyle = LineStyle { color: Rgb([28, 32, 38]), dashed: true, marker: None, shift_pixels: 0 };

/// Returns the chart and its description.
pub(super) fn reliability_chart(figures: &ClassFigures, truth: &str, teacher: &str) -> (Chart, String) {
    let mut kinds = vec![("Prediction of the teacher", &figures.prediction)];
    kinds.extend(figures.pooled.as_ref().map(|pooled| ("Target of the full image", pooled)));
    // Both columns have the same scale.
    let fullest = kinds.iter().flat_map(|(_, accuracy)| shares(accuracy)).fold(0.0, f64::max);
    let column = |(name, accuracy): &(&str, &Accuracy)| ChartColumn {
        title: format!("{name}: ECE {}", number(accuracy.expected_calibration_error)),
        width_pixels: if kinds.len() > 1 { 470.0 } else { 800.0 },
        parts: vec![accuracy_plot(accuracy), count_plot(accuracy, fullest)],
    };
    let bins = figures.prediction.reliability.len();
    let symbol = |symbol: KeySymbol, name: &str| KeyRow { symbol, name: name.to_owned(), values: Vec::new() };
    let chart = Chart {
        title: format!("Reliability of the labels against {truth}"),
        subtitle: format!("{}, {bins} bins, teacher {teacher}", images(figures.images)),
        columns: kinds.iter().map(column).collect(),
        key: ChartKey {
            headings: Vec::new(),
            rows: vec![
                symbol(
                    KeySymbol::Bar { color: ACCURACY_COLOR, outlined: false },
                    "Accuracy: fraction of the images of a bin whose best class is a true class",
                ),
                symbol(
                    KeySymbol::Bar { color: GAP_COLOR, outlined: true },
                    "Gap to the mean confidence. Above the accuracy: the labels are too confident; inside: not confident enough",
                ),
                symbol(KeySymbol::Line(DIAGONAL), "Perfect calibration: accuracy equals confidence"),
            ],
        },
        notes: vec!["ECE: expected calibration error, the mean gap over all images. 0 is perfect.".to_owned()],
    };
    let words = kinds.iter().map(|(name, accuracy)| {
        let (top1, confidence) = (percent(accuracy.top1.value), percent(mean_confidence(accuracy)));
        format!("{name}: accuracy {top1}, mean confidence {confidence}, {}.", calibration(accuracy))
    });
    let description = format!(
        "Reliability diagram against {truth}, {}. {}",
        images(figures.images),
        words.collect::<Vec<_>>().join(" ")
    );
    (chart, description)
}

/// Returns the fraction of images in each bin.
fn shares(accuracy: &Accuracy) -> impl Iterator<Item = f64> {
    let total = accuracy.reliability.iter().map(|bin| bin.images).sum::<usize>().max(1) as f64;
    accuracy.reliability.iter().map(move |bin| bin.images as f64 / total)
}

fn mean_confidence(accuracy: &Accuracy) -> f64 {
    shares(accuracy).zip(&accuracy.reliability).map(|(share, bin)| share * bin.confidence).sum()
}

/// Returns the sides of a bin.
fn sides(at: usize, bins: usize) -> [f64; 2] {
    [at, at + 1].map(|side| side as f64 / bins as f64)
}

fn accuracy_plot(accuracy: &Accuracy) -> ChartPart {
    let bins = accuracy.reliability.len();
    let filled = || accuracy.reliability.iter().enumerate().filter(|(_, bin)| bin.images > 0);
    let bar = |(at, bin): (usize, &ReliabilityBin)| PlotBar { x: sides(at, bins), y: [0.0, bin.accuracy] };
    let gap = |(at, bin): (usize, &ReliabilityBin)| {
        let (low, high) = (bin.accuracy.min(bin.confidence), bin.accuracy.max(bin.confidence));
        PlotBar { x: sides(at, bins), y: [low, high] }
    };
    let corner = |value: f64| Some(PlotPoint { x: value, y: value, error: None });
    ChartPart::Plot(Plot {
        height_pixels: 330.0,
        x: PlotAxis::percent("confidence: probability of the best class, %"),
        y: PlotAxis::percent("accuracy, %"),
        layers: vec![
            PlotLayer::Bars { bars: filled().map(bar).collect(), color: ACCURACY_COLOR, outlined: false },
            PlotLayer::Bars { bars: filled().map(gap).collect(), color: GAP_COLOR, outlined: true },
            PlotLayer::Line { points: vec![corner(0.0), corner(1.0)], style: DIAGONAL },
        ],
    })
}

fn count_plot(accuracy: &Accuracy, fullest: f64) -> ChartPart {
    let bins = accuracy.reliability.len();
    let bars = shares(accuracy).enumerate().map(|(at, share)| PlotBar { x: sides(at, bins), y: [0.0, share] });
    ChartPart::Plot(Plot {
        height_pixels: 90.0,
        x: PlotAxis::percent("confidence, %"),
        y: PlotAxis::from_zero("images in the bin, %", fullest, 3, 100.0),
        layers: vec![PlotLayer::Bars { bars: bars.collect(), color: COUNT_COLOR, outlined: false }],
    })
}
