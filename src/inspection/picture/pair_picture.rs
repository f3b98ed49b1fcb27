//! Picture of two label maps of one image, side by side.

use std::collections::BTreeMap;

use super::canvas::{
    Canvas, FAINT_INK, GAP_PIXELS, HEADER_PIXELS, INK, LEGEND_PIXELS, MARGIN_PIXELS, PictureError, PixelRect,
};
use super::panels;
use crate::inspection::inspect::{CellProbs, ClassLetters, Region, class_color, regions};
use crate::labelling::pixels::RgbImage;
use crate::shared::classes::ClassList;
use crate::shared::label_map::LabelMap;

/// Two label maps of one image.
#[derive(Clone, Copy, Debug)]
pub struct PairScene<'a> {
    /// Title of the picture.
    pub title: &'a str,
    /// Line below the title.
    pub note: &'a str,
    /// The maps, with class ids of the same list.
    pub maps: [MapPanel<'a>; 2],
    /// The classes.
    pub classes: &'a ClassList,
    /// The photograph; without it the maps are drawn on empty areas.
    pub photo: Option<&'a RgbImage>,
}

/// A label map with its description.
#[derive(Clone, Copy, Debug)]
pub struct MapPanel<'a> {
    /// Title of the map.
    pub title: &'a str,
    /// Line below its title.
    pub detail: &'a str,
    /// The map.
    pub map: &'a LabelMap,
}

/// Longer side of a map.
const PANEL_PIXELS: f32 = 448.0;
/// Height of the two lines above each map.
const TITLES_PIXELS: f32 = 52.0;
/// Height of an entry of the legend.
const ENTRY_PIXELS: f32 = 35.0;
/// Width of the number of cells of one map.
const COUNT_PIXELS: f32 = 42.0;
/// Height of the notes below the legend.
const NOTES_PIXELS: f32 = 84.0;

/// Draws two label maps as a PNG (RGB, 8 bits): the best class of each cell, in the same colours and with the same letters,
/// and a mark on each cell in which it differs.
///
/// # Errors
/// Returns a [`PictureError`] if the photograph cannot be resized, or the picture is too large or cannot be encoded.
pub fn draw_pair(scene: &PairScene<'_>) -> Result<Vec<u8>, PictureError> {
    let legend = PairLegend::new(scene);
    let top = HEADER_PIXELS + MARGIN_PIXELS + TITLES_PIXELS;
    let (panel_width, panel_height) = panel_size(scene);
    let count = scene.maps.len() + usize::from(scene.photo.is_some());
    let column = panel_width.max(PANEL_PIXELS * 0.6);
    let panel = |at: usize| PixelRect {
        x: MARGIN_PIXELS + at as f32 * (column + GAP_PIXELS),
        y: top,
        width: panel_width,
        height: panel_height,
    };
    let legend_area = PixelRect { y: top, width: LEGEND_PIXELS, height: legend.pixels(), ..panel(count) };
    let width = legend_area.right() + MARGIN_PIXELS;
    let height = (top + panel_height).max(legend_area.bottom()) + MARGIN_PIXELS;
    let mut canvas = Canvas::new(width.ceil() as u32, height.ceil() as u32)?;
    header(&mut canvas, scene, width - 2.0 * MARGIN_PIXELS);
    if let Some(photo) = scene.photo {
        titles(&mut canvas, panel(0), column, "photograph", "");
        panels::photo(&mut canvas, panel(0), Some(photo))?;
    }
    let differing = differing_cells(scene);
    for (at, shown) in scene.maps.iter().enumerate() {
        let area = panel(at + usize::from(scene.photo.is_some()));
        titles(&mut canvas, area, column, shown.title, shown.detail);
        panels::photo(&mut canvas, area, scene.photo)?;
        panels::winners(&mut canvas, area, shown.map, &CellProbs::new(shown.map, scene.classes.entries().len()));
        panels::marks(&mut canvas, area, shown.map.size(), &differing);
        panels::letters(&mut canvas, area, shown.map, &legend.letters);
    }
    legend.draw(&mut canvas, legend_area, scene.classes, !differing.is_empty());
    canvas.png()
}

/// Returns the cells with different best classes; none if the maps have different sizes.
fn differing_cells(scene: &PairScene<'_>) -> Vec<usize> {
    let [a, b] = scene.maps.map(|shown| shown.map);
    if a.size() != b.size() {
        return Vec::new();
    }
    let winners = a.best_classes().into_iter().zip(b.best_classes());
    winners.enumerate().filter(|(_, (a, b))| a != b).map(|(cell, _)| cell).collect()
}

