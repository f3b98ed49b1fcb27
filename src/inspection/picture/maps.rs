//! A few label maps side by side, without their photographs.

use super::canvas::{Area, Canvas, FAINT_INK, INK};
use super::legend::{entries, legend_pixels, notes};
use super::panel;
use super::{GAP_PIXELS, HEADER_PIXELS, LEGEND_PIXELS, MARGIN_PIXELS};
use crate::inspection::inspect::{CellProbs, Key, View, regions};
use crate::shared::classes::ClassList;

/// Room for the words below all legends.
const NOTES_PIXELS: f32 = 52.0;
/// Room for what stands above each map.
const TITLE_PIXELS: f32 = 30.0;

/// Draws the winning classes of each map, as the bytes of a PNG (RGB, 8 bits). `teacher` is what the teacher is called.
///
/// # Errors
/// In words, when the picture cannot be made.
pub fn draw_maps(views: &[View], classes: &ClassList, teacher: &str) -> Result<Vec<u8>, String> {
    let keys: Vec<_> = views.iter().map(|view| regions(&view.labels.map)).collect();
    let top = HEADER_PIXELS + MARGIN_PIXELS + TITLE_PIXELS;
    let area = |at: usize| {
        let size = views[at].labels.map.size();
        let (height, width) = (size.height_cells() as f32, size.width_cells() as f32);
        let scale = LEGEND_PIXELS / height.max(width);
        // A strip stays wide enough to be seen.
        let side = |cells: f32| (cells * scale).round().max(LEGEND_PIXELS / 8.0);
        let x = MARGIN_PIXELS + at as f32 * (LEGEND_PIXELS + GAP_PIXELS);
        Area { x, y: top, width: side(width), height: side(height) }
    };
    let bottom = (0..views.len()).map(|at| area(at).bottom()).fold(top, f32::max);
    let legends = keys.iter().map(|regions| legend_pixels(regions)).fold(0.0, f32::max);
    let columns = views.len().max(2) as f32;
    let width = 2.0 * MARGIN_PIXELS + columns * LEGEND_PIXELS + (columns - 1.0) * GAP_PIXELS;
    let height = bottom + GAP_PIXELS + legends + MARGIN_PIXELS / 2.0;
    let mut canvas = Canvas::new(width.ceil() as u32, height.ceil() as u32)?;
    header(&mut canvas, views, teacher, width - 2.0 * MARGIN_PIXELS);
    for (at, view) in views.iter().enumerate() {
        let (area, map, key) = (area(at), &view.labels.map, Key::new(&keys[at]));
        let small = canvas.small.clone();
        canvas.text(&small, &small.fitted(&view.id, LEGEND_PIXELS), area.x, area.y - TITLE_PIXELS + 4.0, INK);
        panel::photo(&mut canvas, area, None)?;
        panel::winners(&mut canvas, area, map, &CellProbs::new(map, classes.entries().len()));
        panel::letters(&mut canvas, area, map, &key);
        let place = Area { y: bottom + GAP_PIXELS, width: LEGEND_PIXELS, height: legends, ..area };
        entries(&mut canvas, place, &keys[at], &key, classes);
    }
    let below = height - NOTES_PIXELS - MARGIN_PIXELS / 2.0;
    notes(&mut canvas, Area { x: MARGIN_PIXELS, y: below, width: width - 2.0 * MARGIN_PIXELS, height: NOTES_PIXELS });
    canvas.png()
}

fn header(canvas: &mut Canvas, views: &[View], teacher: &str, room: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    let title = large.fitted("The best class of every cell", room);
    canvas.text(&large, &title, MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    let what = views
        .first()
        .map_or(String::new(), |view| format!(", {} cells, top {}", view.labels.map.size(), view.labels.map.k()));
    let words = normal.fitted(&format!("{teacher}{what}. Label maps of images that are not shown"), room);
    canvas.text(&normal, &words, MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}
