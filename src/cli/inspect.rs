//! `relabel inspect`

use relabel::classes::ClassList;
use relabel::error::Error;
use relabel::inspect::{Region, find, regions};
use relabel::label_map::ImageLabels;
use relabel::manifest::Manifest;
use relabel::store::{RowState, StoreReader};
use serde_json::{Value, json};

use super::Outcome;
use super::args::InspectArguments;
use super::output::Output;

pub fn run(arguments: &InspectArguments, output: Output) -> Result<Outcome, Error> {
    let store = StoreReader::open(&arguments.store)?;
    let manifest = store.manifest()?;
    let row =
        find(&manifest, &arguments.image).map_err(|problem| Error::Store { path: arguments.store.clone(), problem })?;
    let classes: ClassList = (&store.info().classes).into();
    let title = format!("{} (row {row}, {})\n", manifest.id(row), manifest.path(row));
    let (words, state, outcome) = match store.row(row)? {
        RowState::Labelled(labels) => {
            let (words, document) = labelled(&labels, &classes, &manifest, row);
            (words, document, Outcome::Done)
        }
        RowState::Failed(failed) => (
            format!("could not be labelled: {}\n", failed.error),
            json!({ "state": "failed", "error": failed.error }),
            Outcome::DoneWithProblems,
        ),
        RowState::ToDo => (
            "is not labelled yet: its shard is still to do\n".to_owned(),
            json!({ "state": "to-do" }),
            Outcome::DoneWithProblems,
        ),
    };
    let mut document =
        json!({ "row": row, "id": manifest.id(row), "path": manifest.path(row), "label": manifest.label(row) });
    if let (Value::Object(document), Value::Object(state)) = (&mut document, state) {
        document.extend(state);
    }
    output.result(&(title + &words), &document);
    Ok(outcome)
}

/// Regions that are named; the rest are summed up.
const NAMED_REGIONS: usize = 8;

fn labelled(labels: &ImageLabels, classes: &ClassList, manifest: &Manifest, row: usize) -> (String, Value) {
    let regions = regions(&labels.map);
    let prediction = &labels.prediction;
    let ranked: Vec<(u32, f32)> =
        prediction.classes().iter().copied().zip(prediction.probs().iter().map(|prob| prob.to_f32())).collect();
    let mut words = sentence(&regions, &ranked, labels.map.size().cells(), classes);
    words += "\nthe whole image\n";
    for (class, prob) in &ranked {
        let bar = "#".repeat((prob * 30.0).round() as usize);
        words += &format!("  {:>5.1} %  {:<26} {bar}\n", prob * 100.0, classes.short_name(*class));
    }
    if let Some(label) = manifest.label(row) {
        let class = classes.by_label().get(label).copied();
        words += &match class {
            Some(class) => {
                let rank = prediction
                    .rank_of(class)
                    .map_or("not among these".to_owned(), |rank| format!("number {}", rank + 1));
                format!("  its folder says {} ({label}): {rank}\n", classes.short_name(class))
            }
            None => format!("  its folder, {label}, is no class that the teacher knows\n"),
        };
    }
    words += &cell_words(labels, &regions, classes);
    let document = json!({
        "state": "labelled",
        "image": ranked.iter().map(|(class, prob)| json!({ "class": class, "name": classes.short_name(*class), "probability": prob })).collect::<Vec<_>>(),
        "map_size": labels.map.size(),
        "regions": regions.iter().map(|region| json!({
            "class": region.class, "name": classes.short_name(region.class), "cells": region.cells,
            "place": region.place(), "centre": [region.x, region.y], "best_score": region.best_score,
        })).collect::<Vec<_>>(),
    });
    (words, document)
}

/// The one sentence that says what was found, where, and how sure the teacher is.
fn sentence(regions: &[Region], ranked: &[(u32, f32)], cells: usize, classes: &ClassList) -> String {
    let (Some(region), Some((class, prob))) = (regions.first(), ranked.first()) else { return String::new() };
    format!(
        "The teacher sees {} most of all, in its {} ({} of {cells} cells), and is {:.0} % sure that the whole image shows {}.\n",
        classes.short_name(region.class),
        region.place(),
        region.cells,
        prob * 100.0,
        classes.short_name(*class),
    )
}

fn cell_words(labels: &ImageLabels, regions: &[Region], classes: &ClassList) -> String {
    let size = labels.map.size();
    let letter = |class: u32| {
        let at = regions.iter().position(|region| region.class == class).filter(|at| *at < NAMED_REGIONS);
        at.map_or('.', |at| char::from(b'A' + at as u8))
    };
    let mut words = format!("\nthe best class of each of its {size} cells\n");
    for y in 0..size.height_cells() {
        let row: Vec<String> = (0..size.width_cells()).map(|x| letter(labels.map.at(0, y, x).1).to_string()).collect();
        words += &format!("  {}\n", row.join(" "));
    }
    for region in regions.iter().take(NAMED_REGIONS) {
        words += &format!(
            "  {}  {:<26} {:>3} cells, {} (score up to {:.1})\n",
            letter(region.class),
            classes.short_name(region.class),
            region.cells,
            region.place(),
            region.best_score
        );
    }
    let rest = regions.len().saturating_sub(NAMED_REGIONS);
    if rest > 0 {
        let cells: usize = regions.iter().skip(NAMED_REGIONS).map(|region| region.cells).sum();
        words += &format!("  .  {rest} more classes in {cells} cells\n");
    }
    words
}
