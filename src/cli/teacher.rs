//! `relabel teacher`

use relabel::labelling::source::{self, ListedImages, Located};
use relabel::labelling::teacher::{Linearity, Locality, Placement, Proof, Runtime};
use relabel::shared::error::Error;
use relabel::shared::printable::{printable, printable_path};
use serde_json::{Value, json};

use super::args::TeacherArguments;
use super::output::{Output, path_json};
use super::plan::{card_json, load_teacher, manifest_digest, some_photographs};
use super::{Outcome, stop_flag};

pub fn run(arguments: &TeacherArguments, output: Output) -> Result<Outcome, Error> {
    let path = arguments.path.as_deref().or(arguments.flags.teacher.as_deref());
    let path = path.ok_or_else(|| Error::Usage("name an ONNX file".to_owned()))?;
    let loaded = load_teacher(&arguments.flags, path, photographs(arguments)?, &stop_flag())?;
    let (description, shape) = (&loaded.description, &loaded.description.shape);
    let (card, proof) = (&description.card, &description.proof);
    let devices: Vec<_> = loaded.devices.iter().map(ToString::to_string).collect();

    let mut words = format!(
        "teacher  {} ({}, opset {})\nsha256   {}\n",
        printable(&card.name),
        printable_path(path),
        description.opset,
        description.sha256
    );
    for file in &description.weights_files {
        words += &format!("weights  {} ({} bytes, sha256 {})\n", printable(&file.location), file.bytes, file.sha256);
    }
    words += &format!("input    {}\noutput   {}\n", printable(&description.input), printable(&description.output));
    words += &format!(
        "map      {} cells from {} pixels, top {} of {} classes\n",
        shape.map_size, shape.input_size, shape.k, shape.class_count
    );
    words += &format!("device   {} (ONNX Runtime: {})\n", devices.join(", "), printable_path(&loaded.library));
    words += "\nrewrite\n";
    for line in &description.rewrite {
        words += &format!("  - {}\n", printable(line));
    }
    let file = loaded.card.path.as_ref().map_or("no card".to_owned(), |path| printable_path(path));
    words += &format!("\ncard ({file})\n");
    let json_card = card_json(card);
    for (key, origin) in ORDER.iter().filter_map(|key| Some((key, card.origins.get(key)?))) {
        words += &format!("  {key:<17} {:<28} {origin}\n", printable(&plain(&json_card[*key])));
    }
    for (key, value) in &card.remarks {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let first_line = text.trim().lines().next().unwrap_or_default().to_owned();
        words += &format!("  {:<17} {}\n", printable(key), printable(&first_line));
    }
    words += &format!("\ncells\n  {}\n", locality_in_words(&description.locality));
    words += &proof_in_words(proof);
    words += &placement_in_words(description.placement.as_ref(), &devices[0]);
    let document = json!({
        "name": card.name,
        "path": path_json(path),
        "sha256": description.sha256,
        "weights": description.weights_files,
        "opset": description.opset,
        "input": description.input,
        "output": description.output,
        "input_size": shape.input_size,
        "map_size": shape.map_size,
        "classes": shape.class_count,
        "k": shape.k,
        "fixed_batch": shape.fixed_batch,
        "flip_average": arguments.flags.flip_average,
        "with_lse": arguments.flags.with_lse,
        "devices": devices,
        "onnxruntime": { "library": path_json(&loaded.library), "build": Runtime::build_info() },
        "rewrite": description.rewrite,
        "card": json_card,
        "card_file": loaded.card.path.as_deref().map(path_json),
        "card_origins": card.origins,
        "proof": {
            "holds": true,
            "images": proof.images,
            "cells": proof.compared_cells,
            "cells_in_all": proof.cells,
            "linear": proof.linear(),
            "cell_difference": proof.cell_difference,
            "mean_difference": proof.mean_difference,
            "image_difference": proof.image_difference,
            "lse_difference": proof.lse_difference,
            "tolerance": proof.tolerance,
            "largest_score": proof.largest_score,
            "normalised_difference": proof.normalised_difference,
            "quantised": proof.quantised.as_ref().map(|quantised| json!({
                "score_difference": quantised.score_difference,
                "image_difference": quantised.image_difference,
                "tolerance": quantised.tolerance,
            })),
            "warnings": proof.warnings,
        },
        "locality": locality_json(&description.locality),
        "placement": description.placement,
    });
    output.result(&words, &document)?;
    Ok(Outcome::Done)
}

