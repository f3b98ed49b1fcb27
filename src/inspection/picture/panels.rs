//! Panels of a picture: the photograph, the winning classes over it, or a heat map of one class.

use super::canvas::{Canvas, EMPTY, INK, PAPER, PictureError, PixelRect};
use crate::inspection::inspect::{CellProbs, ClassLetters, Rgb, class_color, connected_cells};
use crate::labelling::pixels::RgbImage;
use crate::shared::geometry::{MapSize, UnitBox};
use crate::shared::label_map::LabelMap;

/// Stops of matplotlib's `viridis` (CC0) at even steps. It is perceptually uniform, also with colour vision deficiencies.
const HEAT_STOPS: [[u8; 3]; 9] = [
    [0x44, 0x01, 0x54],
    [0x47, 0x2d, 0x7b],
    [0x3b, 0x52, 0x8b],
    [0x2c, 0x72, 0x8e],
    [0x21, 0x91, 0x8c],
    [0x28, 0xae, 0x80],
    [0x5e, 0xc9, 0x62],
    [0xad, 0xdc, 0x30],
    [0xfd, 0xe7, 0x25],
];

/// Draws the photograph, or an empty area without one.
///
/// # Errors
/// Returns [`PictureError::Photograph`] if it cannot be resized.
pub(super) fn photo(canvas: &mut Canvas, area: PixelRect, photo: Option<&RgbImage>) -> Result<(), PictureError> {
    if let Some(photo) = photo {
        return canvas.photo(photo, area, |pixel| pixel);
    }
    canvas.fill(area, EMPTY, 1.0);
    Ok(())
}

