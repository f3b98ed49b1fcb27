//! A release as text.

use relabel::release::Release;
use relabel::shared::printable::printable;
use relabel::shared::remote::is_address;

use super::PublishResult;
use crate::cli::args::PublishArguments;
use crate::cli::output::{bytes, count, thousands};
use crate::cli::shell::shell_quote;

/// Describes a release that was delivered or planned.
pub fn text(arguments: &PublishArguments, release: &Release, result: PublishResult, signed_by: Option<&str>) -> String {
    let mut text = String::new();
    if let PublishResult::Planned { .. } = result {
        for file in &release.files {
            text += &format!("{:>15}  {}\n", thousands(file.bytes as usize), printable(&file.path));
        }
        text += "\n";
    }
    let status = &release.status;
    text += &format!("release  {}\n", printable(&release.name));
    text += &format!(
        "images   {} ({} labelled, {} failed",
        thousands(status.images),
        thousands(status.labelled),
        thousands(status.failed)
    );
    text += &if release.is_partial() {
        format!(", {} to do): partial\n", thousands(status.to_do))
    } else {
        ")\n".to_owned()
    };
    text += &format!("files    {} ({})", thousands(release.files.len()), bytes(release.bytes()));
    text += &match result {
        PublishResult::Planned { files, bytes: sent } => {
            format!("; dry run, nothing was written: {} ({}) to write\n", count(files, "file"), bytes(sent))
        }
        PublishResult::Delivered(delivery) => format!(
            " in {}: {} written ({}) and read back, {} unchanged{}\n",
            printable(&arguments.to),
            thousands(delivery.sent),
            bytes(delivery.sent_bytes),
            thousands(delivery.kept),
            if delivery.removed > 0 { format!(", {} old removed", thousands(delivery.removed)) } else { String::new() }
        ),
    };
    text += &format!("picture  {}\n", pictured(arguments, release));
    if arguments.evaluation.is_some() {
        let pictures = release.files.iter().filter_map(|file| file.path.strip_suffix(".png"));
        let charts = pictures.filter(|name| *name != "overview");
        text += &format!("figures  evaluation.json and {}\n", count(charts.count(), "chart"));
    }
    if let Some(signed_by) = signed_by {
        text += &format!("signed   by {signed_by}\n");
    }
    text += &shortened(release);
    text += &format!("\nLICENSE\n{}", excerpt(&release.licence));
    text += &format!("\nSOURCE_TERMS.md\n{}", excerpt(&release.source_terms));
    text + &next(arguments, matches!(result, PublishResult::Delivered(_)))
}

fn pictured(arguments: &PublishArguments, release: &Release) -> String {
    let pixels = if arguments.photos.image_root.is_some() {
        "with its photograph: pixels of the data set are in the release"
    } else {
        "no pixels of the data set"
    };
    format!("{}; {pixels}", printable(&release.pictured.join(", ")))
}

/// Maximum number of paths that are printed.
const MAX_SHORTENED: usize = 10;

fn shortened(release: &Release) -> String {
    let mut text = String::new();
    for cut in release.redactions.iter().take(MAX_SHORTENED) {
        text += &format!(
            "path     {}: {} is published as {}\n",
            printable(&cut.location),
            printable(&cut.from),
            printable(&cut.to)
        );
    }
    if release.redactions.len() > MAX_SHORTENED {
        text += &format!("path     and {} more\n", thousands(release.redactions.len() - MAX_SHORTENED));
    }
    text
}

/// Maximum number of lines of an excerpt.
const EXCERPT_LINES: usize = 8;

/// Returns the first non-empty lines of a string, indented.
fn excerpt(text: &str) -> String {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("# "));
    let first: Vec<&str> = lines.by_ref().take(EXCERPT_LINES).collect();
    let mut text = String::new();
    for line in first {
        text += &format!("  {}\n", printable(line));
    }
    let rest = lines.count();
    if rest > 0 {
        text += &format!("  ... and {} more\n", count(rest, "line"));
    }
    text
}

/// Returns the commands to run next.
fn next(arguments: &PublishArguments, is_delivered: bool) -> String {
    let destination = shell_quote(&arguments.to);
    let destination = printable(&destination);
    let mut text = "\n".to_owned();
    if is_delivered {
        text += &format!("verify   relabel verify {destination}\n");
        if !is_address(&arguments.to) {
            text += &format!("         (cd {destination} && sha256sum -c --quiet SHA256SUMS)\n");
        }
    }
    upload_command(arguments).map_or(text.clone(), |command| format!("{text}upload   {}\n", printable(&command)))
}

/// Returns the command that uploads a release in a folder to the Hub.
pub fn upload_command(arguments: &PublishArguments) -> Option<String> {
    let repo = arguments.hub_repo.as_deref().unwrap_or("USER/NAME");
    let command = || format!("hf upload-large-folder {repo} {} --repo-type=dataset", shell_quote(&arguments.to));
    (!is_address(&arguments.to)).then(command)
}