/// Files of some images of `--in`.
fn photographs(arguments: &TeacherArguments) -> Result<Vec<Vec<u8>>, Error> {
    let Some(source) = &arguments.source else { return Ok(Vec::new()) };
    let source = source::open(source)?;
    let manifest = source.list()?;
    let manifest_sha256 = manifest_digest(&manifest)?;
    let list = ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index: None };
    let Located { images, .. } = source.locate(&list)?;
    some_photographs(&*images, &manifest)
}

fn locality_in_words(locality: &Locality) -> String {
    match locality {
        Locality::Structure => {
            "each cell is a place of the image: the structure of the graph tells where it lies".to_owned()
        }
        Locality::Probe { unsettled_by, result } => format!(
            "each cell is a place of the image: patches of photographs were changed, since the structure tells nothing behind\n  \
             {unsettled_by}. {result}",
        ),
        Locality::Unchecked => {
            "not checked to be places of the image (`locality = \"unchecked\"` in the card)".to_owned()
        }
    }
}

fn locality_json(locality: &Locality) -> Value {
    match locality {
        Locality::Probe { unsettled_by, result } => json!({
            "shown_by": locality.name(),
            "unsettled_by": unsettled_by,
            "photographs": result.photographs,
            "patches": result.patches,
            "along": result.along,
            "across": result.across,
            "near": result.near,
            "shift": result.shift,
        }),
        _ => json!({ "shown_by": locality.name() }),
    }
}

fn proof_in_words(proof: &Proof) -> String {
    let cells = if proof.compared_cells == proof.cells {
        format!("every cell ({})", proof.cells)
    } else {
        format!("{} of {} cells, spread over the map,", proof.compared_cells, proof.cells)
    };
    let mut words = format!(
        "\nproof, on {} random images\n  {cells} against the unmodified head applied to that cell: differs by at most {:.1e}\n",
        proof.images, proof.cell_difference
    );
    words += &match &proof.linearity {
        Linearity::Linear => {
            format!(
                "  mean over cells against the teacher's own scores: differs by at most {:.1e}\n",
                proof.mean_difference
            )
        }
        Linearity::NotLinear { because_of } => format!(
            "  mean over cells against the teacher's own scores: up to {:.2} apart, as it has to be where the head is not \
             linear\n    ({because_of}): what such a head makes of a mean is not the mean of what it makes of the cells\n",
            proof.mean_difference
        ),
    };
    if let Some(difference) = proof.lse_difference {
        words += &format!("  log-sum-exp of these cells: differs by at most {difference:.1e}\n");
    }
    if let Some(quantised) = &proof.quantised {
        words += &format!(
            "  quantised: the above on the rewrite's own features; from pixels on, scores against the unmodified teacher's \
             differ by at most {:.1e} ({:.1e} is accepted), since ONNX Runtime rounds in other places in each session\n",
            quantised.score_difference, quantised.tolerance
        );
    }
    words += &format!(
        "  normalised pixels against (x/255 - mean) / std: differ by at most {:.1e}\n",
        proof.normalised_difference
    );
    words
        + &format!(
            "  whole-image probabilities: differ by at most {:.1e}\n  accepted up to {:.1e}, with scores up to {:.1}: the \
             rewrite holds\n",
            proof.image_difference, proof.tolerance, proof.largest_score
        )
}

fn placement_in_words(placement: Option<&Placement>, device: &str) -> String {
    let Some(placement) = placement else { return String::new() };
    let mut words = format!("\nplacement\n  {} nodes after optimisation", placement.nodes);
    words += &match placement.elsewhere.len() {
        0 => format!(", all on {device}\n"),
        elsewhere => format!(", {elsewhere} of them not on {device}; {} copies in between\n", placement.copies),
    };
    for node in &placement.elsewhere {
        let what = if node.is_shape_arithmetic() { ", shape arithmetic" } else { "" };
        words += &format!("  {} ({}) on {}, {} bytes{what}\n", node.node, node.op, node.on, node.bytes);
    }
    words
}

/// The card's keys, in reading order.
const ORDER: [&str; 8] =
    ["name", "input_size", "mean", "std", "filter", "channel_order", "exif_orientation", "classes"];

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string().replace(',', ", "), str::to_owned)
}
