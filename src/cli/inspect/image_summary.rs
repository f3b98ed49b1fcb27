//! One image as text and as JSON.

use relabel::inspection::inspect::{ClassLetters, ImageView, Region, TilesView, class_color, regions};
use relabel::shared::classes::ClassList;
use relabel::shared::label_map::{ImagePrediction, LabelMap};
use relabel::shared::printable::printable;
use relabel::training::labels::PoolingKind;
use relabel::training::pool::SparseTarget;
use serde_json::{Value, json};

use crate::cli::terminal_colors::ColourSupport;

/// Classes that are printed per label.
const PRINTED_CLASSES: usize = 5;
/// Width of the bar of probability 1, in characters.
const BAR_WIDTH: f32 = 30.0;

/// Classes that are printed per tile.
const PRINTED_TILE_CLASSES: usize = 2;

/// Returns everything as text.
pub(super) fn text(view: &ImageView, classes: &ClassList, colours: ColourSupport) -> String {
    let mut text = String::new();
    let map_regions = view.map.as_ref().map(|map| (map, regions(map)));
    text += &map_regions.as_ref().map_or_else(
        || predictions_sentence(view, classes),
        |(map, regions)| region_sentence(view, map, regions, classes),
    );
    if let Some(verdict) = view.verdict_text(classes) {
        text += &printable(&verdict);
        text.push('\n');
    }
    if let Some((map, regions)) = &map_regions {
        text += &cells(map, regions, classes, colours);
    }
    if let Some(tiles) = &view.tiles {
        text += &tile_lines(tiles, classes);
    }
    text += "\ntarget of the full image\n";
    text += &bars(&ranked(&view.statistics.target), classes, colours);
    if let Some(crop) = &view.crop {
        let sides = crop.unit_box.sides().map(|side| format!("{side:.3}")).join(",");
        for (kind, target) in &crop.targets {
            let kind = match kind {
                PoolingKind::Paper => "",
                PoolingKind::Tiles => ", by tiles",
                PoolingKind::Calibrated => ", calibrated",
            };
            text += &format!("\ntarget of the crop {sides}{kind}\n");
            text += &bars(&ranked(target), classes, colours);
        }
    }
    text += "\nprediction of the teacher for the full image\n";
    text + &bars(&predicted(&view.prediction), classes, colours)
}

/// Returns everything as JSON. Labels are lists of classes, best first.
pub(super) fn document(view: &ImageView, classes: &ClassList) -> Value {
    let list = |ranked: Vec<(u32, f32)>| {
        let class = |(class, prob): (u32, f32)| json!({ "class": class, "name": classes.short_name(class), "probability": prob });
        ranked.into_iter().map(class).collect::<Vec<_>>()
    };
    let statistics = &view.statistics;
    let crop = view.crop.as_ref().map(|crop| {
        let target = |(kind, target): &(PoolingKind, SparseTarget)| {
            json!({ "pooling": kind.name(), "pooled": list(ranked(target)), "rest": target.rest })
        };
        let targets: Vec<Value> = crop.targets.iter().map(target).collect();
        let mut document = targets.first().cloned().unwrap_or_else(|| json!({}));
        document["box"] = json!(crop.unit_box.sides());
        document["targets"] = targets.into();
        document
    });
    let region = |region: Region| {
        json!({
            "class": region.class, "name": classes.short_name(region.class), "cells": region.cells,
            "position": region.position(), "centre": [region.x, region.y], "best_score": region.best_score,
        })
    };
    let regions: Vec<Value> = view.map.iter().flat_map(regions).map(region).collect();
    let tiles = view.tiles.iter().flat_map(TilesView::iter).map(|(unit_box, labels)| {
        json!({ "box": unit_box.sides(), "prediction": list(predicted(&labels.prediction)), "has_map": labels.map.is_some() })
    });
    json!({
        "state": "labelled",
        "folder_class": view.folder_class,
        "verdict": statistics.verdict,
        "folder_class_probability": statistics.folder_class_prob,
        "prediction": list(predicted(&view.prediction)),
        "pooled": list(ranked(&statistics.target)),
        "pooled_rest": statistics.target.rest,
        "crop": crop,
        "entropy": statistics.entropy,
        "objects": view.objects.iter().map(|object| json!({
            "class": object.class, "name": classes.short_name(object.class), "cells": object.cells,
        })).collect::<Vec<_>>(),
        "map_size": view.map.as_ref().map(LabelMap::size),
        "regions": regions,
        "covering": view.tiles.as_ref().map(|tiles| tiles.tiles.covering()),
        "tiles": tiles.collect::<Vec<_>>(),
    })
}

