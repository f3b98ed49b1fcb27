//! Picture of several label maps side by side, without photographs.

use super::annotations::{legend_entries, legend_notes, legend_pixels};
use super::canvas::{
    Canvas, FAINT_INK, GAP_PIXELS, HEADER_PIXELS, INK, LEGEND_PIXELS, MARGIN_PIXELS, PictureError, PixelRect,
};
use super::panels;
use crate::inspection::inspect::{CellProbs, ClassLetters, ImageView, regions};
use crate::shared::classes::ClassList;
use crate::shared::label_map::LabelMap;

/// Height of the notes below the legends.
const NOTES_PIXELS: f32 = 52.0;
/// Height of the title above each map.
const TITLE_PIXELS: f32 = 30.0;

/// Draws the winning classes of each map as a PNG (RGB, 8 bits). `teacher` is the name of the teacher. Images without label maps
/// are left out.
///
/// # Errors
/// Returns a [`PictureError`] if the picture is too large or cannot be encoded.
pub fn draw_maps(views: &[ImageView], classes: &ClassList, teacher: &str) -> Result<Vec<u8>, PictureError> {
    let maps: Vec<(&str, &LabelMap)> =
        views.iter().filter_map(|view| Some((view.id.as_str(), view.map.as_ref()?))).collect();
    let map_regions: Vec<_> = maps.iter().map(|(_, map)| regions(map)).collect();
    let top = HEADER_PIXELS + MARGIN_PIXELS + TITLE_PIXELS;
    let area = |at: usize| {
        let size = maps[at].1.size();
        let (height, width) = (size.height_cells() as f32, size.width_cells() as f32);
        let scale = LEGEND_PIXELS / height.max(width);
        // Very narrow maps stay visible.
        let side = |cells: f32| (cells * scale).round().max(LEGEND_PIXELS / 8.0);
        let x = MARGIN_PIXELS + at as f32 * (LEGEND_PIXELS + GAP_PIXELS);
        PixelRect { x, y: top, width: side(width), height: side(height) }
    };
    let bottom = (0..maps.len()).map(|at| area(at).bottom()).fold(top, f32::max);
    let legends = map_regions.iter().map(|regions| legend_pixels(regions)).fold(0.0, f32::max);
    let columns = maps.len().max(2) as f32;
    let width = 2.0 * MARGIN_PIXELS + columns * LEGEND_PIXELS + (columns - 1.0) * GAP_PIXELS;
    let height = bottom + GAP_PIXELS + legends + MARGIN_PIXELS / 2.0;
    let mut canvas = Canvas::new(width.ceil() as u32, height.ceil() as u32)?;
    header(&mut canvas, maps.first().map(|(_, map)| *map), teacher, width - 2.0 * MARGIN_PIXELS);
    for (at, &(id, map)) in maps.iter().enumerate() {
        let (area, letters) = (area(at), ClassLetters::new(&map_regions[at]));
        let small = canvas.small.clone();
        canvas.text(&small, &small.fitted(id, LEGEND_PIXELS), area.x, area.y - TITLE_PIXELS + 4.0, INK);
        panels::photo(&mut canvas, area, None)?;
        panels::winners(&mut canvas, area, map, &CellProbs::new(map, classes.entries().len()));
        panels::letters(&mut canvas, area, map, &letters);
        let legend = PixelRect { y: bottom + GAP_PIXELS, width: LEGEND_PIXELS, height: legends, ..area };
        legend_entries(&mut canvas, legend, &map_regions[at], &letters, classes);
    }
    let below = height - NOTES_PIXELS - MARGIN_PIXELS / 2.0;
    legend_notes(
        &mut canvas,
        PixelRect { x: MARGIN_PIXELS, y: below, width: width - 2.0 * MARGIN_PIXELS, height: NOTES_PIXELS },
    );
    canvas.png()
}

fn header(canvas: &mut Canvas, first: Option<&LabelMap>, teacher: &str, max_width: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    let title = large.fitted("Best class of each cell", max_width);
    canvas.text(&large, &title, MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    let map = first.map_or(String::new(), |map| format!(", {} cells, top {}", map.size(), map.k()));
    let text = normal.fitted(&format!("{teacher}{map}. Label maps without their photographs"), max_width);
    canvas.text(&normal, &text, MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}
