//! A comparison as text.

use std::path::Path;

use relabel::evaluation::compare::{
    CellSummary, ComparisonFile, ComparisonSummary, DifferenceSummary, FolderClassComparison, SideSummary, WorstImage,
};
use relabel::shared::geometry::map_size_text;
use relabel::shared::printable::{printable, printable_path};

use crate::cli::args::CompareArguments;
use crate::cli::output::{count, significant, thousands};
use crate::cli::shell::shell_quote;

/// What was compared and written.
pub(super) struct Written<'a> {
    pub(super) arguments: &'a CompareArguments,
    /// Paths or addresses of the stores.
    pub(super) stores: [&'a Path; 2],
    pub(super) file: Option<&'a ComparisonFile>,
    /// Name of the image that was drawn.
    pub(super) picture_of: Option<String>,
    /// Name of the image that differs most.
    pub(super) next: Option<String>,
}

/// Returns the summary as text.
pub(super) fn text(summary: &ComparisonSummary, written: &Written<'_>, passed: bool) -> String {
    let mut text = side_line('A', written.stores[0], &summary.a) + &side_line('B', written.stores[1], &summary.b);
    text += &compared_lines(summary);
    if summary.identical {
        text += "identical every score, class and probability has the same bits in both stores\n";
        text += &tiles_not_compared(summary);
    } else {
        text += &format!("identical {}\n", count(summary.identical_images, "image"));
        text += &difference_lines(summary);
    }
    if let Some(required) = written.arguments.require_agreement {
        text += &gate_line(summary, required, passed);
    }
    text + &written_lines(written)
}

fn side_line(letter: char, path: &Path, side: &SideSummary) -> String {
    let sha256 = side.teacher_sha256.to_string();
    let steps = side.score_steps.map_or(String::new(), |steps| format!(", scores in steps of 1/{steps}"));
    let predictions = if side.pooled_predictions { ", imported: predictions are pooled from the maps" } else { "" };
    format!(
        "{letter:<9} {}: {} (sha256 {:.12}...), {} cells, top {}{steps}{predictions}\n",
        printable_path(path),
        printable(&side.teacher),
        sha256,
        map_size_text(side.map_size),
        side.k,
    )
}

fn compared_lines(summary: &ComparisonSummary) -> String {
    let matched = if summary.same_manifest { "of the same manifest" } else { "in common, matched by id" };
    let mut text = format!("compared  {} {matched}", count(summary.images, "image"));
    for (letter, side) in [('A', &summary.a), ('B', &summary.b)] {
        if side.failed + side.to_do > 0 {
            text += &format!("; in {letter} {} failed, {} to do", thousands(side.failed), thousands(side.to_do));
        }
    }
    text.push('\n');
    for (letter, side) in [('A', &summary.a), ('B', &summary.b)] {
        if let Some(example) = &side.only_here_example {
            text += &format!("only in {letter} {}, such as {}\n", count(side.only_here, "image"), printable(example));
        }
    }
    text
}

fn difference_lines(summary: &ComparisonSummary) -> String {
    let mut text = match &summary.cells {
        Some(cells) => cell_lines(cells),
        None => format!(
            "cells     not compared: the maps have {} and {} cells; the agreement is that of crops\n",
            map_size_text(summary.a.map_size),
            map_size_text(summary.b.map_size)
        ),
    };
    let targets = &summary.targets;
    let of_crops = if summary.cells.is_none() { " (agreement)" } else { "" };
    text += &format!(
        "targets   {:>7} of {} random crops per image have the same best class{of_crops}\n          total variation {}\n",
        percent(targets.same_best),
        targets.crops,
        differences(&targets.distance)
    );
    text += &format!(
        "top 1     {:>7} of images have the same prediction; total variation {} on average, at most {}\n",
        percent(summary.predictions.same_best),
        significant(summary.predictions.mean_distance),
        significant(summary.predictions.max_distance)
    );
    text += &tile_line(summary);
    if !summary.worst.is_empty() {
        text += "\nimages that differ most\n";
        text += &summary.worst.iter().map(|image| image_line(image, summary)).collect::<String>();
    }
    if !summary.lowest_agreement.is_empty() {
        text += "\nfolder classes with the lowest agreement\n";
        text += &summary.lowest_agreement.iter().map(class_line).collect::<String>();
    }
    text.push('\n');
    text
}

