//! The positions of cells in the output of `relabel teacher --probe`.

use relabel::evaluation::evaluation_file::Estimate;
use relabel::evaluation::input_check::{PositionCheck, PositionVerdict};
use serde_json::{Value, json};

use super::probe_json;
use crate::cli::output::count;

pub fn positions_text(check: &PositionCheck) -> String {
    let percent = |share: &Estimate| format!("{:.0} %", 100.0 * share.value);
    let mut text = format!("\npositions of cells, on {}\n", count(check.images, "image"));
    if let Some(mirror) = &check.mirror {
        text += &format!(
            "  same best class  in {} of cells if the map of the mirror image is mirrored back, {} if not{}\n",
            percent(&mirror.mirrored_back),
            percent(&mirror.not_mirrored),
            mirror
                .other_image
                .as_ref()
                .map_or_else(String::new, |other| { format!("; {} between different images", percent(other)) }),
        );
    }
    if let Some(probe) = &check.probe {
        text += &format!("  changed patches  {probe}\n");
    }
    text + &match &check.verdict {
        PositionVerdict::Consistent => "  cells look where they are\n".to_owned(),
        PositionVerdict::Inconclusive(reason) | PositionVerdict::Elsewhere(reason) => {
            format!("  inconclusive: {reason}\n")
        }
    }
}

pub fn positions_json(check: &PositionCheck) -> Value {
    let (verdict, reason) = match &check.verdict {
        PositionVerdict::Consistent => ("consistent", None),
        PositionVerdict::Inconclusive(reason) => ("inconclusive", Some(reason)),
        PositionVerdict::Elsewhere(reason) => ("elsewhere", Some(reason)),
    };
    json!({
        "images": check.images,
        "verdict": verdict,
        "reason": reason,
        "mirror": check.mirror,
        "patches": check.probe.as_ref().map(probe_json),
    })
}
