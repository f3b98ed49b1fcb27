//! The content of a chart: columns of plots and lists of bars, and a key. Values that are not finite are not drawn.

use crate::inspection::inspect::Rgb;

/// A chart. Texts are untrusted; they are drawn on one line each, and cut where they do not fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// Line below the title.
    pub subtitle: String,
    /// Columns, side by side.
    pub columns: Vec<ChartColumn>,
    /// Meaning of colours and markers.
    pub key: ChartKey,
    /// Lines below the key.
    pub notes: Vec<String>,
}

/// A column of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartColumn {
    /// Title.
    pub title: String,
    /// Width in pixels.
    pub width_pixels: f32,
    /// Parts, from top to bottom.
    pub parts: Vec<ChartPart>,
}

/// A part of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum ChartPart {
    /// Values over two axes.
    Plot(Plot),
    /// Horizontal bars with names.
    BarList(BarList),
}

/// Values over two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Height of the area between the axes in pixels.
    pub height_pixels: f32,
    /// Horizontal axis.
    pub x: PlotAxis,
    /// Vertical axis. Its label is drawn above it.
    pub y: PlotAxis,
    /// Layers; later ones cover earlier ones.
    pub layers: Vec<PlotLayer>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct PlotAxis {
    /// Name and unit of the values.
    pub label: String,
    /// First and last value. Other values are drawn at the edge.
    pub range: [f64; 2],
    /// Values with a grid line, and their texts.
    pub ticks: Vec<(f64, String)>,
}

/// A layer of a plot.
#[derive(Clone, Debug, PartialEq)]
pub enum PlotLayer {
    /// Rectangles.
    Bars {
        /// Their sides.
        bars: Vec<PlotBar>,
        /// Their colour.
        color: Rgb,
        /// Whether they are transparent with a frame.
        outlined: bool,
    },
    /// Points joined by lines. `None` leaves a gap.
    Line {
        /// The points, from left to right.
        points: Vec<Option<PlotPoint>>,
        /// Colour, dashes and markers.
        style: LineStyle,
    },
}

/// A rectangle in a plot, from the first to the second value of each axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlotBar {
    /// Left and right side.
    pub x: [f64; 2],
    /// Lower and upper side.
    pub y: [f64; 2],
}

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlotPoint {
    /// Horizontal position.
    pub x: f64,
    /// Vertical position.
    pub y: f64,
    /// Half the length of the error bar.
    pub error: Option<f64>,
}

/// Appearance of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineStyle {
    /// Colour.
    pub color: Rgb,
    /// Whether it has gaps.
    pub dashed: bool,
    /// Symbol at each point.
    pub marker: Option<Marker>,
    /// Pixels by which it is moved to the right, so that error bars of different lines do not cover each other.
    pub shift_pixels: i8,
}

/// A symbol at a point. Lines differ by colour and by symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A circle.
    Circle,
    /// A square.
    Square,
    /// A triangle with a horizontal base.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// Two crossing lines.
    Cross,
}

/// Horizontal bars with names, for values from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct BarList {
    /// Colour of the bars.
    pub color: Rgb,
    /// Marker of the second values.
    pub second: Option<LineStyle>,
    /// Bars, from top to bottom.
    pub bars: Vec<NamedBar>,
}

/// A bar with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedBar {
    /// Name, left of the bar.
    pub name: String,
    /// Length of the bar, from 0 to 1.
    pub value: f64,
    /// Position of the marker, from 0 to 1.
    pub second: Option<f64>,
    /// Text right of the bar.
    pub text: String,
}

/// The key of a chart: a table of symbols, names and values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChartKey {
    /// Headings: that of the names, then one for each value. Empty if no headings are drawn.
    pub headings: Vec<String>,
    /// Rows.
    pub rows: Vec<KeyRow>,
}

/// A row of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRow {
    /// Symbol.
    pub symbol: KeySymbol,
    /// Meaning of the symbol.
    pub name: String,
    /// Values, one for each heading after the first.
    pub values: Vec<String>,
}

/// A symbol of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySymbol {
    /// A bar.
    Bar {
        /// Its colour.
        color: Rgb,
        /// Whether it is transparent with a frame.
        outlined: bool,
    },
    /// A line.
    Line(LineStyle),
}

impl PlotAxis {
    /// An axis from 0 to 100 %.
    #[must_use]
    pub fn percent(label: &str) -> Self {
        let ticks = (0..=5).map(|fifth| (f64::from(fifth) / 5.0, format!("{}", fifth * 20))).collect();
        Self { label: label.to_owned(), range: [0.0, 1.0], ticks }
    }

    /// An axis from 0 to `highest` or slightly more, with about `steps` ticks. Values are multiplied by `factor` in the texts
    /// of the ticks.
    #[must_use]
    pub fn from_zero(label: &str, highest: f64, steps: usize, factor: f64) -> Self {
        let highest = if highest.is_finite() && highest > 0.0 { highest } else { 1.0 / factor };
        let step = nice_step(highest * factor / steps.max(1) as f64);
        let count = (highest * factor / step - 1e-9).ceil().max(1.0);
        let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
        let tick = |at: usize| (at as f64 * step / factor, format!("{:.decimals$}", at as f64 * step));
        Self {
            label: label.to_owned(),
            range: [0.0, count * step / factor],
            ticks: (0..=count as usize).map(tick).collect(),
        }
    }

    /// Returns the position of a value: 0 at the first and 1 at the last value of the axis. `None` if it is not finite.
    pub(super) fn position(&self, value: f64) -> Option<f32> {
        let [from, to] = self.range;
        let position = (value - from) / (to - from);
        position.is_finite().then(|| position.clamp(0.0, 1.0) as f32)
    }
}

/// Returns 1, 2 or 5 times a power of ten, at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_highest_value() {
        let texts = |highest: f64, factor: f64| {
            let axis = PlotAxis::from_zero("", highest, 4, factor);
            assert!(!highest.is_finite() || axis.range[1] >= highest, "{axis:?}");
            axis.ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(texts(3.7, 1.0), ["0", "1", "2", "3", "4"]);
        assert_eq!(texts(0.13, 1.0), ["0.00", "0.05", "0.10", "0.15"]);
        assert_eq!(texts(0.4, 100.0), ["0", "10", "20", "30", "40"]);
        assert_eq!(texts(17.0, 1.0), ["0", "5", "10", "15", "20"]);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(texts(odd, 1.0).last().map(String::as_str), Some("1.0"), "{odd}");
        }
    }

    #[test]
    fn values_outside_of_the_axis_are_at_its_edge() {
        let axis = PlotAxis::percent("");
        assert_eq!([-1.0, 0.25, 7.0].map(|value| axis.position(value)), [Some(0.0), Some(0.25), Some(1.0)]);
        assert_eq!(axis.position(f64::NAN), None);
    }
}
