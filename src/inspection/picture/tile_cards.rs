//! Cards of the tiles of an image: where each is, and the best classes of its prediction.

use super::canvas::{Canvas, FAINT_INK, INK, PAPER, PictureError, PixelRect};
use super::panels;
use crate::inspection::inspect::{CellProbs, TilesView, class_color};
use crate::labelling::pixels::RgbImage;
use crate::shared::classes::ClassList;
use crate::shared::geometry::UnitBox;
use crate::shared::label_map::TileLabels;

/// Smallest and largest width of a card.
const CARD_PIXELS: [f32; 2] = [196.0, 272.0];
const CARD_GAP_PIXELS: f32 = 26.0;
/// Space on the right of the image on a card.
const IMAGE_GAP_PIXELS: f32 = 28.0;
/// Height of the title of all cards.
const TITLE_PIXELS: f32 = 34.0;
/// Height of the number of a tile.
const NUMBER_PIXELS: f32 = 22.0;
/// Height of a class with its probability.
const CLASS_PIXELS: f32 = 22.0;
/// Classes on a card.
const MAX_CLASSES: usize = 3;

/// What the cards show.
pub(super) struct TileScene<'a> {
    pub(super) tiles: &'a TilesView,
    pub(super) classes: &'a ClassList,
    pub(super) photo: Option<&'a RgbImage>,
    /// A crop to compare with the tiles.
    pub(super) crop: Option<UnitBox>,
}

/// Areas of the cards, and of their title.
pub(super) struct CardAreas {
    title: PixelRect,
    /// Area of the image on each card.
    images: Vec<PixelRect>,
    card_width: f32,
    card_height: f32,
}

impl CardAreas {
    /// Arranges the cards in rows of similar length. `fitted` returns width and height of an image whose longer side is given.
    pub(super) fn new(
        tiles: &TilesView,
        (left, top): (f32, f32),
        width: f32,
        fitted: impl Fn(f32) -> (f32, f32),
    ) -> Self {
        let count = tiles.tiles.count();
        let [smallest, largest] = CARD_PIXELS;
        let most = (((width + CARD_GAP_PIXELS) / (smallest + CARD_GAP_PIXELS)) as usize).max(1);
        let per_row = count.div_ceil(count.div_ceil(most)).max(1);
        let card_width =
            ((width + CARD_GAP_PIXELS) / per_row as f32 - CARD_GAP_PIXELS).floor().clamp(smallest, largest);
        let (image_width, image_height) = fitted(card_width - IMAGE_GAP_PIXELS);
        let classes = tiles.tiles.k().min(MAX_CLASSES) as f32;
        let card_height = NUMBER_PIXELS + image_height + 8.0 + classes * CLASS_PIXELS;
        let image = |tile: usize| PixelRect {
            x: left + (tile % per_row) as f32 * (card_width + CARD_GAP_PIXELS),
            y: top + TITLE_PIXELS + NUMBER_PIXELS + (tile / per_row) as f32 * (card_height + CARD_GAP_PIXELS),
            width: image_width,
            height: image_height,
        };
        let title = PixelRect { x: left, y: top, width, height: TITLE_PIXELS };
        Self { title, images: (0..count).map(image).collect(), card_width, card_height }
    }

    /// Returns the y coordinate below the last row.
    pub(super) fn bottom(&self) -> f32 {
        self.images.last().map_or(self.title.bottom(), |image| image.y - NUMBER_PIXELS + self.card_height)
    }
}

/// Draws a card for each tile.
///
/// # Errors
/// Returns [`PictureError::Photograph`] if the photograph cannot be resized.
pub(super) fn tile_cards(canvas: &mut Canvas, scene: &TileScene<'_>, areas: &CardAreas) -> Result<(), PictureError> {
    let (normal, small) = (canvas.normal.clone(), canvas.small.clone());
    canvas.text(&normal, "Prediction of the teacher for each tile", areas.title.x, areas.title.y, INK);
    for (tile, ((unit_box, labels), &image)) in scene.tiles.iter().zip(&areas.images).enumerate() {
        canvas.text(&small, &format!("tile {tile}"), image.x, image.y - NUMBER_PIXELS, FAINT_INK);
        place(canvas, scene, (unit_box, labels), image)?;
        let best = labels.prediction.classes().iter().zip(labels.prediction.probs()).take(MAX_CLASSES);
        for (rank, (&class, prob)) in best.enumerate() {
            let line = PixelRect {
                x: image.x,
                y: image.bottom() + 8.0 + rank as f32 * CLASS_PIXELS,
                width: areas.card_width,
                height: CLASS_PIXELS,
            };
            class_line(canvas, scene.classes, (class, prob.to_f32()), line);
        }
    }
    Ok(())
}

/// Draws the image, in which all but the tile is faint, and the outline of the tile in the colour of its best class.
fn place(
    canvas: &mut Canvas,
    scene: &TileScene<'_>,
    (unit_box, labels): (UnitBox, &TileLabels),
    image: PixelRect,
) -> Result<(), PictureError> {
    let color = labels.prediction.classes().first().map_or(FAINT_INK, |&class| class_color(class));
    let tile = image.part(unit_box).rounded();
    panels::photo(canvas, image, scene.photo)?;
    if scene.photo.is_some() {
        for side in around(image, tile) {
            canvas.fill(side, PAPER, 0.66);
        }
    } else {
        canvas.fill(tile, color, 0.4);
    }
    if let Some(map) = &labels.map {
        panels::winners(canvas, tile, map, &CellProbs::new(map, scene.classes.entries().len()));
    }
    canvas.frame(tile, INK, 5.0);
    canvas.frame(tile, color, 3.0);
    if let Some(crop) = scene.crop {
        let crop = image.part(crop);
        let (right, bottom) = (crop.right(), crop.bottom());
        let corners = [(crop.x, crop.y), (right, crop.y), (right, bottom), (crop.x, bottom), (crop.x, crop.y)];
        canvas.polyline(&corners, PAPER, 3.6, false);
        canvas.polyline(&corners, INK, 1.8, true);
    }
    Ok(())
}

/// Returns the parts of an area above, below, left and right of `inner`.
fn around(outer: PixelRect, inner: PixelRect) -> [PixelRect; 4] {
    [
        PixelRect { height: inner.y - outer.y, ..outer },
        PixelRect { y: inner.bottom(), height: outer.bottom() - inner.bottom(), ..outer },
        PixelRect { x: outer.x, width: inner.x - outer.x, ..inner },
        PixelRect { x: inner.right(), width: outer.right() - inner.right(), ..inner },
    ]
}

/// Draws a class with its colour and its probability.
pub(super) fn class_line(canvas: &mut Canvas, classes: &ClassList, (class, prob): (u32, f32), line: PixelRect) {
    let small = canvas.small.clone();
    let swatch = PixelRect { x: line.x, y: line.y + 3.0, width: 12.0, height: 12.0 };
    canvas.fill(swatch, class_color(class), 1.0);
    canvas.frame(swatch, FAINT_INK, 1.0);
    let percent = format!("{:.0} %", prob * 100.0);
    let max_width = line.width - 18.0 - small.width(&percent) - 8.0;
    canvas.text(&small, &small.fitted(&classes.short_name(class), max_width), line.x + 18.0, line.y, INK);
    canvas.text_to(&small, &percent, line.right(), line.y, FAINT_INK);
}
