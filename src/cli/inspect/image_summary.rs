//! One image as text and as JSON.

use relabel::inspection::inspect::{ClassLetters, ImageView, Region, class_color, regions};
use relabel::shared::classes::ClassList;
use relabel::shared::printable::printable;
use relabel::training::pool::SparseTarget;
use serde_json::{Value, json};

use crate::cli::terminal_colors::ColourSupport;

/// Classes that are printed per label.
const PRINTED_CLASSES: usize = 5;
/// Width of the bar of probability 1, in characters.
const BAR_WIDTH: f32 = 30.0;

/// Returns everything as text.
pub(super) fn text(view: &ImageView, classes: &ClassList, colours: ColourSupport) -> String {
    let regions = regions(&view.labels.map);
    let mut text = sentence(view, &regions, classes);
    if let Some(verdict) = view.verdict_text(classes) {
        text += &printable(&verdict);
        text.push('\n');
    }
    text += &cells(view, &regions, classes, colours);
    text += "\ntarget of the full image\n";
    text += &bars(&ranked(&view.statistics.target), classes, colours);
    if let Some((unit_box, pooled)) = &view.crop {
        let sides = [unit_box.x0(), unit_box.y0(), unit_box.x1(), unit_box.y1()].map(|side| format!("{side:.3}"));
        text += &format!("\ntarget of the crop {}\n", sides.join(","));
        text += &bars(&ranked(pooled), classes, colours);
    }
    text += "\nprediction of the teacher for the full image\n";
    text + &bars(&predicted(view), classes, colours)
}

/// Returns everything as JSON. Labels are lists of classes, best first.
pub(super) fn document(view: &ImageView, classes: &ClassList) -> Value {
    let list = |ranked: Vec<(u32, f32)>| {
        let class = |(class, prob): (u32, f32)| json!({ "class": class, "name": classes.short_name(class), "probability": prob });
        ranked.into_iter().map(class).collect::<Vec<_>>()
    };
    let (map, statistics) = (&view.labels.map, &view.statistics);
    let crop = view.crop.as_ref().map(|(unit_box, pooled)| {
        json!({
            "box": [unit_box.x0(), unit_box.y0(), unit_box.x1(), unit_box.y1()],
            "pooled": list(ranked(pooled)),
            "rest": pooled.rest,
        })
    });
    let regions = regions(map).into_iter().map(|region| {
        json!({
            "class": region.class, "name": classes.short_name(region.class), "cells": region.cells,
            "position": region.position(), "centre": [region.x, region.y], "best_score": region.best_score,
        })
    });
    json!({
        "state": "labelled",
        "folder_class": view.folder_class,
        "verdict": statistics.verdict,
        "folder_class_probability": statistics.folder_class_prob,
        "prediction": list(predicted(view)),
        "pooled": list(ranked(&statistics.target)),
        "pooled_rest": statistics.target.rest,
        "crop": crop,
        "entropy": statistics.entropy,
        "objects": view.objects.iter().map(|object| json!({
            "class": object.class, "name": classes.short_name(object.class), "cells": object.cells,
        })).collect::<Vec<_>>(),
        "map_size": map.size(),
        "regions": regions.collect::<Vec<_>>(),
    })
}

fn ranked(pooled: &SparseTarget) -> Vec<(u32, f32)> {
    pooled.classes.iter().copied().zip(pooled.probs.iter().copied()).collect()
}

fn predicted(view: &ImageView) -> Vec<(u32, f32)> {
    let prediction = &view.labels.prediction;
    prediction.classes().iter().copied().zip(prediction.probs().iter().map(|prob| prob.to_f32())).collect()
}

/// Returns a sentence with the largest region, the prediction and its probability.
fn sentence(view: &ImageView, regions: &[Region], classes: &ClassList) -> String {
    let (Some(region), Some((class, prob))) = (regions.first(), predicted(view).first().copied()) else {
        return String::new();
    };
    format!(
        "Largest region: {} ({}, {} of {} cells). Prediction: {} ({:.0} %).\n",
        printable(&classes.short_name(region.class)),
        region.position(),
        region.cells,
        view.labels.map.size().cells(),
        printable(&classes.short_name(class)),
        prob * 100.0,
    )
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
fn cells(view: &ImageView, regions: &[Region], classes: &ClassList, colours: ColourSupport) -> String {
    let (map, letters) = (&view.labels.map, ClassLetters::new(regions));
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
