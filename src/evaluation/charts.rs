//! Charts and tables of an evaluation, for reports and releases.

mod figure_text;
mod reliability_chart;
mod class_chart;
mod charted_label;
mod fidelity_chart;
mod figure_tables;

pub use figure_tables::{FigureTable, figure_tables};
pub use figure_text::truth_name;

use std::path::Path;

use crate::evaluation::evaluation_file::Evaluation;
use crate::inspection::inspect::{PALETTE, Rgb};
use crate::inspection::picture::{Chart, PictureError, draw_chart};

/// A chart of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationChart {
    /// File name, such as `reliability-folder.png`.
    pub file_name: String,
    /// Title.
    pub title: String,
    /// Description of the chart, for people who cannot see it.
    pub description: String,
    /// The picture.
    pub png: Vec<u8>,
}

/// Colours of the same label are the same in all charts.
const POOLED_COLOR: Rgb = PALETTE[1];
const PREDICTION_COLOR: Rgb = PALETTE[5];

/// Draws all charts: reliability and accuracy per class for each truth with classes, then fidelity against crop area, of all
/// kinds of labels and of coverings. The same evaluation gives the same bytes.
///
/// # Errors
/// Returns a [`PictureError`] if a picture cannot be encoded.
pub fn charts(evaluation: &Evaluation) -> Result<Vec<EvaluationChart>, PictureError> {
    let mut charts = Vec::new();
    let slugs = slugs(evaluation);
    for (truth, slug) in evaluation.truths.iter().zip(&slugs) {
        let Some(classes) = &truth.classes else { continue };
        let (name, teacher) = (truth_name(&truth.truth), &evaluation.store.teacher);
        let (chart, description) = reliability_chart::reliability_chart(classes, &name, teacher);
        charts.push(drawn(format!("reliability-{slug}.png"), &chart, description)?);
        if classes.by_class.iter().all(|class| class.images == 0) {
            continue;
        }
        let (chart, description) = class_chart::class_chart(classes, &name, teacher);
        charts.push(drawn(format!("classes-{slug}.png"), &chart, description)?);
    }
    if let Some(fidelity) = &evaluation.crop_fidelity {
        let (chart, description) = fidelity_chart::fidelity_chart(fidelity, &evaluation.store.teacher);
        charts.push(drawn("crop-fidelity.png".to_owned(), &chart, description)?);
        if let Some((chart, description)) = fidelity_chart::covering_chart(fidelity, &evaluation.store.teacher) {
            charts.push(drawn("crop-fidelity-coverings.png".to_owned(), &chart, description)?);
        }
    }
    Ok(charts)
}

fn drawn(file_name: String, chart: &Chart, description: String) -> Result<EvaluationChart, PictureError> {
    Ok(EvaluationChart { file_name, title: chart.title.clone(), description, png: draw_chart(chart)? })
}

/// Number of letters of a truth's name in a file name.
const SLUG_LETTERS: usize = 40;

/// Returns a different part of a file name for each truth: lower-case letters, digits and dashes of its name.
fn slugs(evaluation: &Evaluation) -> Vec<String> {
    let mut slugs: Vec<String> = Vec::new();
    for truth in &evaluation.truths {
        let name = Path::new(&truth.truth.name);
        let stem = name.file_stem().unwrap_or_default().to_string_lossy();
        let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        let dashed: String = stem.chars().map(letter).collect();
        let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
        let slug: String = words.join("-").chars().take(SLUG_LETTERS).collect();
        let slug = if slug.is_empty() { "truth".to_owned() } else { slug };
        let numbered = (2..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone()).chain(numbered).find(|slug| !slugs.contains(slug));
        slugs.push(free.unwrap_or(slug));
    }
    slugs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::evaluation_file::{EvaluatedStore, TruthDescription, TruthFigures};
    use crate::shared::digest::digest_bytes;

    #[test]
    fn file_names_differ_and_have_plain_letters() {
        let truth = |name: &str| TruthFigures {
            truth: TruthDescription {
                truth_not_labelled: 0,
                boxes_without_class: 0,
                name: name.to_owned(),
                format: "class-lists".to_owned(),
                sha256: None,
                images: 0,
                images_without_truth: 0,
                truth_without_image: 0,
                truth_without_image_example: None,
                empty: 0,
                boxes_clipped: 0,
            },
            classes: None,
            localization: None,
        };
        let names =
            ["folder", "real.json", "Real.csv", "../../etc/x y", ".json", "猫.json", "real-2", &"long".repeat(100)];
        let digest = digest_bytes(b"");
        let evaluation = Evaluation {
            evaluation_version: Evaluation::VERSION,
            tool_version: String::new(),
            store: EvaluatedStore {
                labels_sha256: digest.clone(),
                teacher: String::new(),
                teacher_sha256: digest,
                images: 0,
                labelled: 0,
                failed: 0,
                to_do: 0,
            },
            truths: names.map(truth).to_vec(),
            crop_fidelity: None,
        };
        let expected = ["folder", "real", "real-2", "x-y", "json", "truth", "real-2-2", &"long".repeat(10)];
        assert_eq!(slugs(&evaluation), expected);
        assert!(charts(&evaluation).unwrap().is_empty());
    }
}