fn ranked(pooled: &SparseTarget) -> Vec<(u32, f32)> {
    pooled.classes.iter().copied().zip(pooled.probs.iter().copied()).collect()
}

fn predicted(prediction: &ImagePrediction) -> Vec<(u32, f32)> {
    prediction.classes().iter().copied().zip(prediction.probs().iter().map(|prob| prob.to_f32())).collect()
}

/// Returns a sentence with the largest region, the prediction and its probability.
fn region_sentence(view: &ImageView, map: &LabelMap, regions: &[Region], classes: &ClassList) -> String {
    let (Some(region), Some((class, prob))) = (regions.first(), predicted(&view.prediction).first().copied()) else {
        return String::new();
    };
    format!(
        "Largest region: {} ({}, {} of {} cells). Prediction: {} ({:.0} %).\n",
        printable(&classes.short_name(region.class)),
        region.position(),
        region.cells,
        map.size().cells(),
        printable(&classes.short_name(class)),
        prob * 100.0,
    )
}

/// Returns a sentence with the prediction, its probability, and how many tiles have the same best class.
fn predictions_sentence(view: &ImageView, classes: &ClassList) -> String {
    let Some((class, prob)) = predicted(&view.prediction).first().copied() else { return String::new() };
    let tiles = view.tiles.as_ref().map_or(String::new(), |tiles| {
        format!(", the best class of {} of {} tiles", tiles.count_of_best(class), tiles.tiles.count())
    });
    format!(
        "Prediction: {} ({:.0} %){tiles}. The store has predictions only.\n",
        printable(&classes.short_name(class)),
        prob * 100.0
    )
}

/// Returns the box and the best classes of each tile.
fn tile_lines(tiles: &TilesView, classes: &ClassList) -> String {
    let covering = printable(tiles.tiles.covering());
    let mut text = format!("\nprediction for each of {} tiles (covering {covering})\n", tiles.tiles.count());
    for (tile, (unit_box, labels)) in tiles.iter().enumerate() {
        let sides = unit_box.sides().map(|side| format!("{side:.2}")).join(",");
        let class = |(class, prob): (u32, f32)| {
            format!("{:>5.1} %  {:<26}", prob * 100.0, printable(&classes.short_name(class)))
        };
        let best: Vec<String> =
            predicted(&labels.prediction).into_iter().take(PRINTED_TILE_CLASSES).map(class).collect();
        text += format!("  {tile:>2}  {sides}  {}", best.concat()).trim_end();
        text.push('\n');
    }
    text
}

fn bars(ranked: &[(u32, f32)], classes: &ClassList, colours: ColourSupport) -> String {
    let full = if colours == ColourSupport::Plain { "#" } else { "█" };
    let line = |&(class, prob): &(u32, f32)| {
        let bar = full.repeat((prob * BAR_WIDTH).round() as usize);
        let bar = colours.in_color(&bar, class_color(class));
        format!("  {:>5.1} %  {:<26} {bar}", prob * 100.0, printable(&classes.short_name(class))).trim_end().to_owned()
            + "\n"
    };
    ranked.iter().take(PRINTED_CLASSES).map(line).collect()
}

/// Returns the map with a letter for the best class of each cell, on its colour, and the legend.
fn cells(map: &LabelMap, regions: &[Region], classes: &ClassList, colours: ColourSupport) -> String {
    let letters = ClassLetters::new(regions);
    let size = map.size();
    let mut text = format!("\ntop class of each of {size} cells\n");
    // Wide maps have no gaps, so their lines fit the terminal.
    let gap = if size.width_cells() > 40 { "" } else { " " };
    for y in 0..size.height_cells() {
        text += "  ";
        for x in 0..size.width_cells() {
            let class = map.at(0, y, x).1;
            let letter = letters.letter(class).unwrap_or('.');
            text += &colours.on_background(&format!("{letter}{gap}"), class_color(class));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    for region in regions.iter().take(ClassLetters::MAX) {
        let letter = letters.letter(region.class).unwrap_or('.');
        text += &format!(
            "  {} {:<26} {:>3} {}, {} (score up to {:.1})\n",
            colours.on_background(&format!("{letter} "), class_color(region.class)),
            printable(&classes.short_name(region.class)),
            region.cells,
            if region.cells == 1 { "cell" } else { "cells" },
            region.position(),
            region.best_score
        );
    }
    let rest = regions.len().saturating_sub(ClassLetters::MAX);
    if rest > 0 {
        let cells: usize = regions.iter().skip(ClassLetters::MAX).map(|region| region.cells).sum();
        text += &format!("  .  {rest} more classes in {cells} cells\n");
    }
    text
}
