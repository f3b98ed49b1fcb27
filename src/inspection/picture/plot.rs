//! Draws a plot: grid, bars, lines with markers and error bars.

use super::canvas::{Canvas, EMPTY, FAINT_INK, INK, PAPER, PixelRect};
use super::chart::{LineStyle, Marker, Plot, PlotBar, PlotLayer, PlotPoint};
use crate::inspection::inspect::Rgb;

/// Space left of the area, for the texts of the vertical axis.
const LEFT_PIXELS: f32 = 48.0;
/// Space right of the area: half of the last text of the horizontal axis.
const RIGHT_PIXELS: f32 = 14.0;
/// Space above the area, for the label of the vertical axis.
const TOP_PIXELS: f32 = 28.0;
/// Space below the area, for the texts and the label of the horizontal axis.
const BOTTOM_PIXELS: f32 = 48.0;

/// Returns the height of a plot with its texts.
pub(super) fn plot_pixels(plot: &Plot) -> f32 {
    TOP_PIXELS + plot.height_pixels + BOTTOM_PIXELS
}

/// Draws a plot into an area of height [`plot_pixels`].
pub(super) fn plot(canvas: &mut Canvas, area: PixelRect, plot: &Plot) {
    let inside = PixelRect {
        x: area.x + LEFT_PIXELS,
        y: area.y + TOP_PIXELS,
        width: (area.width - LEFT_PIXELS - RIGHT_PIXELS).max(1.0),
        height: plot.height_pixels.max(1.0),
    };
    grid(canvas, area, inside, plot);
    for layer in &plot.layers {
        match layer {
            PlotLayer::Bars { bars, color, outlined } => {
                for rect in bars.iter().filter_map(|bar| bar_area(inside, plot, bar)) {
                    bar(canvas, rect, *color, *outlined);
                }
            }
            PlotLayer::Line { points, style } => line(canvas, inside, plot, points, *style),
        }
    }
    canvas.polyline(
        &[(inside.x, inside.y), (inside.x, inside.bottom()), (inside.right(), inside.bottom())],
        INK,
        1.2,
        false,
    );
}

fn grid(canvas: &mut Canvas, area: PixelRect, inside: PixelRect, plot: &Plot) {
    let small = canvas.small.clone();
    let middle = small.line_height() / 2.0;
    for (value, text) in &plot.y.ticks {
        let Some(position) = plot.y.position(*value) else { continue };
        let y = (inside.bottom() - position * inside.height).round();
        canvas.line((inside.x, y), (inside.right(), y), EMPTY, 1.0);
        canvas.text_to(&small, text, inside.x - 8.0, y - middle, FAINT_INK);
    }
    let mut free_from = f32::MIN;
    for (value, text) in &plot.x.ticks {
        let Some(position) = plot.x.position(*value) else { continue };
        let x = (inside.x + position * inside.width).round();
        canvas.line((x, inside.y), (x, inside.bottom()), EMPTY, 1.0);
        let left = x - small.width(text) / 2.0;
        if left >= free_from {
            canvas.text(&small, text, left, inside.bottom() + 6.0, FAINT_INK);
            free_from = left + small.width(text) + 4.0;
        }
    }
    let label = small.fitted_line(&plot.y.label, area.width);
    canvas.text(&small, &label, area.x, area.y, INK);
    let label = small.fitted_line(&plot.x.label, area.width);
    let left = (inside.x + (inside.width - small.width(&label)) / 2.0).max(area.x);
    canvas.text(&small, &label, left, inside.bottom() + 26.0, INK);
}

fn bar_area(inside: PixelRect, plot: &Plot, bar: &PlotBar) -> Option<PixelRect> {
    let (left, right) = (plot.x.position(bar.x[0])?, plot.x.position(bar.x[1])?);
    let (low, high) = (plot.y.position(bar.y[0])?, plot.y.position(bar.y[1])?);
    // Whole pixels, with a gap between bars.
    let (left, right) =
        ((inside.x + left * inside.width).round() + 1.0, (inside.x + right * inside.width).round() - 1.0);
    let (top, bottom) = (inside.bottom() - high * inside.height, inside.bottom() - low * inside.height);
    (high > low).then(|| PixelRect { x: left, y: top, width: (right - left).max(1.0), height: (bottom - top).max(1.0) })
}

