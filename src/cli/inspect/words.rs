//! What is said of one image, for people and as JSON.

use relabel::inspection::inspect::{Key, Region, View, class_color, regions};
use relabel::shared::classes::ClassList;
use relabel::shared::printable::printable;
use relabel::training::pool::SparseTarget;
use serde_json::{Value, json};

use super::super::paint::Painter;

/// Classes of a label that are named.
const NAMED_CLASSES: usize = 5;
const BAR_CELLS: f32 = 30.0;

/// Everything, in words.
pub(super) fn of(view: &View, classes: &ClassList, painter: Painter) -> String {
    let regions = regions(&view.labels.map);
    let mut words = sentence(view, &regions, classes);
    if let Some(verdict) = view.verdict_in_words(classes) {
        words += &printable(&verdict);
        words.push('\n');
    }
    words += &cells(view, &regions, classes, painter);
    words += "\nthe whole image, pooled\n";
    words += &bars(&ranked(&view.figures.whole), classes, painter);
    if let Some((unit_box, pooled)) = &view.crop {
        let sides = [unit_box.x0(), unit_box.y0(), unit_box.x1(), unit_box.y1()].map(|side| format!("{side:.3}"));
        words += &format!("\nthe crop {}, pooled\n", sides.join(","));
        words += &bars(&ranked(pooled), classes, painter);
    }
    words += "\nthe teacher's own prediction for the whole image\n";
    words + &bars(&predicted(view), classes, painter)
}

/// Everything, as JSON. Labels are lists of classes, best first.
pub(super) fn document(view: &View, classes: &ClassList) -> Value {
    let list = |ranked: Vec<(u32, f32)>| {
        let class = |(class, prob): (u32, f32)| json!({ "class": class, "name": classes.short_name(class), "probability": prob });
        ranked.into_iter().map(class).collect::<Vec<_>>()
    };
    let (map, figures) = (&view.labels.map, &view.figures);
    let crop = view.crop.as_ref().map(|(unit_box, pooled)| {
        json!({
            "box": [unit_box.x0(), unit_box.y0(), unit_box.x1(), unit_box.y1()],
            "label": list(ranked(pooled)),
            "rest": pooled.rest,
        })
    });
    let regions = regions(map).into_iter().map(|region| {
        json!({
            "class": region.class, "name": classes.short_name(region.class), "cells": region.cells,
            "place": region.place(), "centre": [region.x, region.y], "best_score": region.best_score,
        })
    });
    json!({
        "state": "labelled",
        "label_class": view.label_class,
        "verdict": figures.verdict,
        "label_probability": figures.label_prob,
        "image": list(predicted(view)),
        "pooled": list(ranked(&figures.whole)),
        "pooled_rest": figures.whole.rest,
        "crop": crop,
        "entropy": figures.entropy,
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

fn predicted(view: &View) -> Vec<(u32, f32)> {
    let prediction = &view.labels.prediction;
    prediction.classes().iter().copied().zip(prediction.probs().iter().map(|prob| prob.to_f32())).collect()
}

/// The one sentence that says what was found, where, and how sure the teacher is.
fn sentence(view: &View, regions: &[Region], classes: &ClassList) -> String {
    let (Some(region), Some((class, prob))) = (regions.first(), predicted(view).first().copied()) else {
        return String::new();
    };
    format!(
        "The teacher sees {} most of all, in its {} ({} of {} cells), and is {:.0} % sure that the whole image shows {}.\n",
        printable(&classes.short_name(region.class)),
        region.place(),
        region.cells,
        view.labels.map.size().cells(),
        prob * 100.0,
        printable(&classes.short_name(class)),
    )
}

fn bars(ranked: &[(u32, f32)], classes: &ClassList, painter: Painter) -> String {
    let full = if painter == Painter::Plain { "#" } else { "█" };
    let line = |&(class, prob): &(u32, f32)| {
        let bar = full.repeat((prob * BAR_CELLS).round() as usize);
        let bar = painter.in_color(&bar, class_color(class));
        format!("  {:>5.1} %  {:<26} {bar}", prob * 100.0, printable(&classes.short_name(class))).trim_end().to_owned()
            + "\n"
    };
    ranked.iter().take(NAMED_CLASSES).map(line).collect()
}

/// The map: a letter for the best class of each cell, on its colour where there are colours, and what letters mean.
fn cells(view: &View, regions: &[Region], classes: &ClassList, painter: Painter) -> String {
    let (map, key) = (&view.labels.map, Key::new(regions));
    let size = map.size();
    let mut words = format!("\nthe best class of each of its {size} cells\n");
    // Wide maps do without the gaps, so that their lines fit.
    let gap = if size.width_cells() > 40 { "" } else { " " };
    for y in 0..size.height_cells() {
        words += "  ";
        for x in 0..size.width_cells() {
            let class = map.at(0, y, x).1;
            let letter = key.letter(class).unwrap_or('.');
            words += &painter.on(&format!("{letter}{gap}"), class_color(class));
        }
        words.truncate(words.trim_end_matches(' ').len());
        words.push('\n');
    }
    for region in regions.iter().take(Key::MOST) {
        let letter = key.letter(region.class).unwrap_or('.');
        words += &format!(
            "  {} {:<26} {:>3} {}, {} (score up to {:.1})\n",
            painter.on(&format!("{letter} "), class_color(region.class)),
            printable(&classes.short_name(region.class)),
            region.cells,
            if region.cells == 1 { "cell" } else { "cells" },
            region.place(),
            region.best_score
        );
    }
    let rest = regions.len().saturating_sub(Key::MOST);
    if rest > 0 {
        let cells: usize = regions.iter().skip(Key::MOST).map(|region| region.cells).sum();
        words += &format!("  .  {rest} more classes in {cells} cells\n");
    }
    words
}
