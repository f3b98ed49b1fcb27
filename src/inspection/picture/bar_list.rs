//! Draws a list of horizontal bars with names.

use super::canvas::{Canvas, EMPTY, FAINT_INK, INK, PixelRect};
use super::chart::{BarList, NamedBar};
use super::plot::marker;

const ROW_PIXELS: f32 = 27.0;
const BAR_PIXELS: f32 = 15.0;
/// Space of the names, as a fraction of the width.
const NAMES: f32 = 0.42;
const GAP_PIXELS: f32 = 12.0;

/// Returns the height of a list.
pub(super) fn bar_list_pixels(list: &BarList) -> f32 {
    list.bars.len() as f32 * ROW_PIXELS
}

/// Draws a list into an area of height [`bar_list_pixels`].
pub(super) fn bar_list(canvas: &mut Canvas, area: PixelRect, list: &BarList) {
    let small = canvas.small.clone();
    let text_pixels = list.bars.iter().map(|bar| small.width(&bar.text)).fold(0.0, f32::max).min(area.width / 3.0);
    let names = area.width * NAMES;
    let bars = PixelRect {
        x: area.x + names + GAP_PIXELS,
        width: (area.width - names - text_pixels - 2.0 * GAP_PIXELS).max(1.0),
        height: BAR_PIXELS,
        ..area
    };
    for (at, bar) in list.bars.iter().enumerate() {
        let y = area.y + at as f32 * ROW_PIXELS;
        let text_y = y + (ROW_PIXELS - small.line_height()) / 2.0;
        canvas.text(&small, &small.fitted_line(&bar.name, names), area.x, text_y, INK);
        canvas.text_to(&small, &small.fitted_line(&bar.text, text_pixels + 1.0), area.right(), text_y, FAINT_INK);
        let ground = PixelRect { y: y + (ROW_PIXELS - BAR_PIXELS) / 2.0, ..bars };
        canvas.fill(ground, EMPTY, 1.0);
        values(canvas, ground, list, bar);
    }
}

fn values(canvas: &mut Canvas, ground: PixelRect, list: &BarList, bar: &NamedBar) {
    let length = |value: f64| if value.is_finite() { ground.width * value.clamp(0.0, 1.0) as f32 } else { 0.0 };
    if length(bar.value) > 0.0 {
        canvas.fill(PixelRect { width: length(bar.value), ..ground }, list.color, 1.0);
    }
    if let (Some(style), Some(second)) = (list.second, bar.second)
        && let Some(shape) = style.marker
    {
        marker(canvas, shape, ground.x + length(second), ground.y + ground.height / 2.0, style.color);
    }
}
