//! The input of the teacher in the output of `relabel teacher --probe`.

use relabel::evaluation::evaluation_file::Estimate;
use relabel::evaluation::input_check::{
    AlternativeFigures, AlternativeVerdict, ClassOrderFinding, Evidence, InputCheck, OutputOrder, ProbeImages,
};
use relabel::shared::classes::ClassList;
use relabel::shared::printable::printable;

use crate::cli::output::{count, thousands};

/// Lines of the table; the JSON document has all alternatives.
const MAX_LINES: usize = 12;

pub fn input_text(check: &InputCheck, images: &ProbeImages, classes: &ClassList) -> String {
    let mut text = format!("\nprobe of the input, on {}", count(check.images, "image"));
    text += &match check.evidence {
        Evidence::FolderClass => format!(" of {} folder class{}\n", thousands(check.folder_classes), plural(check.folder_classes)),
        Evidence::Information => "\n  the folders are not classes of the teacher, so alternatives are ranked by how confident and how \
                                  varied the predictions are.\n  This is weaker evidence, and it cannot compare input sizes\n"
            .to_owned(),
    };
    if images.without_class() > 0 {
        text += &format!(
            "  {} of the source are left out: their folders are not classes\n",
            count(images.without_class(), "image")
        );
    }
    text += &table(check);
    text += "\n";
    text += &class_order_text(check.class_order.as_ref(), classes);
    text += &verdict_text(check);
    text + &hints_text(check)
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "es" }
}

fn table(check: &InputCheck) -> String {
    let is_labelled = check.evidence == Evidence::FolderClass;
    let width = check.alternatives.iter().map(|one| one.name.chars().count()).max().unwrap_or(0).min(48);
    let mut text = format!("  {:<width$}  images  ", "alternative");
    text += if is_labelled { "agreement     gain (nats)     " } else { "gain (nats)     " };
    text += "confidence\n";
    let mut lines: Vec<&AlternativeFigures> = check.alternatives.iter().take(MAX_LINES).collect();
    let card = check.alternatives.iter().find(|one| one.verdict == AlternativeVerdict::Card);
    if let Some(card) = card.filter(|card| !lines.iter().any(|line| line.verdict == card.verdict)) {
        lines.pop();
        lines.push(card);
    }
    for line in &lines {
        let agreement = line.agreement.as_ref().map_or_else(String::new, |share| format!("{:<14}", percent(share)));
        let gain = if line.verdict == AlternativeVerdict::Card { "-".to_owned() } else { signed(&line.gain) };
        let name = printable(&line.name);
        text += &format!("  {name:<width$}  {:>6}  {agreement}{gain:<16}{:.2}\n", line.images, line.confidence.value);
    }
    let others = check.alternatives.len() - lines.len();
    if others > 0 {
        text += &format!("  and {} others, all of them in --json\n", thousands(others));
    }
    text
}

fn verdict_text(check: &InputCheck) -> String {
    if let Some(better) = &check.better_card {
        let shares = match (&better.agreement, &better.agreement_of_card) {
            (Some(of_better), Some(of_card)) => {
                format!("agreement {:.0} % against {:.0} %, ", 100.0 * of_better.value, 100.0 * of_card.value)
            }
            _ => String::new(),
        };
        let lines = better.lines.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat();
        let caution = match check.evidence {
            Evidence::FolderClass => "",
            Evidence::Information => "  verify it with labelled images before you change the card\n",
        };
        let others: Vec<_> = better.not_told_apart.iter().map(|name| printable(name)).collect();
        let others = match others.len() {
            0 => String::new(),
            _ => format!("  these images cannot tell it from: {}\n", others.join("; ")),
        };
        return format!(
            "{} is better than the card in force: {shares}gain {} nats\n  card lines that would be:\n{lines}{others}{caution}",
            printable(&better.name),
            signed(&better.gain),
        );
    }
    if check.class_order.is_some() {
        return String::new();
    }
    if !check.is_above_chance && !check.has_enough_images() {
        return "too few images to tell inputs apart\n  help: pass at least 10 images, better 200\n".to_owned();
    }
    if !check.is_above_chance {
        return "with every input, predictions agree with the folder classes no more often than by chance\n  help: check the \
                class list, the folders and the teacher\n"
            .to_owned();
    }
    if check.images < 3 {
        return format!(
            "{} cannot show which input is right\n  help: pass more images\n",
            count(check.images, "image")
        );
    }
    let mut text =
        format!("the card in force is the best of {} alternatives within the error\n", thousands(check.tried));
    let similar = check.alternatives.iter().filter(|one| one.verdict == AlternativeVerdict::Similar && one.fits_a_card);
    let similar: Vec<String> = similar.map(|one| printable(&one.name).into_owned()).collect();
    if !similar.is_empty() {
        text += &format!("  these images cannot tell it from: {}\n", similar.join("; "));
    }
    text
}

fn class_order_text(found: Option<&ClassOrderFinding>, classes: &ClassList) -> String {
    let Some(found) = found else { return String::new() };
    let share = match found.order {
        OutputOrder::Unknown => {
            format!("{:.0} % of pairs of one class have the same prediction", 100.0 * found.agreement_in_order)
        }
        _ => format!("{:.0} % in that order", 100.0 * found.agreement_in_order),
    };
    let mut text = format!(
        "the class list does not fit the outputs: {}\n  agreement with the folder classes: {:.0} % by the list, {share}\n",
        found.order,
        100.0 * found.agreement
    );
    for example in &found.examples {
        let name = |class| printable(&classes.short_name(class)).into_owned();
        text += &format!(
            "  images of `{}` (line {}) are predicted as `{}` (line {})\n",
            name(example.folder_class),
            example.folder_class + 1,
            name(example.predicted),
            example.predicted + 1
        );
    }
    text + "  help: write the classes in the order of the outputs, one per line, and name the file in the card (`classes`); then probe \
            again, since a wrong list hides mistakes in the input\n"
}

fn hints_text(check: &InputCheck) -> String {
    if check.class_order.is_some() {
        return String::new();
    }
    let hints = check.alternatives.iter().filter(|one| !one.fits_a_card && one.verdict == AlternativeVerdict::Better);
    let mut text = String::new();
    let mut has_crop = false;
    for hint in hints {
        let name = printable(&hint.name);
        if hint.input.antialias {
            if !has_crop {
                text += &format!(
                    "note: {name} has a gain of {} nats: the teacher was probably evaluated on a centre crop. Labels need the \
                     entire image, so this is not a mistake in the card\n",
                    signed(&hint.gain)
                );
            }
            has_crop = true;
        } else {
            text += &format!(
                "note: {name} has a gain of {} nats: the teacher was probably trained on images that were resized without \
                 antialiasing, which no card can describe\n",
                signed(&hint.gain)
            );
        }
    }
    text
}

fn percent(share: &Estimate) -> String {
    match share.standard_error {
        Some(error) => format!("{:.1} ± {:.1} %", 100.0 * share.value, 100.0 * error),
        None => format!("{:.1} %", 100.0 * share.value),
    }
}

fn signed(gain: &Estimate) -> String {
    match gain.standard_error {
        Some(error) => format!("{:+.2} ± {error:.2}", gain.value),
        None => format!("{:+.2}", gain.value),
    }
}
