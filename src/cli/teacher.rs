//! `relabel teacher`

mod input_probe;
mod position_text;
mod prediction_text;
mod probe_text;

use std::path::Path;

use relabel::labelling::teacher::{Linearity, Locality, Placement, ProbeResult, RewriteCheck, Runtime};
use relabel::shared::error::Error;
use relabel::shared::printable::{printable, printable_path};
use serde_json::{Value, json};

use super::args::TeacherArguments;
use super::load_teacher::load_teacher;
use super::loaded_teacher::{LoadedDescription, LoadedTeacher};
use super::map_options::MapRequest;
use super::new_store::card_json;
use super::output::{CommandResult, Output, bytes, count, path_json, significant, thousands};
use super::{Outcome, stop_flag};

use input_probe::InputProbe;
use prediction_text::{list, prediction_checks_text, prediction_lines};

pub fn run(arguments: &TeacherArguments, output: Output) -> Result<Outcome, Error> {
    let path = arguments.path.as_deref().or(arguments.flags.teacher.as_deref());
    let path =
        path.ok_or_else(|| Error::Usage("MODEL is missing\n  help: pass the ONNX file of the teacher".to_owned()))?;
    let probe = arguments.probe.as_deref().map(InputProbe::open).transpose()?;
    let photographs = match (&arguments.source, &probe) {
        (Some(source), _) => InputProbe::open(source)?.photographs()?,
        (None, Some(probe)) => probe.photographs()?,
        (None, None) => Vec::new(),
    };
    let maps = match (arguments.without_maps, &probe) {
        (true, _) => MapRequest::Omitted,
        // Alternatives to the card can be tried with any classifier.
        (false, Some(_)) => MapRequest::IfPossible,
        (false, None) => MapRequest::Required,
    };
    let loaded = load_teacher(&arguments.flags, path, maps, photographs, &stop_flag())?;
    let (mut text, mut document) = (text(arguments, path, &loaded), document(arguments, path, &loaded));
    let Some(probe) = probe else {
        output.result(&text, &document)?;
        return Ok(Outcome::Done);
    };
    let probed = probe.run(arguments, path, loaded)?;
    text += &probed.text;
    document["probe"] = probed.document;
    output.command(&CommandResult { outcome: probed.outcome, text, document })
}

fn text(arguments: &TeacherArguments, path: &Path, loaded: &LoadedTeacher) -> String {
    let description = &loaded.description;
    let card = description.card();
    let devices = loaded.device_names();
    let mut text = format!(
        "teacher  {} ({}, opset {})\nsha256   {}\n",
        printable(&card.name),
        printable_path(path),
        description.opset(),
        description.sha256()
    );
    for file in description.weights_files() {
        text += &format!("weights  {} ({}, sha256 {})\n", printable(&file.location), bytes(file.bytes), file.sha256);
    }
    let [input, output] = description.ports();
    text += &format!("input    {}\noutput   {}\n", printable(input), printable(output));
    text += &format!(
        "map      {} from {} pixels, top {} of {} classes\n",
        description.map_size().map_or("none, predictions only".to_owned(), |size| format!("{size} cells")),
        card.input_size,
        loaded.k,
        thousands(description.class_count())
    );
    text += &format!("device   {} (ONNX Runtime: {})\n", devices.join(", "), printable_path(&loaded.library));
    text += &match description {
        LoadedDescription::Maps(maps) => format!("\nrewrite\n{}", list(&maps.rewrite)),
        LoadedDescription::Predictions(predictions) => {
            format!("\npredictions\n{}", list(&prediction_lines(predictions, &arguments.flags)))
        }
    };
    text += &card_text(loaded);
    text + &match description {
        LoadedDescription::Maps(maps) => {
            format!("\ncells\n  {}\n", locality_text(&maps.locality))
                + &verification_text(&maps.rewrite_check)
                + &placement_text(maps.placement.as_ref(), &devices[0])
        }
        LoadedDescription::Predictions(predictions) => prediction_checks_text(predictions),
    }
}

fn card_text(loaded: &LoadedTeacher) -> String {
    let card = loaded.description.card();
    let file = loaded.card.path.as_ref().map_or("no file".to_owned(), |path| printable_path(path));
    let mut text = format!("\ncard ({file})\n");
    let json_card = card_json(card);
    for (key, origin) in CARD_KEYS.iter().filter_map(|key| Some((key, card.origins.get(key)?))) {
        text += &format!("  {key:<17} {:<28} {origin}\n", printable(&value_text(&json_card[*key])));
    }
    for (key, value) in &card.remarks {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let first_line = value.trim().lines().next().unwrap_or_default().to_owned();
        text += &format!("  {:<17} {}\n", printable(key), printable(&first_line));
    }
    text
}

