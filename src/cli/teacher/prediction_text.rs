//! A teacher without label maps in the output of `relabel teacher`.

use relabel::labelling::teacher::PredictionDescription;
use relabel::shared::printable::{printable, printable_lines};

use crate::cli::args::TeacherFlags;

/// Describes how predictions are computed, one sentence per line.
pub fn prediction_lines(description: &PredictionDescription, flags: &TeacherFlags) -> Vec<String> {
    let classifier = &description.classifier;
    let mut lines = vec![format!(
        "the input is float pixels {}, normalised before the graph as (x/255 - mean) / std",
        classifier.card.input_size
    )];
    if flags.flip_average {
        lines.push("each image is run together with its mirror image; the scores of both are averaged".to_owned());
    }
    if !classifier.left_out.is_empty() {
        lines.push(format!("scores are raw: they are taken before {}", classifier.left_out.join(", ")));
    }
    lines.push(format!("a prediction is the softmax over all {} classes", classifier.class_count));
    lines
}

/// Describes why cells are missing, and the checks of the scores.
pub fn prediction_checks_text(description: &PredictionDescription) -> String {
    let reason = match &description.no_cells {
        Some(reason) => format!("none: {}", printable_lines(reason)),
        None => "not used, as --without-maps requests".to_owned(),
    };
    format!(
        "\ncells\n  {reason}\n  `relabel run --tiles 5` labels the image and its tiles with predictions, which need no cells\n\nverification of \
         the scores, on random images\n  finite, not probabilities, and independent of the other images of a batch\n"
    )
}

/// Returns the lines as a list.
pub fn list(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + &format!("  - {}\n", printable(line)))
}
