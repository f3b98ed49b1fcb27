//! Which letter and colour mean which class.

use super::canvas::{Area, Canvas, FAINT_INK, INK};
use crate::inspection::inspect::{Key, Region, class_color};
use crate::shared::classes::ClassList;

const STEP_PIXELS: f32 = 35.0;

/// Draws the legend of the winning classes from the upper left corner of an area on.
pub(super) fn legend(canvas: &mut Canvas, area: Area, regions: &[Region], key: &Key, classes: &ClassList) {
    let y = entries(canvas, area, regions, key, classes);
    notes(canvas, Area { y, ..area });
}

/// Draws a line for each winning class. Gives where the next one would stand.
pub(super) fn entries(canvas: &mut Canvas, area: Area, regions: &[Region], key: &Key, classes: &ClassList) -> f32 {
    let (normal, small) = (canvas.normal.clone(), canvas.small.clone());
    let mut y = area.y;
    for region in regions {
        let Some(letter) = key.letter(region.class) else { break };
        canvas.badge(letter, class_color(region.class), area.x + 13.0, y + 13.0);
        let cells = region.cells.to_string();
        let room = area.width - 36.0 - small.width(&cells) - 12.0;
        canvas.text(&normal, &normal.fitted(&classes.short_name(region.class), room), area.x + 36.0, y + 2.0, INK);
        canvas.text_to(&small, &cells, area.right(), y + 4.0, FAINT_INK);
        y += STEP_PIXELS;
    }
    let rest = regions.len().saturating_sub(Key::MOST);
    if rest > 0 {
        let cells: usize = regions.iter().skip(Key::MOST).map(|region| region.cells).sum();
        canvas.text(&small, &format!("{rest} more, in {cells} cells"), area.x + 36.0, y + 2.0, FAINT_INK);
        y += STEP_PIXELS;
    }
    y
}

/// Draws what the numbers and the colours say.
pub(super) fn notes(canvas: &mut Canvas, area: Area) {
    let (small, mut y) = (canvas.small.clone(), area.y);
    for line in ["Numbers are cells that the class wins.", "Fainter cells are less sure."] {
        canvas.text(&small, &small.fitted(line, area.width), area.x, y + 6.0, FAINT_INK);
        y += 21.0;
    }
}

/// Height of a legend, in pixels.
pub(super) fn legend_pixels(regions: &[Region]) -> f32 {
    (regions.len().min(Key::MOST + 1)) as f32 * STEP_PIXELS + 52.0
}
