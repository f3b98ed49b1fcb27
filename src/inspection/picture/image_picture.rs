//! Picture of one image: the photograph, its winning classes, heat maps of its main classes, its tiles, and its labels.

use super::annotations::{bars, heat_scale, legend};
use super::canvas::{Canvas, FAINT_INK, INK, MARGIN_PIXELS, PictureError, PixelRect};
use super::panels;
use super::picture_layout::{MapAreas, PictureLayout};
use super::tile_cards::{TileScene, tile_cards};
use crate::inspection::inspect::{CellProbs, ClassLetters, ImageView, class_color, regions};
use crate::labelling::pixels::RgbImage;
use crate::shared::classes::ClassList;
use crate::shared::geometry::map_size_text;
use crate::shared::label_map::LabelMap;
use crate::training::labels::PoolingKind;

/// The content of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Image to draw.
    pub view: &'a ImageView,
    /// The teacher's classes.
    pub classes: &'a ClassList,
    /// Name of the teacher.
    pub teacher: &'a str,
    /// The photograph; without it the labels are drawn on an empty area.
    pub photo: Option<&'a RgbImage>,
}

/// Draws an image as a PNG (RGB, 8 bits). Panels of cells are left out if the image has no label map, and tiles if it has none.
///
/// # Errors
/// Returns a [`PictureError`] if the photograph cannot be resized or the picture cannot be encoded.
pub fn draw_image(scene: &Scene<'_>) -> Result<Vec<u8>, PictureError> {
    let (view, labels) = (scene.view, ranked_labels(scene.view));
    let layout = PictureLayout::new(view, scene.photo, labels.len());
    let mut canvas = Canvas::new(layout.width.ceil() as u32, layout.height.ceil() as u32)?;
    header(&mut canvas, scene, layout.width - 2.0 * MARGIN_PIXELS);
    let crop = view.crop.as_ref().map(|crop| crop.unit_box);
    if let (Some(area), Some(photo)) = (layout.photo, scene.photo) {
        panels::photo(&mut canvas, area, Some(photo))?;
        if let Some(unit_box) = crop {
            panels::crop_box(&mut canvas, area, unit_box);
        }
    }
    if let (Some(map), Some(areas)) = (&view.map, &layout.map) {
        map_panels(&mut canvas, scene, map, areas)?;
    }
    if let (Some(tiles), Some(areas)) = (&view.tiles, &layout.tiles) {
        let tile_scene = TileScene { tiles, classes: scene.classes, photo: scene.photo, crop };
        tile_cards(&mut canvas, &tile_scene, areas)?;
    }
    for (label, &area) in labels.iter().zip(&layout.labels) {
        bars(&mut canvas, area, label.title, &label.ranked, scene.classes);
    }
    canvas.png()
}

/// Draws the winning classes of the cells, their legend, and heat maps of the main classes.
fn map_panels(canvas: &mut Canvas, scene: &Scene<'_>, map: &LabelMap, areas: &MapAreas) -> Result<(), PictureError> {
    let probs = CellProbs::new(map, scene.classes.entries().len());
    let regions = regions(map);
    let letters = ClassLetters::new(&regions);
    panels::photo(canvas, areas.winners, scene.photo)?;
    panels::winners(canvas, areas.winners, map, &probs);
    if let Some(crop) = &scene.view.crop {
        panels::crop_box(canvas, areas.winners, crop.unit_box);
    }
    panels::letters(canvas, areas.winners, map, &letters);
    legend(canvas, areas.legend, &regions, &letters, scene.classes);
    for (&class, &area) in areas.heat_classes.iter().zip(&areas.heats) {
        heat_map(canvas, scene, &letters, (class, &probs.of_class(map, class)), area)?;
    }
    heat_scale(canvas, areas.scale);
    Ok(())
}

fn heat_map(
    canvas: &mut Canvas,
    scene: &Scene<'_>,
    letters: &ClassLetters,
    (class, probs): (u32, &[f32]),
    area: PixelRect,
) -> Result<(), PictureError> {
    let small = canvas.small.clone();
    let mut x = area.x;
    if let Some(letter) = letters.letter(class) {
        canvas.badge(letter, class_color(class), x + 12.0, area.y - 16.0);
        x += 32.0;
    }
    let name = small.fitted(&scene.classes.short_name(class), (area.width.max(150.0) - (x - area.x)).max(0.0));
    canvas.text(&small, &name, x, area.y - 25.0, INK);
    if let Some(map) = &scene.view.map {
        panels::heat(canvas, area, scene.photo, map.size(), probs)?;
    }
    if let Some(crop) = &scene.view.crop {
        panels::crop_box(canvas, area, crop.unit_box);
    }
    Ok(())
}

fn header(canvas: &mut Canvas, scene: &Scene<'_>, max_width: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    let view = scene.view;
    canvas.text(&large, &large.fitted(&view.id, max_width), MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    let verdict = view.verdict_text(scene.classes).map_or(String::new(), |verdict| format!("{verdict} · "));
    let cells = map_size_text(view.map.as_ref().map(LabelMap::size));
    let k = view.map.as_ref().map_or(view.prediction.classes().len(), LabelMap::k);
    let tiles = view.tiles.as_ref().map_or(String::new(), |tiles| format!(", {} tiles", tiles.tiles.count()));
    let text = format!("{verdict}{}, {cells} cells, top {k}{tiles}", scene.teacher);
    canvas.text(&normal, &normal.fitted(&text, max_width), MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}

/// A label that is drawn as a bar chart.
struct RankedLabel {
    title: &'static str,
    ranked: Vec<(u32, f32)>,
}

/// Returns the targets and the prediction.
fn ranked_labels(view: &ImageView) -> Vec<RankedLabel> {
    let label = |title: &'static str, classes: &[u32], probs: &[f32]| RankedLabel {
        title,
        ranked: classes.iter().copied().zip(probs.iter().copied()).collect(),
    };
    let target = &view.statistics.target;
    let mut labels = vec![label("Target of the full image", &target.classes, &target.probs)];
    for (kind, target) in view.crop.iter().flat_map(|crop| &crop.targets) {
        let title = match kind {
            PoolingKind::Paper => "Target of the crop",
            PoolingKind::Tiles => "Target of the crop, by tiles",
            PoolingKind::Calibrated => "Target of the crop, calibrated",
        };
        labels.push(label(title, &target.classes, &target.probs));
    }
    let probs: Vec<f32> = view.prediction.probs().iter().map(|prob| prob.to_f32()).collect();
    labels.push(label("Prediction of the teacher", view.prediction.classes(), &probs));
    labels
}
