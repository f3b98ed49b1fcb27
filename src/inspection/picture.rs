//! One image as a picture: the photograph, its winning classes, a heat map for each class that matters, and its labels.
//! The only room that draws.

mod canvas;
mod text;
mod panel;
mod heat;
mod legend;
mod bars;
mod maps;

use crate::inspection::inspect::{CellProbs, Key, View, class_color, regions};
use crate::labelling::pixels::RgbImage;
use crate::shared::classes::ClassList;

use bars::{BARS_PIXELS, bars};
use canvas::{Area, Canvas, FAINT_INK, INK};
use heat::heat_color;
use legend::{legend, legend_pixels};

pub use maps::draw_maps;

/// Longest side of the photograph in the picture, in pixels.
const PANEL_PIXELS: f32 = 448.0;
/// Longest side of a heat map.
const HEAT_PIXELS: f32 = 240.0;
const MARGIN_PIXELS: f32 = 32.0;
const GAP_PIXELS: f32 = 26.0;
const LEGEND_PIXELS: f32 = 310.0;
const HEADER_PIXELS: f32 = 78.0;
/// Most heat maps.
const MOST_HEATS: usize = 4;

/// What a picture is made of.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The image.
    pub view: &'a View,
    /// The teacher's classes.
    pub classes: &'a ClassList,
    /// What the teacher is called.
    pub teacher: &'a str,
    /// The photograph; without it, cells lie on plain paper.
    pub photo: Option<&'a RgbImage>,
}

/// Draws an image, as the bytes of a PNG (RGB, 8 bits).
///
/// # Errors
/// In words, when the photograph cannot be scaled.
pub fn draw(scene: &Scene<'_>) -> Result<Vec<u8>, String> {
    let plan = Plan::of(scene);
    let mut canvas = Canvas::new(plan.width.ceil() as u32, plan.height.ceil() as u32)?;
    header(&mut canvas, scene, plan.width - 2.0 * MARGIN_PIXELS);
    let (view, map) = (scene.view, &scene.view.labels.map);
    let crop = view.crop.as_ref().map(|(unit_box, _)| *unit_box);
    let probs = CellProbs::new(map, scene.classes.entries().len());
    let regions = regions(map);
    let key = Key::new(&regions);
    if let (Some(area), Some(photo)) = (plan.photo, scene.photo) {
        panel::photo(&mut canvas, area, Some(photo))?;
        if let Some(unit_box) = crop {
            panel::crop_box(&mut canvas, area, unit_box);
        }
    }
    panel::photo(&mut canvas, plan.winners, scene.photo)?;
    panel::winners(&mut canvas, plan.winners, map, &probs);
    if let Some(unit_box) = crop {
        panel::crop_box(&mut canvas, plan.winners, unit_box);
    }
    panel::letters(&mut canvas, plan.winners, map, &key);
    legend(&mut canvas, plan.legend, &regions, &key, scene.classes);
    for (&class, &area) in plan.heat_classes.iter().zip(&plan.heats) {
        heat_map(&mut canvas, scene, &probs, &key, class, area)?;
    }
    scale(&mut canvas, plan.scale);
    labels(&mut canvas, scene, &plan.labels);
    canvas.png()
}

/// Where everything goes.
struct Plan {
    width: f32,
    height: f32,
    photo: Option<Area>,
    winners: Area,
    legend: Area,
    heat_classes: Vec<u32>,
    heats: Vec<Area>,
    scale: Area,
    labels: Vec<Area>,
}

