//! Areas of the parts of a picture of one image.

use super::annotations::{BARS_PIXELS, legend_pixels};
use super::canvas::{GAP_PIXELS, HEADER_PIXELS, LEGEND_PIXELS, MARGIN_PIXELS, PixelRect};
use super::tile_cards::CardAreas;
use crate::inspection::inspect::{ImageView, regions};
use crate::labelling::pixels::RgbImage;
use crate::shared::label_map::LabelMap;

/// Longer side of the photograph.
const PANEL_PIXELS: f32 = 448.0;
/// Longer side of a heat map.
const HEAT_PIXELS: f32 = 240.0;
/// Maximum number of heat maps.
const MAX_HEATS: usize = 4;
/// Minimum width of the content of a picture.
const MIN_CONTENT_PIXELS: f32 = 900.0;
/// Minimum width of a bar chart, if there are more than three in a row.
const MIN_BARS_PIXELS: f32 = 262.0;
/// Top of the content.
const TOP_PIXELS: f32 = HEADER_PIXELS + MARGIN_PIXELS;

/// Areas of the parts of a picture.
pub(super) struct PictureLayout {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) photo: Option<PixelRect>,
    /// `None` without a label map.
    pub(super) map: Option<MapAreas>,
    /// `None` without tiles.
    pub(super) tiles: Option<CardAreas>,
    pub(super) labels: Vec<PixelRect>,
}

/// Areas of the panels that show a label map.
pub(super) struct MapAreas {
    pub(super) winners: PixelRect,
    pub(super) legend: PixelRect,
    pub(super) heat_classes: Vec<u32>,
    pub(super) heats: Vec<PixelRect>,
    pub(super) scale: PixelRect,
}

/// Shape of an image.
#[derive(Clone, Copy)]
struct ImageShape {
    height: f32,
    width: f32,
}

impl PictureLayout {
    /// Arranges a picture with `label_count` bar charts.
    pub(super) fn new(view: &ImageView, photo: Option<&RgbImage>, label_count: usize) -> Self {
        let shape = ImageShape::new(view.map.as_ref(), photo);
        match &view.map {
            Some(map) => Self::with_map(view, map, (shape, photo.is_some()), label_count),
            None => Self::without_map(view, (shape, photo.is_some()), label_count),
        }
    }

    /// From top to bottom: photograph, winners and legend; heat maps; tiles; bar charts.
    fn with_map(view: &ImageView, map: &LabelMap, (shape, has_photo): (ImageShape, bool), label_count: usize) -> Self {
        let photo = has_photo.then(|| shape.panel(MARGIN_PIXELS));
        let winners = shape.panel(photo.map_or(MARGIN_PIXELS, |photo| photo.right() + GAP_PIXELS));
        let heat_classes = view.main_classes(MAX_HEATS);
        let (heat_width, heat_height) = shape.fitted(HEAT_PIXELS);
        let heat_step = heat_width.max(150.0) + GAP_PIXELS;
        let content = (winners.right() + GAP_PIXELS + LEGEND_PIXELS - MARGIN_PIXELS)
            .max(heat_step * heat_classes.len() as f32 - GAP_PIXELS)
            .max(MIN_CONTENT_PIXELS)
            .max(if label_count > 3 { bars_pixels(label_count) } else { 0.0 });
        let legend = PixelRect {
            x: winners.right() + GAP_PIXELS,
            y: winners.y,
            width: LEGEND_PIXELS,
            height: legend_pixels(&regions(map)),
        };
        let heats_top = winners.bottom().max(legend.bottom()) + GAP_PIXELS;
        let heat = |at: usize| PixelRect {
            x: MARGIN_PIXELS + at as f32 * heat_step,
            y: heats_top + 30.0,
            width: heat_width,
            height: heat_height,
        };
        let scale = PixelRect {
            x: MARGIN_PIXELS,
            y: heats_top + 30.0 + heat_height + 14.0,
            width: 240.0_f32.min(content),
            height: 12.0,
        };
        let heats = (0..heat_classes.len()).map(heat).collect();
        let below = scale.bottom() + 28.0 + GAP_PIXELS;
        let tiles = card_areas(view, shape, below, content);
        let labels_top = tiles.as_ref().map_or(below, |tiles| tiles.bottom() + GAP_PIXELS);
        Self {
            width: content + 2.0 * MARGIN_PIXELS,
            height: labels_top + BARS_PIXELS + MARGIN_PIXELS / 2.0,
            photo,
            map: Some(MapAreas { winners, legend, heat_classes, heats, scale }),
            tiles,
            labels: columns((MARGIN_PIXELS, labels_top), content, label_count.max(3)).take(label_count).collect(),
        }
    }

