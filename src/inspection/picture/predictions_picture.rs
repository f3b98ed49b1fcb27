//! Picture of the predictions of several images and their tiles side by side, without photographs.

use super::canvas::{
    Canvas, EMPTY, FAINT_INK, GAP_PIXELS, HEADER_PIXELS, INK, LEGEND_PIXELS, MARGIN_PIXELS, PictureError, PixelRect,
};
use super::tile_cards::class_line;
use crate::inspection::inspect::{ImageView, TilesView, class_color};
use crate::shared::classes::ClassList;
use crate::shared::geometry::UnitBox;
use crate::shared::label_map::ImagePrediction;

/// Height of the title of each column.
const TITLE_PIXELS: f32 = 30.0;
/// Height of the entry of an image or a tile.
const ENTRY_PIXELS: f32 = 52.0;
/// Side of the square that shows where a tile is.
const PLACE_PIXELS: f32 = 42.0;
/// Height of a class.
const CLASS_PIXELS: f32 = 21.0;
/// Classes of each prediction.
const MAX_CLASSES: usize = 2;
/// Tiles of each image.
const MAX_TILES: usize = 16;

/// Draws the best classes of each image and of its tiles as a PNG (RGB, 8 bits). `teacher` is the name of the teacher.
///
/// # Errors
/// Returns a [`PictureError`] if the picture is too large or cannot be encoded.
pub fn draw_predictions(views: &[ImageView], classes: &ClassList, teacher: &str) -> Result<Vec<u8>, PictureError> {
    let tile_count = |view: &ImageView| view.tiles.as_ref().map_or(0, |tiles| tiles.labels.len());
    let most_tiles = views.iter().map(tile_count).max().unwrap_or(0);
    let entries = 1 + most_tiles.min(MAX_TILES);
    let columns = views.len().max(2) as f32;
    let width = 2.0 * MARGIN_PIXELS + columns * LEGEND_PIXELS + (columns - 1.0) * GAP_PIXELS;
    let top = HEADER_PIXELS + MARGIN_PIXELS;
    let more = if most_tiles > MAX_TILES { CLASS_PIXELS } else { 0.0 };
    let height = top + TITLE_PIXELS + entries as f32 * ENTRY_PIXELS + more + MARGIN_PIXELS;
    let mut canvas = Canvas::new(width.ceil() as u32, height.ceil() as u32)?;
    header(&mut canvas, teacher, most_tiles, width - 2.0 * MARGIN_PIXELS);
    let small = canvas.small.clone();
    for (at, view) in views.iter().enumerate() {
        let x = MARGIN_PIXELS + at as f32 * (LEGEND_PIXELS + GAP_PIXELS);
        canvas.text(&small, &small.fitted(&view.id, LEGEND_PIXELS), x, top, INK);
        let tiles = view.tiles.iter().flat_map(TilesView::iter);
        let tiles = tiles.map(|(unit_box, labels)| (unit_box, &labels.prediction)).take(MAX_TILES);
        let mut area = PixelRect { x, y: top + TITLE_PIXELS, width: LEGEND_PIXELS, height: ENTRY_PIXELS };
        for (unit_box, prediction) in std::iter::once((UnitBox::WHOLE, &view.prediction)).chain(tiles) {
            entry(&mut canvas, classes, (unit_box, prediction), area);
            area.y += ENTRY_PIXELS;
        }
        let rest = tile_count(view).saturating_sub(MAX_TILES);
        if rest > 0 {
            canvas.text(&small, &format!("{rest} more tiles"), x + PLACE_PIXELS + 12.0, area.y, FAINT_INK);
        }
    }
    canvas.png()
}

/// Draws where an image or tile is, and its best classes.
fn entry(
    canvas: &mut Canvas,
    classes: &ClassList,
    (unit_box, prediction): (UnitBox, &ImagePrediction),
    area: PixelRect,
) {
    let place = PixelRect { width: PLACE_PIXELS, height: PLACE_PIXELS, ..area };
    canvas.fill(place, EMPTY, 1.0);
    if let Some(&class) = prediction.classes().first() {
        canvas.fill(place.part(unit_box), class_color(class), 1.0);
    }
    canvas.frame(place.part(unit_box), INK, 1.4);
    for (rank, (&class, prob)) in prediction.classes().iter().zip(prediction.probs()).take(MAX_CLASSES).enumerate() {
        let line = PixelRect {
            x: place.right() + 12.0,
            y: area.y + rank as f32 * CLASS_PIXELS,
            width: area.width - PLACE_PIXELS - 12.0,
            height: CLASS_PIXELS,
        };
        class_line(canvas, classes, (class, prob.to_f32()), line);
    }
}

fn header(canvas: &mut Canvas, teacher: &str, tiles: usize, max_width: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    let title = large.fitted("Predictions for images and their tiles", max_width);
    canvas.text(&large, &title, MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    let text =
        normal.fitted(&format!("{teacher}, no cells, {tiles} tiles. Labels without their photographs"), max_width);
    canvas.text(&normal, &text, MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}