/// Draws a bar, also for a key.
pub(super) fn bar(canvas: &mut Canvas, area: PixelRect, color: Rgb, outlined: bool) {
    if outlined {
        canvas.fill(area, color, 0.28);
        canvas.frame(area.grown(-1.0), color, 2.0);
    } else {
        canvas.fill(area, color, 1.0);
    }
}

fn line(canvas: &mut Canvas, inside: PixelRect, plot: &Plot, points: &[Option<PlotPoint>], style: LineStyle) {
    let shift = f32::from(style.shift_pixels);
    let at = |point: &PlotPoint| {
        let (x, y) = (plot.x.position(point.x)?, plot.y.position(point.y)?);
        Some((inside.x + x * inside.width + shift, inside.bottom() - y * inside.height))
    };
    let placed: Vec<Option<(f32, f32)>> = points.iter().map(|point| point.as_ref().and_then(at)).collect();
    for part in placed.split(Option::is_none) {
        let part: Vec<(f32, f32)> = part.iter().flatten().copied().collect();
        if part.len() > 1 {
            canvas.polyline(&part, style.color, 2.2, style.dashed);
        }
    }
    for (point, placed) in points.iter().flatten().zip(placed.iter().flatten()) {
        let Some(error) = point.error.filter(|error| *error > 0.0) else { continue };
        let ends = [point.y - error, point.y + error].map(|y| plot.y.position(y));
        if let [Some(low), Some(high)] = ends {
            let (x, [low, high]) = (placed.0, [low, high].map(|y| inside.bottom() - y * inside.height));
            canvas.line((x, low), (x, high), style.color, 1.4);
            for y in [low, high] {
                canvas.line((x - 3.0, y), (x + 3.0, y), style.color, 1.4);
            }
        }
    }
    if let Some(shape) = style.marker {
        for &(x, y) in placed.iter().flatten() {
            marker(canvas, shape, x, y, style.color);
        }
    }
}

/// Draws a marker with a white edge, so that markers above each other can be told apart.
pub(super) fn marker(canvas: &mut Canvas, shape: Marker, x: f32, y: f32, color: Rgb) {
    for (radius, color) in [(6.0, PAPER), (4.6, color)] {
        match shape {
            Marker::Circle => canvas.disc(x, y, radius, color),
            Marker::Square => {
                let half = radius * 0.9;
                let side = 2.0 * half;
                canvas.fill(PixelRect { x: x - half, y: y - half, width: side, height: side }, color, 1.0);
            }
            Marker::Triangle => {
                let (wide, low) = (radius * 1.2, radius * 0.8);
                canvas.polygon(&[(x, y - radius * 1.2), (x + wide, y + low), (x - wide, y + low)], color);
            }
            Marker::Diamond => {
                let out = radius * 1.25;
                canvas.polygon(&[(x, y - out), (x + out, y), (x, y + out), (x - out, y)], color);
            }
            Marker::Cross => {
                let (out, width) = (radius * 0.9, if color == PAPER { 5.0 } else { 2.6 });
                canvas.line((x - out, y - out), (x + out, y + out), color, width);
                canvas.line((x - out, y + out), (x + out, y - out), color, width);
            }
        }
    }
}

/// Draws a piece of a line with its marker, for a key.
pub(super) fn line_sample(canvas: &mut Canvas, area: PixelRect, style: LineStyle) {
    let y = area.y + area.height / 2.0;
    canvas.polyline(&[(area.x, y), (area.right(), y)], style.color, 2.2, style.dashed);
    if let Some(shape) = style.marker {
        marker(canvas, shape, area.x + area.width / 2.0, y, style.color);
    }
}
