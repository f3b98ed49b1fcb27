//! The fidelity of labels of crops as text: all crops, by area, and by covering.

use relabel::evaluation::evaluation_file::{AreaFidelity, CropFidelity, Estimate, Fidelity, LabelKind};

use super::value_text::{estimate, with_error};
use crate::cli::output::{count, thousands};

/// Marks the closest labels in a column.
const BEST: &str = "*";

/// Rounding of means of equal figures.
const ROUNDING: f64 = 1e-9;

/// Returns the tables of all labels of crops.
pub fn fidelity_text(fidelity: &CropFidelity) -> String {
    let seed = fidelity.seed.map_or(String::new(), |seed| format!(" (--seed {seed})"));
    let title = format!(
        "crops      {} of {}{seed}, compared with the teacher's prediction for each crop",
        thousands(fidelity.crops),
        count(fidelity.images, "image")
    );
    let kinds: Vec<NamedFidelity<'_>> =
        fidelity.labels.iter().map(|(kind, fidelity)| (kind.short_title().to_owned(), fidelity)).collect();
    let mut text = format!("\n{title}\n{}", figure_table(&kinds));
    for figure in &BY_AREA {
        text += &area_table(figure, &kinds);
    }
    if !fidelity.coverings.is_empty() {
        let title = "coverings  predictions for image and tiles, weighted by overlap with the crop; runs of the teacher per image";
        text += &format!("\n{title}\n{}", figure_table(&coverings(fidelity)));
    }
    text + &format!("{BEST} closest to the teacher's prediction for the crop\n")
}

/// A label and its figures.
type NamedFidelity<'a> = (String, &'a Fidelity);

/// Returns the prediction for the image, those of the coverings, and that of all tiles, with the runs of the teacher.
fn coverings(fidelity: &CropFidelity) -> Vec<NamedFidelity<'_>> {
    let image = fidelity.labels.get(LabelKind::Image).map(|image| ("image only, 1 run".to_owned(), image));
    let named = fidelity.coverings().into_iter().map(|(name, tiles, fidelity)| {
        let tiles_of = name.map_or("all tiles".to_owned(), |name| format!("--tiles {name}"));
        (format!("{tiles_of}, {} runs", tiles + 1), fidelity)
    });
    image.into_iter().chain(named).collect()
}

/// Returns a table of the figures of all crops.
fn figure_table(labels: &[NamedFidelity<'_>]) -> String {
    let mut text = format!("{:<22} {:>17} {:>19} {:>15}\n", "", "same best class  ", "total variation  ", "KL (nats)");
    let best = |figure: fn(&Fidelity) -> f64| labels.iter().map(|(_, of)| figure(of)).fold(f64::INFINITY, f64::min);
    let [top1, tv, kl] = [best(lost_top1), best(|of| of.tv), best(finite_kl)];
    for (name, of) in labels {
        let line = format!(
            "  {name:<20} {:>17} {:>19} {:>17}",
            marked(
                &estimate(Estimate { value: of.top1, standard_error: of.top1_standard_error }),
                lost_top1(of) <= top1 + ROUNDING
            ),
            marked(&with_error(of.tv, of.tv_standard_error, 3), of.tv <= tv + ROUNDING),
            marked(
                &of.kl.map_or("infinite".to_owned(), |kl| with_error(kl, of.kl_standard_error, 2)),
                finite_kl(of) <= kl + ROUNDING && of.kl.is_some()
            ),
        );
        text += &format!("{}\n", line.trim_end());
    }
    text
}

fn lost_top1(of: &Fidelity) -> f64 {
    1.0 - of.top1
}

fn finite_kl(of: &Fidelity) -> f64 {
    of.kl.unwrap_or(f64::INFINITY)
}

fn marked(figure: &str, is_best: bool) -> String {
    format!("{figure} {}", if is_best { BEST } else { " " })
}

/// A figure by area.
struct AreaFigure {
    name: &'static str,
    decimals: usize,
    value: fn(&AreaFidelity) -> Option<f64>,
    is_higher_better: bool,
}

const BY_AREA: [AreaFigure; 3] = [
    AreaFigure {
        name: "same best class, %",
        decimals: 1,
        value: |at| at.top1.map(|top1| top1 * 100.0),
        is_higher_better: true,
    },
    AreaFigure { name: "total variation", decimals: 3, value: |at| at.tv, is_higher_better: false },
    AreaFigure { name: "KL (nats)", decimals: 2, value: |at| at.kl, is_higher_better: false },
];

/// Returns a table of one figure by the area of the crop. Ranges without crops have no column.
fn area_table(figure: &AreaFigure, labels: &[NamedFidelity<'_>]) -> String {
    let AreaFigure { name, decimals, .. } = *figure;
    // All labels have the same ranges, bit by bit.
    let is_area = |at: &AreaFidelity, area: [f64; 2]| at.area.map(f64::to_bits) == area.map(f64::to_bits);
    let value = |of: &Fidelity, area| of.by_area.iter().find(|at| is_area(at, area)).and_then(figure.value);
    let lost = |value: f64| if figure.is_higher_better { -value } else { value };
    let mut areas: Vec<[f64; 2]> = Vec::new();
    for at in labels.iter().flat_map(|(_, of)| &of.by_area).filter(|at| at.crops > 0) {
        if !areas.contains(&at.area) {
            areas.push(at.area);
        }
    }
    areas.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let best = |&area: &[f64; 2]| {
        let values = labels.iter().filter_map(|(_, of)| value(of, area));
        (area, values.map(lost).fold(f64::INFINITY, f64::min))
    };
    let areas: Vec<([f64; 2], f64)> = areas.iter().map(best).collect();
    let mut text = format!("  {name:<22}");
    for ([from, to], _) in &areas {
        text += &format!(" {:>13}", format!("{:.0} to {:.0} %  ", from * 100.0, to * 100.0));
    }
    text = text.trim_end().to_owned() + "\n";
    for (label, of) in labels.iter().filter(|(_, of)| of.by_area.iter().any(|at| (figure.value)(at).is_some())) {
        let mut line = format!("    {label:<20}");
        for &(area, best) in &areas {
            let found = value(of, area);
            let shown = found.map_or("–".to_owned(), |value| format!("{value:.decimals$}"));
            line += &format!(" {:>13}", marked(&shown, found.is_some_and(|value| lost(value) <= best + ROUNDING)));
        }
        text += &format!("{}\n", line.trim_end());
    }
    text
}