fn tile_line(summary: &ComparisonSummary) -> String {
    let Some(tiles) = &summary.tiles else { return tiles_not_compared(summary) };
    format!(
        "tiles     {:>7} of predictions for {} in both have the same best class; total variation {} on average, at most {}\n",
        percent(tiles.same_best),
        count(tiles.tiles, "tile"),
        significant(tiles.mean_distance),
        significant(tiles.max_distance)
    )
}

/// Returns a line if a store has tiles, and no box is in both.
fn tiles_not_compared(summary: &ComparisonSummary) -> String {
    let tiles = |side: &SideSummary| {
        side.tiles.as_ref().map_or("none".to_owned(), |tiles| printable(&tiles.to_string()).into_owned())
    };
    let has_tiles = summary.a.tiles.is_some() || summary.b.tiles.is_some();
    if has_tiles && summary.tiles.is_none() {
        format!("tiles     not compared: A has {}, B has {}\n", tiles(&summary.a), tiles(&summary.b))
    } else {
        String::new()
    }
}

fn cell_lines(cells: &CellSummary) -> String {
    format!(
        "cells     {:>7} of {} have the same best class (agreement)\n\
         ranks     {:>7} of the top {} are in both; {} of all kept classes are in one only\n\
         scores    differ by {}\n",
        percent(cells.same_best as f64 / cells.cells.max(1) as f64),
        thousands(cells.cells as usize),
        percent(cells.rank_overlap),
        cells.k,
        percent(cells.only_in_one),
        differences(&cells.scores),
    )
}

/// `0.012 on average; 50 %: 0.0078, 90 %: 0.031, 99 %: 0.055, 99.9 %: 0.10; at most 1.25`
fn differences(summary: &DifferenceSummary) -> String {
    let quantiles = &summary.quantiles;
    let [p50, p90, p99, p99_9] = [quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p99_9].map(significant);
    format!(
        "{} on average; 50 %: {p50}, 90 %: {p90}, 99 %: {p99}, 99.9 %: {p99_9}; at most {}",
        significant(summary.mean),
        significant(summary.max)
    )
}

fn image_line(image: &WorstImage, summary: &ComparisonSummary) -> String {
    let looks_like =
        image.looks_like.as_ref().map_or(String::new(), |text| format!(", looks like: {}", printable(text)));
    format!(
        "  {:<28} {:>7} of {}, total variation {}{looks_like}\n",
        printable(&image.id),
        percent(image.agreement),
        summary.agreement_of,
        significant(image.target_distance.into())
    )
}

fn class_line(class: &FolderClassComparison) -> String {
    let name = class.name.as_deref().unwrap_or(&class.folder);
    format!("  {:<28} {:>7} of {}\n", printable(name), percent(class.agreement.into()), count(class.images, "image"))
}

/// Prints both values exactly: they may differ in a late digit.
fn gate_line(summary: &ComparisonSummary, required: f64, passed: bool) -> String {
    let verdict = if passed { "passed" } else { "failed" };
    format!("required  {verdict}: the agreement is {}, at least {required} is required\n", summary.agreement)
}

fn written_lines(written: &Written<'_>) -> String {
    let mut text = String::new();
    if let Some(file) = written.file {
        text += &format!("wrote     {}", printable_path(file.path()));
        if let Some(classes) = file.classes_path() {
            text += &format!(", {}", printable_path(&classes));
        }
        text.push('\n');
    }
    if let (Some(path), Some(image)) = (&written.arguments.picture, &written.picture_of) {
        text += &format!("picture   {} of {}\n", printable_path(path), printable(image));
    }
    let path = |path: &Path| printable(&shell_quote(&path.to_string_lossy())).into_owned();
    if let (Some(next), None) = (&written.next, &written.arguments.picture) {
        text += &format!(
            "next      relabel compare {} {} --picture worst.png --picture-of {}\n",
            path(written.stores[0]),
            path(written.stores[1]),
            printable(&shell_quote(next))
        );
    }
    text
}

/// Returns `99.3 %`, with more digits if it would be rounded to 100 % or 0 %.
fn percent(share: f64) -> String {
    let rounded = |decimals: usize| format!("{:.decimals$}", share * 100.0);
    let is_exact = |text: &str| !matches!(text.parse(), Ok(0.0 | 100.0)) || share <= 0.0 || share >= 1.0;
    let text = (1..12).map(rounded).find(|text| is_exact(text)).unwrap_or_else(|| rounded(12));
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_rounded_to_all_or_none() {
        assert_eq!(
            [0.0, 1.0, 0.5, 0.993, 0.999_999_99, 0.000_02].map(percent),
            ["0.0 %", "100.0 %", "50.0 %", "99.3 %", "99.999999 %", "0.002 %"]
        );
    }
}
