//! One look at the image: the photograph, its winning classes, or the probability of one class.

use super::canvas::{Area, Canvas, EMPTY, INK, PAPER};
use super::heat::heat_color;

use crate::inspection::inspect::{CellProbs, Key, class_color, connected};
use crate::labelling::pixels::RgbImage;
use crate::shared::geometry::{MapSize, UnitBox};
use crate::shared::label_map::LabelMap;

/// The photograph as it is, or plain paper without one.
///
/// # Errors
/// In words, when it cannot be scaled.
pub(super) fn photo(canvas: &mut Canvas, area: Area, photo: Option<&RgbImage>) -> Result<(), String> {
    if let Some(photo) = photo {
        return canvas.photo(photo, area, |pixel| pixel);
    }
    canvas.fill(area, EMPTY, 1.0);
    Ok(())
}

/// Each cell in the colour of its best class, the stronger the surer; borders where the class changes.
pub(super) fn winners(canvas: &mut Canvas, area: Area, map: &LabelMap, probs: &CellProbs) {
    let size = map.size();
    let (height, width) = (size.height_cells(), size.width_cells());
    let class_at = |y: usize, x: usize| map.at(0, y, x).1;
    for (y, x) in cells(size) {
        let sure = probs.at(0, y * width + x);
        canvas.fill(cell_area(area, size, y, x), class_color(class_at(y, x)), 0.22 + 0.4 * sure);
    }
    // White below black is seen on any photograph; small cells take thinner lines.
    let cell = cell_area(area, size, 0, 0);
    let thickness = (cell.width.min(cell.height) / 40.0).clamp(0.4, 1.0);
    for (color, line_width) in [(PAPER, 4.0 * thickness), (INK, 1.6 * thickness)] {
        for (y, x) in cells(size) {
            let cell = cell_area(area, size, y, x);
            if x + 1 < width && class_at(y, x) != class_at(y, x + 1) {
                canvas.line((cell.right(), cell.y), (cell.right(), cell.bottom()), color, line_width);
            }
            if y + 1 < height && class_at(y, x) != class_at(y + 1, x) {
                canvas.line((cell.x, cell.bottom()), (cell.right(), cell.bottom()), color, line_width);
            }
        }
    }
}

/// The letters of the winning classes, each in the middle of its cells where there is room: once for each class, and on
/// further connected cells where they are at least 2 % of the map.
pub(super) fn letters(canvas: &mut Canvas, area: Area, map: &LabelMap, key: &Key) {
    let mut spots = spots(map);
    spots.sort_by_key(|spot| std::cmp::Reverse(spot.cells));
    let mut has_letter = Vec::new();
    for spot in spots {
        let cell = cell_area(area, map.size(), spot.y, spot.x);
        let room = cell.width * cell.height * spot.cells as f32;
        let is_wanted = spot.cells * 50 >= map.size().cells() || !has_letter.contains(&spot.class);
        if let Some(letter) = key.letter(spot.class).filter(|_| is_wanted && room >= 26.0 * 26.0) {
            has_letter.push(spot.class);
            canvas.badge(letter, class_color(spot.class), cell.x + cell.width / 2.0, cell.y + cell.height / 2.0);
        }
    }
}

/// The probability of one class in each cell, in `[y, x]` order, over the photograph in grey.
///
/// # Errors
/// In words, when the photograph cannot be scaled.
pub(super) fn heat(
    canvas: &mut Canvas,
    area: Area,
    photo: Option<&RgbImage>,
    size: MapSize,
    probs: &[f32],
) -> Result<(), String> {
    if let Some(photo) = photo {
        canvas.photo(photo, area, |[r, g, b]| {
            let grey = (u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114) / 1000;
            [grey as u8; 3]
        })?;
    }
    let opacity = if photo.is_some() { 0.62 } else { 1.0 };
    for (y, x) in cells(size) {
        canvas.fill(cell_area(area, size, y, x), heat_color(probs[y * size.width_cells() + x]), opacity);
    }
    Ok(())
}

/// The crop's box; what lies outside of the image is cut off.
pub(super) fn crop_box(canvas: &mut Canvas, area: Area, unit_box: UnitBox) {
    let side = |unit: f64, start: f32, length: f32| start + unit.clamp(0.0, 1.0) as f32 * length;
    let (x0, x1) = (side(unit_box.x0(), area.x, area.width), side(unit_box.x1(), area.x, area.width));
    let (y0, y1) = (side(unit_box.y0(), area.y, area.height), side(unit_box.y1(), area.y, area.height));
    let shown = Area { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    canvas.frame(shown, INK, 6.0);
    canvas.frame(shown, PAPER, 2.6);
}

/// Where a letter stands: the middle cell of connected cells with the same best class.
struct Spot {
    class: u32,
    cells: usize,
    y: usize,
    x: usize,
}

fn spots(map: &LabelMap) -> Vec<Spot> {
    let width = map.size().width_cells();
    let spot = |(class, cells): (u32, Vec<usize>)| {
        let mean = |of: fn(usize, usize) -> usize| {
            cells.iter().map(|&cell| of(cell, width) as f32).sum::<f32>() / cells.len() as f32
        };
        let (middle_y, middle_x) = (mean(|cell, width| cell / width), mean(|cell, width| cell % width));
        let distance = |cell: usize| {
            let (y, x) = ((cell / width) as f32 - middle_y, (cell % width) as f32 - middle_x);
            y * y + x * x
        };
        let nearest = cells.iter().copied().min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
        Spot { class, cells: cells.len(), y: nearest / width, x: nearest % width }
    };
    connected(map.size(), |cell| Some(map.cell(cell).1[0])).into_iter().map(spot).collect()
}

fn cells(size: MapSize) -> impl Iterator<Item = (usize, usize)> {
    (0..size.height_cells()).flat_map(move |y| (0..size.width_cells()).map(move |x| (y, x)))
}

/// The cell's place in whole pixels, so that cells neither overlap nor leave a seam.
fn cell_area(area: Area, size: MapSize, y: usize, x: usize) -> Area {
    let side = |at: usize, cells: usize, length: f32| (at as f32 * length / cells as f32).round();
    let (left, right) = (side(x, size.width_cells(), area.width), side(x + 1, size.width_cells(), area.width));
    let (top, bottom) = (side(y, size.height_cells(), area.height), side(y + 1, size.height_cells(), area.height));
    Area { x: area.x.round() + left, y: area.y.round() + top, width: right - left, height: bottom - top }
}
