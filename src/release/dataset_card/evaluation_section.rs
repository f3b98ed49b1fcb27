//! The section of a dataset card with the figures of `relabel evaluate`.

use crate::evaluation::charts::{FigureTable, figure_tables};
use crate::release::escape::markdown;
use crate::release::published_evaluation::{EVALUATION, PublishedEvaluation};

/// Returns the tables and charts.
pub(super) fn evaluation(published: &PublishedEvaluation) -> String {
    let evaluation = &published.evaluation;
    let mut page = format!(
        "## Evaluation\n\nFigures of `relabel evaluate`, version {}, for the labels of this release. `{EVALUATION}` contains \
         all of them, with the digests of the labels (`{}`) and of each truth.\n\n",
        cell(&evaluation.tool_version),
        evaluation.store.labels_sha256,
    );
    page.extend(figure_tables(evaluation).iter().map(table));
    for chart in &published.charts {
        page += &format!("![{}]({})\n\n", markdown(&chart.description), chart.file_name);
    }
    page
}

fn table(table: &FigureTable) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = format!("### {}\n\n{}|---|", markdown(&table.title), row(&table.columns));
    text += &"---:|".repeat(table.columns.len().saturating_sub(1));
    text.push('\n');
    text.extend(table.rows.iter().map(|cells| row(cells)));
    text.push('\n');
    text.extend(table.notes.iter().map(|note| format!("* {}\n", markdown(note))));
    text + "\n"
}

/// Escapes everything except plain figures, such as `81.2 ± 0.3 %`.
fn cell(text: &str) -> String {
    let is_plain = text.chars().all(|letter| letter.is_ascii_digit() || " .,±%/()–".contains(letter));
    if is_plain { text.to_owned() } else { markdown(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped_unless_they_are_figures() {
        let found = table(&FigureTable {
            title: "Accuracy".to_owned(),
            columns: ["truth", "top-1"].map(str::to_owned).to_vec(),
            rows: vec![["a|b]\n<x>", "81.2 ± 0.3 %"].map(str::to_owned).to_vec()],
            notes: vec!["Top-1: best class.".to_owned()],
        });
        let expected = "### Accuracy\n\n| truth | top-1 |\n|---|---:|\n| a\\|b\\] \\<x\\> | 81.2 ± 0.3 % |\n\n* Top-1: best class.\n\n";
        assert_eq!(found, expected);
    }
}