    /// From top to bottom: photograph, with bar charts on its right; tiles.
    fn without_map(view: &ImageView, (shape, has_photo): (ImageShape, bool), label_count: usize) -> Self {
        let photo = has_photo.then(|| shape.panel(MARGIN_PIXELS));
        let per_row = if has_photo { 2 } else { label_count.max(3) };
        let labels_left = photo.map_or(MARGIN_PIXELS, |photo| photo.right() + GAP_PIXELS);
        let content = (labels_left - MARGIN_PIXELS + bars_pixels(per_row)).max(MIN_CONTENT_PIXELS);
        let row = |top: f32| columns((labels_left, top), content + MARGIN_PIXELS - labels_left, per_row);
        let rows = label_count.div_ceil(per_row);
        let labels: Vec<PixelRect> =
            (0..rows).flat_map(|at| row(TOP_PIXELS + at as f32 * BARS_PIXELS)).take(label_count).collect();
        let below = TOP_PIXELS + rows as f32 * BARS_PIXELS;
        let below = photo.map_or(below, |photo| below.max(photo.bottom() + GAP_PIXELS));
        let tiles = card_areas(view, shape, below, content);
        let bottom = tiles.as_ref().map_or(below, CardAreas::bottom);
        Self {
            width: content + 2.0 * MARGIN_PIXELS,
            height: bottom + MARGIN_PIXELS / 2.0,
            photo,
            map: None,
            tiles,
            labels,
        }
    }
}

impl ImageShape {
    /// Returns the shape of the photograph, or that of the label map. Without both it is a square.
    fn new(map: Option<&LabelMap>, photo: Option<&RgbImage>) -> Self {
        match (photo, map) {
            (Some(photo), _) => Self { height: photo.height_pixels() as f32, width: photo.width_pixels() as f32 },
            (None, Some(map)) => {
                Self { height: map.size().height_cells() as f32, width: map.size().width_cells() as f32 }
            }
            (None, None) => Self { height: 1.0, width: 1.0 },
        }
    }

    /// Returns the width and height of the image if its longer side has this length.
    fn fitted(self, longest: f32) -> (f32, f32) {
        let scale = longest / self.height.max(self.width);
        // Very narrow photographs stay visible.
        let side = |side: f32| (side * scale).round().max(longest / 8.0);
        (side(self.width), side(self.height))
    }

    fn panel(self, x: f32) -> PixelRect {
        let (width, height) = self.fitted(PANEL_PIXELS);
        PixelRect { x, y: TOP_PIXELS, width, height }
    }
}

fn card_areas(view: &ImageView, shape: ImageShape, top: f32, width: f32) -> Option<CardAreas> {
    let tiles = view.tiles.as_ref()?;
    Some(CardAreas::new(tiles, (MARGIN_PIXELS, top), width, |longest| shape.fitted(longest)))
}

/// Returns the areas of bar charts next to each other.
fn columns((left, top): (f32, f32), width: f32, count: usize) -> impl Iterator<Item = PixelRect> {
    let column = (width - GAP_PIXELS * (count as f32 - 1.0)) / count as f32;
    (0..count).map(move |at| PixelRect {
        x: left + at as f32 * (column + GAP_PIXELS),
        y: top,
        width: column,
        height: BARS_PIXELS,
    })
}

/// Returns the width of bar charts next to each other.
fn bars_pixels(count: usize) -> f32 {
    count as f32 * (MIN_BARS_PIXELS + GAP_PIXELS) - GAP_PIXELS
}