impl Plan {
    fn of(scene: &Scene<'_>) -> Self {
        let map = &scene.view.labels.map;
        let (height, width) = scene.photo.map_or_else(
            || (map.size().height_cells() as f32, map.size().width_cells() as f32),
            |photo| (photo.height_pixels() as f32, photo.width_pixels() as f32),
        );
        let fitted = |longest: f32| {
            let scale = longest / height.max(width);
            // A strip stays wide enough to be seen.
            let side = |side: f32| (side * scale).round().max(longest / 8.0);
            (side(width), side(height))
        };
        let (panel_width, panel_height) = fitted(PANEL_PIXELS);
        let panel = |x: f32| Area { x, y: HEADER_PIXELS + MARGIN_PIXELS, width: panel_width, height: panel_height };
        let photo = scene.photo.map(|_| panel(MARGIN_PIXELS));
        let winners = panel(photo.map_or(MARGIN_PIXELS, |photo| photo.right() + GAP_PIXELS));
        let heat_classes = scene.view.classes_that_matter(MOST_HEATS);
        let (heat_width, heat_height) = fitted(HEAT_PIXELS);
        let heat_step = heat_width.max(150.0) + GAP_PIXELS;
        let content = (winners.right() + GAP_PIXELS + LEGEND_PIXELS - MARGIN_PIXELS)
            .max(heat_step * heat_classes.len() as f32 - GAP_PIXELS)
            .max(900.0);
        let right = MARGIN_PIXELS + content;
        let legend = Area {
            x: winners.right() + GAP_PIXELS,
            y: winners.y,
            width: LEGEND_PIXELS,
            height: legend_pixels(&regions(map)),
        };
        let heats_top = winners.bottom().max(legend.bottom()) + GAP_PIXELS;
        let heat = |at: usize| Area {
            x: MARGIN_PIXELS + at as f32 * heat_step,
            y: heats_top + 30.0,
            width: heat_width,
            height: heat_height,
        };
        let scale = Area {
            x: MARGIN_PIXELS,
            y: heats_top + 30.0 + heat_height + 14.0,
            width: 240.0_f32.min(content),
            height: 12.0,
        };
        let labels_top = scale.bottom() + 28.0 + GAP_PIXELS;
        let columns = 2 + usize::from(scene.view.crop.is_some());
        let column = (content - GAP_PIXELS * 2.0) / 3.0;
        let labels = (0..columns).map(|at| Area {
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

fn header(canvas: &mut Canvas, scene: &Scene<'_>, room: f32) {
    let (large, normal) = (canvas.large.clone(), canvas.normal.clone());
    let view = scene.view;
    canvas.text(&large, &large.fitted(&view.id, room), MARGIN_PIXELS, MARGIN_PIXELS - 4.0, INK);
    let verdict = view.verdict_in_words(scene.classes).map_or(String::new(), |verdict| format!("{verdict} · "));
    let size = view.labels.map.size();
    let words = format!("{verdict}{}, {size} cells, top {}", scene.teacher, view.labels.map.k());
    canvas.text(&normal, &normal.fitted(&words, room), MARGIN_PIXELS, MARGIN_PIXELS + 32.0, FAINT_INK);
}

fn heat_map(
    canvas: &mut Canvas,
    scene: &Scene<'_>,
    probs: &CellProbs,
    key: &Key,
    class: u32,
    area: Area,
) -> Result<(), String> {
    let map = &scene.view.labels.map;
    let small = canvas.small.clone();
    let mut x = area.x;
    if let Some(letter) = key.letter(class) {
        canvas.badge(letter, class_color(class), x + 12.0, area.y - 16.0);
        x += 32.0;
    }
    let name = small.fitted(&scene.classes.short_name(class), (area.width.max(150.0) - (x - area.x)).max(0.0));
    canvas.text(&small, &name, x, area.y - 25.0, INK);
    panel::heat(canvas, area, scene.photo, map.size(), &probs.of_class(map, class))?;
    if let Some((unit_box, _)) = &scene.view.crop {
        panel::crop_box(canvas, area, *unit_box);
    }
    Ok(())
}

/// What the heat maps' colours mean.
fn scale(canvas: &mut Canvas, area: Area) {
    let steps = 60;
    let step = area.width / steps as f32;
    for at in 0..steps {
        let slice = Area { x: area.x + at as f32 * step, width: step + 0.5, ..area };
        canvas.fill(slice, heat_color(at as f32 / (steps - 1) as f32), 1.0);
    }
    let small = canvas.small.clone();
    canvas.text(&small, "0", area.x, area.bottom() + 4.0, FAINT_INK);
    canvas.text_to(&small, "1", area.right(), area.bottom() + 4.0, FAINT_INK);
    canvas.text(&small, "probability of the class in each cell", area.right() + 16.0, area.y - 3.0, FAINT_INK);
}

fn labels(canvas: &mut Canvas, scene: &Scene<'_>, areas: &[Area]) {
    let view = scene.view;
    let ranked =
        |classes: &[u32], probs: &[f32]| classes.iter().copied().zip(probs.iter().copied()).collect::<Vec<_>>();
    let whole = &view.figures.whole;
    let mut shown = vec![("The whole image, pooled", ranked(&whole.classes, &whole.probs))];
    if let Some((_, pooled)) = &view.crop {
        shown.push(("The crop, pooled", ranked(&pooled.classes, &pooled.probs)));
    }
    let prediction = &view.labels.prediction;
    let probs: Vec<f32> = prediction.probs().iter().map(|prob| prob.to_f32()).collect();
    shown.push(("The teacher's own, whole image", ranked(prediction.classes(), &probs)));
    for ((title, ranked), &area) in shown.iter().zip(areas) {
        bars(canvas, area, title, ranked, scene.classes);
    }
}
