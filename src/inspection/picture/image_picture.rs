//! Picture of one image: the photograph, its winning classes, heat maps of its main classes, and its labels.

use super::annotations::{BARS_PIXELS, bars, heat_scale, legend, legend_pixels};
use super::canvas::{
    Canvas, FAINT_INK, GAP_PIXELS, HEADER_PIXELS, INK, LEGEND_PIXELS, MARGIN_PIXELS, PictureError, PixelRect,
};
use super::panels;
use crate::inspection::inspect::{CellProbs, ClassLetters, ImageView, class_color, regions};
use crate::labelling::pixels::RgbImage;
use crate::shared::classes::ClassList;

/// Longer side of the photograph.
const PANEL_PIXELS: f32 = 448.0;
/// Longer side of a heat map.
const HEAT_PIXELS: f32 = 240.0;
/// Maximum number of heat maps.
const MAX_HEATS: usize = 4;

/// The content of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Image to draw.
    pub view: &'a ImageView,
    /// The teacher's classes.
    pub classes: &'a ClassList,
    /// Name of the teacher.
    pub teacher: &'a str,
    /// The photograph; without it the map is drawn on an empty area.
    pub photo: Option<&'a RgbImage>,
}

/// Draws an image as a PNG (RGB, 8 bits).
///
/// # Errors
/// Returns a [`PictureError`] if the photograph cannot be resized or the picture cannot be encoded.
pub fn draw_image(scene: &Scene<'_>) -> Result<Vec<u8>, PictureError> {
    let layout = PictureLayout::new(scene);
    let mut canvas = Canvas::new(layout.width.ceil() as u32, layout.height.ceil() as u32)?;
    header(&mut canvas, scene, layout.width - 2.0 * MARGIN_PIXELS);
    let (view, map) = (scene.view, &scene.view.labels.map);
    let crop = view.crop.as_ref().map(|(unit_box, _)| *unit_box);
    let probs = CellProbs::new(map, scene.classes.entries().len());
    let regions = regions(map);
    let letters = ClassLetters::new(&regions);
    if let (Some(area), Some(photo)) = (layout.photo, scene.photo) {
        panels::photo(&mut canvas, area, Some(photo))?;
        if let Some(unit_box) = crop {
            panels::crop_box(&mut canvas, area, unit_box);
        }
    }
    panels::photo(&mut canvas, layout.winners, scene.photo)?;
    panels::winners(&mut canvas, layout.winners, map, &probs);
    if let Some(unit_box) = crop {
        panels::crop_box(&mut canvas, layout.winners, unit_box);
    }
    panels::letters(&mut canvas, layout.winners, map, &letters);
    legend(&mut canvas, layout.legend, &regions, &letters, scene.classes);
    for (&class, &area) in layout.heat_classes.iter().zip(&layout.heats) {
        heat_map(&mut canvas, scene, &probs, &letters, class, area)?;
    }
    heat_scale(&mut canvas, layout.scale);
    labels(&mut canvas, scene, &layout.labels);
    canvas.png()
}

/// Areas of the parts of a picture.
struct PictureLayout {
    width: f32,
    height: f32,
    photo: Option<PixelRect>,
    winners: PixelRect,
    legend: PixelRect,
    heat_classes: Vec<u32>,
    heats: Vec<PixelRect>,
    scale: PixelRect,
    labels: Vec<PixelRect>,
}

