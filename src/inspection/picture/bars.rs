//! A label as bars: names, probabilities, and the colours that the classes have on the map.

use super::canvas::{Area, Canvas, EMPTY, FAINT_INK, INK};
use crate::inspection::inspect::class_color;
use crate::shared::classes::ClassList;

/// Classes that are shown.
pub(super) const MOST_BARS: usize = 5;
const BAR_PIXELS: f32 = 15.0;
const STEP_PIXELS: f32 = 45.0;

/// Height of a label's bars, its title included, in pixels.
pub(super) const BARS_PIXELS: f32 = 34.0 + MOST_BARS as f32 * STEP_PIXELS;

/// Draws the best classes of a label, best first, from the upper left corner of an area of [`BARS_PIXELS`].
pub(super) fn bars(canvas: &mut Canvas, area: Area, title: &str, ranked: &[(u32, f32)], classes: &ClassList) {
    let (normal, small) = (canvas.normal.clone(), canvas.small.clone());
    let title = normal.fitted(title, area.width);
    canvas.text(&normal, &title, area.x, area.y, INK);
    for (at, &(class, prob)) in ranked.iter().take(MOST_BARS).enumerate() {
        let y = area.y + 34.0 + at as f32 * STEP_PIXELS;
        let percent = format!("{:.1} %", prob * 100.0);
        let room = area.width - small.width(&percent) - 14.0;
        canvas.text(&small, &small.fitted(&classes.short_name(class), room), area.x, y, INK);
        canvas.text_to(&small, &percent, area.right(), y, FAINT_INK);
        let ground = Area { x: area.x, y: y + 19.0, width: area.width, height: BAR_PIXELS };
        canvas.fill(ground, EMPTY, 1.0);
        let bar = Area { width: (area.width * prob.clamp(0.0, 1.0)).max(1.0), ..ground };
        canvas.fill(bar, class_color(class), 1.0);
        canvas.frame(bar, FAINT_INK, 1.0);
    }
}