fn document(arguments: &TeacherArguments, path: &Path, loaded: &LoadedTeacher) -> Value {
    let description = &loaded.description;
    let card = description.card();
    let [input, output] = description.ports();
    let mut document = json!({
        "name": card.name,
        "path": path_json(path),
        "sha256": description.sha256(),
        "weights": description.weights_files(),
        "opset": description.opset(),
        "input": input,
        "output": output,
        "input_size": card.input_size,
        "map_size": description.map_size(),
        "classes": description.class_count(),
        "k": loaded.k,
        "fixed_batch": description.fixed_batch(),
        "flip_average": arguments.flags.flip_average,
        "with_lse": arguments.flags.with_lse,
        "devices": loaded.device_names(),
        "onnxruntime": { "library": path_json(&loaded.library), "build": Runtime::build_info() },
        "card": card_json(card),
        "card_file": loaded.card.path.as_deref().map(path_json),
        "card_origins": card.origins,
    });
    match description {
        LoadedDescription::Maps(maps) => {
            document["rewrite"] = json!(maps.rewrite);
            document["verification"] = verification_json(&maps.rewrite_check);
            document["locality"] = locality_json(&maps.locality);
            document["placement"] = json!(maps.placement);
        }
        LoadedDescription::Predictions(predictions) => {
            document["predictions"] = json!(prediction_lines(predictions, &arguments.flags));
            document["no_cells"] = json!(predictions.no_cells);
        }
    }
    document
}

fn verification_json(check: &RewriteCheck) -> Value {
    json!({
        "verified": true,
        "images": check.images,
        "cells_compared": check.compared_cells,
        "cells_total": check.cells,
        "linear_head": check.linear(),
        "max_cell_error": check.cell_difference,
        "max_mean_error": check.mean_difference,
        "max_probability_error": check.image_difference,
        "max_lse_error": check.lse_difference,
        "max_input_error": check.normalised_difference,
        "tolerance": check.tolerance,
        "max_score": check.largest_score,
        "quantised": check.quantised.as_ref().map(|quantised| json!({
            "max_score_error": quantised.score_difference,
            "max_probability_error": quantised.image_difference,
            "tolerance": quantised.tolerance,
        })),
        "warnings": check.warnings,
    })
}

fn locality_text(locality: &Locality) -> String {
    match locality {
        Locality::Structure => "match image positions, as shown by the graph structure".to_owned(),
        Locality::Probe { inconclusive_node, result } => format!(
            "match image positions, as shown by changing patches of photographs; the graph structure is inconclusive \
             after\n  {inconclusive_node}. {result}",
        ),
        Locality::Unchecked => {
            "not checked to match image positions (`locality = \"unchecked\"` in the card)".to_owned()
        }
    }
}

fn locality_json(locality: &Locality) -> Value {
    match locality {
        Locality::Probe { inconclusive_node, result } => {
            let mut document = probe_json(result);
            document["method"] = locality.name().into();
            document["inconclusive_node"] = inconclusive_node.clone().into();
            document
        }
        _ => json!({ "method": locality.name() }),
    }
}

fn probe_json(result: &ProbeResult) -> Value {
    json!({
        "photographs": result.photographs,
        "patches": result.patches,
        "same_axis_correlation": result.along,
        "other_axis_correlation": result.across,
        "near_fraction": result.near,
        "mean_shift_cells": result.shift,
    })
}

fn verification_text(check: &RewriteCheck) -> String {
    let cells = if check.compared_cells == check.cells {
        format!("all {} cells", thousands(check.cells))
    } else {
        format!("{} of {} cells, spread over the map", thousands(check.compared_cells), thousands(check.cells))
    };
    let mut text = format!(
        "\nverification of the rewrite against the original, on {}\n  max cell error         {:.1e} ({cells})\n",
        count(check.images, "random image"),
        check.cell_difference
    );
    text += &match &check.linearity {
        Linearity::Linear => format!("  max mean error         {:.1e} (mean over cells)\n", check.mean_difference),
        Linearity::NotLinear { because_of } => format!(
            "  mean over cells        differs from the image scores by up to {:.2}, as expected: the head is not linear\n                         \
             ({because_of})\n",
            check.mean_difference
        ),
    };
    if let Some(difference) = check.lse_difference {
        text += &format!("  max log-sum-exp error  {difference:.1e}\n");
    }
    text += &format!("  max probability error  {:.1e} (entire image)\n", check.image_difference);
    text += &format!("  max input error        {:.1e} (normalised pixels)\n", check.normalised_difference);
    if let Some(quantised) = &check.quantised {
        text += &format!(
            "  quantised teacher      max score error {:.1e} from pixels on, tolerance {:.1e}: ONNX Runtime rounds\n                         \
             differently in each session, the errors above are from shared features\n",
            quantised.score_difference, quantised.tolerance
        );
    }
    text + &format!(
        "  tolerance              {:.1e}, for scores up to {}\nrewrite verified (max cell error {:.0e})\n",
        check.tolerance,
        significant(f64::from(check.largest_score)),
        check.cell_difference
    )
}

fn placement_text(placement: Option<&Placement>, device: &str) -> String {
    let Some(placement) = placement else { return String::new() };
    let mut text = format!("\nplacement\n  {} after optimisation", count(placement.nodes, "node"));
    text += &match placement.elsewhere.len() {
        0 => format!(", all on {device}\n"),
        elsewhere => format!(", {elsewhere} not on {device}; {} copies in between\n", thousands(placement.copies)),
    };
    for node in &placement.elsewhere {
        let kind = if node.is_shape_arithmetic() { ", shape arithmetic" } else { "" };
        text += &format!("  {} ({}) on {}, {}{kind}\n", node.node, node.op, node.on, bytes(node.bytes));
    }
    text
}

/// Keys of the card, in the order of printing.
const CARD_KEYS: [&str; 8] =
    ["name", "input_size", "mean", "std", "filter", "channel_order", "exif_orientation", "classes"];

fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string().replace(',', ", "), str::to_owned)
}