impl PictureLayout {
    fn new(scene: &Scene<'_>) -> Self {
        let map = &scene.view.labels.map;
        let (height, width) = scene.photo.map_or_else(
            || (map.size().height_cells() as f32, map.size().width_cells() as f32),
            |photo| (photo.height_pixels() as f32, photo.width_pixels() as f32),
        );
        let fitted = |longest: f32| {
            let scale = longest / height.max(width);
            // Very narrow photographs stay visible.
            let side = |side: f32| (side * scale).round().max(longest / 8.0);
            (side(width), side(height))
        };
        let (panel_width, panel_height) = fitted(PANEL_PIXELS);
        let panel =
            |x: f32| PixelRect { x, y: HEADER_PIXELS + MARGIN_PIXELS, width: panel_width, height: panel_height };
        let photo = scene.photo.map(|_| panel(MARGIN_PIXELS));
        let winners = panel(photo.map_or(MARGIN_PIXELS, |photo| photo.right() + GAP_PIXELS));
        let heat_classes = scene.view.main_classes(MAX_HEATS);
        let (heat_width, heat_height) = fitted(HEAT_PIXELS);
        let heat_step = heat_width.max(150.0) + GAP_PIXELS;
        let content = (winners.right() + GAP_PIXELS + LEGEND_PIXELS - MARGIN_PIXELS)
            .max(heat_step * heat_classes.len() as f32 - GAP_PIXELS)
            .max(900.0);
        let right = MARGIN_PIXELS + content;
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
        let labels_top = scale.bottom() + 28.0 + GAP_PIXELS;
        let columns = 2 + usize::from(scene.view.crop.is_some());
        let column = (content - GAP_PIXELS * 2.0) / 3.0;
        let labels = (0..columns).map(|at| PixelRect {
            x: MARGIN_PIXELS + at as f32 * (column + GAP_PIXELS),
            y: labels_top,
            width: column,
            height: BARS_PIXELS,
        });
        Self {
            width: right + MARGIN_PIXELS,
            height: labels_top + BARS_PIXELS + MARGIN_PIXELS / 2.0,
            photo,
            winners,
            legend,
            heats: (0..heat_classes.len()).map(heat).collect(),
            heat_classes,
            scale,
            labels: labels.collect(),
        }
    }
}

fn header(canvas: &mut Canvas, scene: &Scene<'_>, max_width: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    let view = scene.view;
    canvas.text(&large, &large.fitted(&view.id, max_width), MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    let verdict = view.verdict_text(scene.classes).map_or(String::new(), |verdict| format!("{verdict} · "));
    let size = view.labels.map.size();
    let text = format!("{verdict}{}, {size} cells, top {}", scene.teacher, view.labels.map.k());
    canvas.text(&normal, &normal.fitted(&text, max_width), MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}

fn heat_map(
    canvas: &mut Canvas,
    scene: &Scene<'_>,
    probs: &CellProbs,
    letters: &ClassLetters,
    class: u32,
    area: PixelRect,
) -> Result<(), PictureError> {
    let map = &scene.view.labels.map;
    let small = canvas.small.clone();
    let mut x = area.x;
    if let Some(letter) = letters.letter(class) {
        canvas.badge(letter, class_color(class), x + 12.0, area.y - 16.0);
        x += 32.0;
    }
    let name = small.fitted(&scene.classes.short_name(class), (area.width.max(150.0) - (x - area.x)).max(0.0));
    canvas.text(&small, &name, x, area.y - 25.0, INK);
    panels::heat(canvas, area, scene.photo, map.size(), &probs.of_class(map, class))?;
    if let Some((unit_box, _)) = &scene.view.crop {
        panels::crop_box(canvas, area, *unit_box);
    }
    Ok(())
}

fn labels(canvas: &mut Canvas, scene: &Scene<'_>, areas: &[PixelRect]) {
    let view = scene.view;
    let ranked =
        |classes: &[u32], probs: &[f32]| classes.iter().copied().zip(probs.iter().copied()).collect::<Vec<_>>();
    let target = &view.statistics.target;
    let mut shown = vec![("Target of the full image", ranked(&target.classes, &target.probs))];
    if let Some((_, target)) = &view.crop {
        shown.push(("Target of the crop", ranked(&target.classes, &target.probs)));
    }
    let prediction = &view.labels.prediction;
    let probs: Vec<f32> = prediction.probs().iter().map(|prob| prob.to_f32()).collect();
    shown.push(("Prediction of the teacher", ranked(prediction.classes(), &probs)));
    for ((title, ranked), &area) in shown.iter().zip(areas) {
        bars(canvas, area, title, ranked, scene.classes);
    }
}