/// Returns width and height of a panel: with the proportions of the photograph, or of the first map.
fn panel_size(scene: &PairScene<'_>) -> (f32, f32) {
    let size = scene.maps[0].map.size();
    let (height, width) = scene.photo.map_or_else(
        || (size.height_cells() as f32, size.width_cells() as f32),
        |photo| (photo.height_pixels() as f32, photo.width_pixels() as f32),
    );
    let scale = PANEL_PIXELS / height.max(width);
    // Very narrow photographs stay visible.
    let side = |side: f32| (side * scale).round().max(PANEL_PIXELS / 8.0);
    (side(width), side(height))
}

fn header(canvas: &mut Canvas, scene: &PairScene<'_>, max_width: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    canvas.text(&large, &large.fitted(scene.title, max_width), MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    canvas.text(&normal, &normal.fitted(scene.note, max_width), MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}

fn titles(canvas: &mut Canvas, area: PixelRect, max_width: f32, title: &str, detail: &str) {
    let (normal, small) = (canvas.normal.clone(), canvas.small.clone());
    canvas.text(&normal, &normal.fitted(title, max_width), area.x, area.y - TITLES_PIXELS + 2.0, INK);
    canvas.text(&small, &small.fitted(detail, max_width), area.x, area.y - TITLES_PIXELS + 26.0, FAINT_INK);
}

/// The best classes of both maps, those of the most cells first.
struct PairLegend {
    /// Class, and its number of cells in each map.
    entries: Vec<(u32, [usize; 2])>,
    letters: ClassLetters,
}

impl PairLegend {
    fn new(scene: &PairScene<'_>) -> Self {
        let mut cells: BTreeMap<u32, [usize; 2]> = BTreeMap::new();
        for (at, shown) in scene.maps.iter().enumerate() {
            for region in regions(shown.map) {
                cells.entry(region.class).or_default()[at] = region.cells;
            }
        }
        let mut entries: Vec<(u32, [usize; 2])> = cells.into_iter().collect();
        entries.sort_by_key(|(class, [a, b])| (std::cmp::Reverse(a + b), *class));
        // Letters depend only on the order of classes.
        let region =
            |&(class, [a, b]): &(u32, [usize; 2])| Region { class, cells: a + b, x: 0.5, y: 0.5, best_score: 0.0 };
        let letters = ClassLetters::new(&entries.iter().map(region).collect::<Vec<_>>());
        Self { entries, letters }
    }

    fn pixels(&self) -> f32 {
        (self.entries.len().min(ClassLetters::MAX + 1)) as f32 * ENTRY_PIXELS + NOTES_PIXELS
    }

    fn draw(&self, canvas: &mut Canvas, area: PixelRect, classes: &ClassList, has_marks: bool) {
        let (normal, small) = (canvas.normal.clone(), canvas.small.clone());
        let counts = |canvas: &mut Canvas, [a, b]: [&str; 2], y: f32| {
            canvas.text_to(&small, a, area.right() - COUNT_PIXELS, y, FAINT_INK);
            canvas.text_to(&small, b, area.right(), y, FAINT_INK);
        };
        counts(canvas, ["A", "B"], area.y - 26.0);
        let mut y = area.y;
        for &(class, cells) in &self.entries {
            let Some(letter) = self.letters.letter(class) else { break };
            canvas.badge(letter, class_color(class), area.x + 13.0, y + 13.0);
            let max_width = area.width - 36.0 - 2.0 * COUNT_PIXELS;
            canvas.text(&normal, &normal.fitted(&classes.short_name(class), max_width), area.x + 36.0, y + 2.0, INK);
            let cells = cells.map(|cells| cells.to_string());
            counts(canvas, [&cells[0], &cells[1]], y + 4.0);
            y += ENTRY_PIXELS;
        }
        let rest = &self.entries[self.entries.len().min(ClassLetters::MAX)..];
        if !rest.is_empty() {
            let sum = |at: usize| rest.iter().map(|(_, cells)| cells[at]).sum::<usize>().to_string();
            canvas.text(&small, &format!("{} more", rest.len()), area.x + 36.0, y + 4.0, FAINT_INK);
            counts(canvas, [&sum(0), &sum(1)], y + 4.0);
            y += ENTRY_PIXELS;
        }
        let marks = if has_marks { "Black squares mark cells that differ." } else { "" };
        for line in ["Numbers count the cells of a class.", "Fainter cells are less certain.", marks] {
            canvas.text(&small, &small.fitted(line, area.width), area.x, y + 6.0, FAINT_INK);
            y += 21.0;
        }
    }
}
