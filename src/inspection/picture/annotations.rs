//! Annotations of a picture: the legend of the map, the colour scale of the heat maps, and bar charts of labels.

use super::canvas::{Canvas, EMPTY, FAINT_INK, INK, PixelRect};
use super::panels::heat_color;
use crate::inspection::inspect::{ClassLetters, Region, class_color};
use crate::shared::classes::ClassList;

/// Height of an entry of the legend.
const ENTRY_PIXELS: f32 = 35.0;

/// Number of classes in a bar chart.
const MAX_BARS: usize = 5;
const BAR_PIXELS: f32 = 15.0;
const BAR_STEP_PIXELS: f32 = 45.0;
const BARS_TITLE_PIXELS: f32 = 34.0;

/// Height of a bar chart with its title, in pixels.
pub(super) const BARS_PIXELS: f32 = BARS_TITLE_PIXELS + MAX_BARS as f32 * BAR_STEP_PIXELS;

/// Height of a legend, in pixels.
pub(super) fn legend_pixels(regions: &[Region]) -> f32 {
    (regions.len().min(ClassLetters::MAX + 1)) as f32 * ENTRY_PIXELS + 52.0
}

/// Draws the legend of a map: its entries, then its notes.
pub(super) fn legend(
    canvas: &mut Canvas,
    area: PixelRect,
    regions: &[Region],
    letters: &ClassLetters,
    classes: &ClassList,
) {
    let y = legend_entries(canvas, area, regions, letters, classes);
    legend_notes(canvas, PixelRect { y, ..area });
}

/// Draws an entry for each winning class. Returns the y coordinate below the last one.
pub(super) fn legend_entries(
    canvas: &mut Canvas,
    area: PixelRect,
    regions: &[Region],
    letters: &ClassLetters,
    classes: &ClassList,
) -> f32 {
    let (normal, small) = (canvas.normal.clone(), canvas.small.clone());
    let mut y = area.y;
    for region in regions {
        let Some(letter) = letters.letter(region.class) else { break };
        canvas.badge(letter, class_color(region.class), area.x + 13.0, y + 13.0);
        let cells = region.cells.to_string();
        let max_width = area.width - 36.0 - small.width(&cells) - 12.0;
        canvas.text(&normal, &normal.fitted(&classes.short_name(region.class), max_width), area.x + 36.0, y + 2.0, INK);
        canvas.text_to(&small, &cells, area.right(), y + 4.0, FAINT_INK);
        y += ENTRY_PIXELS;
    }
    let rest = regions.len().saturating_sub(ClassLetters::MAX);
    if rest > 0 {
        let cells: usize = regions.iter().skip(ClassLetters::MAX).map(|region| region.cells).sum();
        canvas.text(&small, &format!("{rest} more, in {cells} cells"), area.x + 36.0, y + 2.0, FAINT_INK);
        y += ENTRY_PIXELS;
    }
    y
}

/// Explains the numbers and the colours of the legend.
pub(super) fn legend_notes(canvas: &mut Canvas, area: PixelRect) {
    let (small, mut y) = (canvas.small.clone(), area.y);
    for line in ["Numbers count the cells of a class.", "Fainter cells are less certain."] {
        canvas.text(&small, &small.fitted(line, area.width), area.x, y + 6.0, FAINT_INK);
        y += 21.0;
    }
}

/// Draws the colour scale of the heat maps.
pub(super) fn heat_scale(canvas: &mut Canvas, area: PixelRect) {
    let steps = 60;
    let step = area.width / steps as f32;
    for at in 0..steps {
        let slice = PixelRect { x: area.x + at as f32 * step, width: step + 0.5, ..area };
        canvas.fill(slice, heat_color(at as f32 / (steps - 1) as f32), 1.0);
    }
    let small = canvas.small.clone();
    canvas.text(&small, "0", area.x, area.bottom() + 4.0, FAINT_INK);
    canvas.text_to(&small, "1", area.right(), area.bottom() + 4.0, FAINT_INK);
    canvas.text(&small, "probability of the class in each cell", area.right() + 16.0, area.y - 3.0, FAINT_INK);
}

/// Draws a label as a bar chart of its best classes, of height [`BARS_PIXELS`]. `ranked` holds classes and probabilities,
/// best first.
pub(super) fn bars(canvas: &mut Canvas, area: PixelRect, title: &str, ranked: &[(u32, f32)], classes: &ClassList) {
    let (normal, small) = (canvas.normal.clone(), canvas.small.clone());
    let title = normal.fitted(title, area.width);
    canvas.text(&normal, &title, area.x, area.y, INK);
    for (at, &(class, prob)) in ranked.iter().take(MAX_BARS).enumerate() {
        let y = area.y + BARS_TITLE_PIXELS + at as f32 * BAR_STEP_PIXELS;
        let percent = format!("{:.1} %", prob * 100.0);
        let max_width = area.width - small.width(&percent) - 14.0;
        canvas.text(&small, &small.fitted(&classes.short_name(class), max_width), area.x, y, INK);
        canvas.text_to(&small, &percent, area.right(), y, FAINT_INK);
        let ground = PixelRect { x: area.x, y: y + 19.0, width: area.width, height: BAR_PIXELS };
        canvas.fill(ground, EMPTY, 1.0);
        let bar = PixelRect { width: (area.width * prob.clamp(0.0, 1.0)).max(1.0), ..ground };
        canvas.fill(bar, class_color(class), 1.0);
        canvas.frame(bar, FAINT_INK, 1.0);
    }
}