/// Draws each cell in the colour of its best class, more opaque with higher probability, and borders between classes.
pub(super) fn winners(canvas: &mut Canvas, area: PixelRect, map: &LabelMap, probs: &CellProbs) {
    let size = map.size();
    let (height, width) = (size.height_cells(), size.width_cells());
    let class_at = |y: usize, x: usize| map.at(0, y, x).1;
    for (y, x) in cells(size) {
        let prob = probs.at(0, y * width + x);
        canvas.fill(cell_area(area, size, y, x), class_color(class_at(y, x)), 0.22 + 0.4 * prob);
    }
    // White below black is visible on any photograph. Small cells get thinner lines.
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

/// Draws the letters of the winning classes in the middle of their connected cells, if these are large enough: for each
/// class once, and again where they are at least 2 % of the map.
pub(super) fn letters(canvas: &mut Canvas, area: PixelRect, map: &LabelMap, letters: &ClassLetters) {
    let mut positions = letter_positions(map);
    positions.sort_by_key(|position| std::cmp::Reverse(position.cells));
    let mut has_letter = Vec::new();
    for position in positions {
        let cell = cell_area(area, map.size(), position.y, position.x);
        let area_pixels = cell.width * cell.height * position.cells as f32;
        let is_wanted = position.cells * 50 >= map.size().cells() || !has_letter.contains(&position.class);
        if let Some(letter) = letters.letter(position.class).filter(|_| is_wanted && area_pixels >= 26.0 * 26.0) {
            has_letter.push(position.class);
            canvas.badge(letter, class_color(position.class), cell.x + cell.width / 2.0, cell.y + cell.height / 2.0);
        }
    }
}

/// Draws a square in the upper right corner of each of these cells.
pub(super) fn marks(canvas: &mut Canvas, area: PixelRect, size: MapSize, marked: &[usize]) {
    for &cell in marked {
        let cell = cell_area(area, size, cell / size.width_cells(), cell % size.width_cells());
        let side = mark_pixels(cell);
        let gap = (side / 3.0).round().max(1.0);
        let mark = PixelRect { x: cell.right() - side - gap, y: cell.y + gap, width: side, height: side };
        canvas.fill(mark.grown((side / 6.0).round().max(1.0)), PAPER, 1.0);
        canvas.fill(mark, INK, 1.0);
    }
}

fn mark_pixels(cell: PixelRect) -> f32 {
    (cell.width.min(cell.height) / 5.0).round().clamp(2.0, 12.0)
}

/// Draws the probability of one class in each cell, `[y, x]`, over the photograph in grey.
///
/// # Errors
/// Returns [`PictureError::Photograph`] if the photograph cannot be resized.
pub(super) fn heat(
    canvas: &mut Canvas,
    area: PixelRect,
    photo: Option<&RgbImage>,
    size: MapSize,
    probs: &[f32],
) -> Result<(), PictureError> {
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

/// Returns the colour of a probability, 0 to 1.
pub(super) fn heat_color(prob: f32) -> Rgb {
    let position = prob.clamp(0.0, 1.0) * (HEAT_STOPS.len() - 1) as f32;
    let below = (position as usize).min(HEAT_STOPS.len() - 2);
    let share = position - below as f32;
    let mut color = [0; 3];
    for (channel, value) in color.iter_mut().enumerate() {
        let (low, high) = (f32::from(HEAT_STOPS[below][channel]), f32::from(HEAT_STOPS[below + 1][channel]));
        *value = (low + (high - low) * share).round() as u8;
    }
    Rgb(color)
}

/// Draws the box of a crop, clipped to the image.
pub(super) fn crop_box(canvas: &mut Canvas, area: PixelRect, unit_box: UnitBox) {
    let shown = area.part(unit_box);
    canvas.frame(shown, INK, 6.0);
    canvas.frame(shown, PAPER, 2.6);
}

/// Position of a letter: the cell nearest to the centre of connected cells with the same best class.
struct LetterPosition {
    class: u32,
    cells: usize,
    y: usize,
    x: usize,
}

fn letter_positions(map: &LabelMap) -> Vec<LetterPosition> {
    let width = map.size().width_cells();
    let position = |(class, cells): (u32, Vec<usize>)| {
        let mean = |coordinate: fn(usize, usize) -> usize| {
            cells.iter().map(|&cell| coordinate(cell, width) as f32).sum::<f32>() / cells.len() as f32
        };
        let (middle_y, middle_x) = (mean(|cell, width| cell / width), mean(|cell, width| cell % width));
        let distance = |cell: usize| {
            let (y, x) = ((cell / width) as f32 - middle_y, (cell % width) as f32 - middle_x);
            y * y + x * x
        };
        let nearest = cells.iter().copied().min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
        LetterPosition { class, cells: cells.len(), y: nearest / width, x: nearest % width }
    };
    connected_cells(map.size(), |cell| Some(map.cell(cell).1[0])).into_iter().map(position).collect()
}

fn cells(size: MapSize) -> impl Iterator<Item = (usize, usize)> {
    (0..size.height_cells()).flat_map(move |y| (0..size.width_cells()).map(move |x| (y, x)))
}

/// Returns the area of a cell, rounded to pixels, so cells neither overlap nor leave gaps.
fn cell_area(area: PixelRect, size: MapSize, y: usize, x: usize) -> PixelRect {
    let side = |at: usize, cells: usize, length: f32| (at as f32 * length / cells as f32).round();
    let (left, right) = (side(x, size.width_cells(), area.width), side(x + 1, size.width_cells(), area.width));
    let (top, bottom) = (side(y, size.height_cells(), area.height), side(y + 1, size.height_cells(), area.height));
    PixelRect { x: area.x.round() + left, y: area.y.round() + top, width: right - left, height: bottom - top }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_colours_run_from_the_first_stop_to_the_last() {
        let stops = [HEAT_STOPS[0], HEAT_STOPS[4], HEAT_STOPS[8], HEAT_STOPS[8]];
        assert_eq!([0.0, 0.5, 1.0, 7.0].map(heat_color), stops.map(Rgb));
        assert_eq!(heat_color(f32::NAN), Rgb([0, 0, 0]), "NaN does not panic");
    }
}
