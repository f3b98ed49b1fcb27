//! What is said of a release.

use relabel::release::Release;
use relabel::shared::printable::printable;
use relabel::shared::remote::is_address;

use super::Done;
use crate::cli::args::PublishArguments;
use crate::cli::output::{bytes, count, thousands};
use crate::cli::summary::shell_word;

/// All words about a release that was delivered, or only planned.
pub fn of(arguments: &PublishArguments, release: &Release, done: Done, signed_by: Option<&str>) -> String {
    let mut words = String::new();
    if let Done::Planned { .. } = done {
        for file in &release.files {
            words += &format!("{:>15}  {}\n", thousands(file.bytes as usize), printable(&file.path));
        }
        words += "\n";
    }
    let status = &release.status;
    words += &format!("release  {}\n", printable(&release.name));
    words += &format!(
        "images   {} ({} labelled, {} failed",
        thousands(status.images),
        thousands(status.labelled),
        thousands(status.failed)
    );
    words += &if release.is_partial() {
        format!(", {} to do): partial\n", thousands(status.to_do))
    } else {
        ")\n".to_owned()
    };
    words += &format!("files    {}, {}", count(release.files.len(), "file"), bytes(release.bytes()));
    words += &match done {
        Done::Planned { files, bytes: sent } => {
            format!("; a dry run: nothing was written, {} ({}) would be\n", count(files, "file"), bytes(sent))
        }
        Done::Delivered(delivery) => format!(
            " in {}: {} written ({}) and read back, {} there already{}\n",
            printable(&arguments.to),
            thousands(delivery.sent),
            bytes(delivery.sent_bytes),
            thousands(delivery.kept),
            if delivery.removed > 0 {
                format!(", {} older removed", thousands(delivery.removed))
            } else {
                String::new()
            }
        ),
    };
    words += &format!("picture  {}\n", pictured(arguments, release));
    if let Some(signed_by) = signed_by {
        words += &format!("signed   by {signed_by}\n");
    }
    words += &shortened(release);
    words += &format!("\nLICENSE says:\n{}", gist(&release.licence));
    words += &format!("\nSOURCE_TERMS.md says:\n{}", gist(&release.source_terms));
    words + &next(arguments, matches!(done, Done::Delivered(_)))
}

fn pictured(arguments: &PublishArguments, release: &Release) -> String {
    let pixels = if arguments.photos.image_root.is_some() {
        "with its photograph: pixels of the data set are in the release"
    } else {
        "no pixels of the data set"
    };
    format!("{}; {pixels}", printable(&release.pictured.join(", ")))
}

/// Paths that are told.
const SHORTENED_TOLD: usize = 10;

fn shortened(release: &Release) -> String {
    let mut words = String::new();
    for cut in release.shortened.iter().take(SHORTENED_TOLD) {
        words += &format!(
            "cut      {}: {} is published as {}\n",
            printable(&cut.place),
            printable(&cut.from),
            printable(&cut.to)
        );
    }
    if release.shortened.len() > SHORTENED_TOLD {
        words += &format!("cut      and {} more\n", thousands(release.shortened.len() - SHORTENED_TOLD));
    }
    words
}

/// Lines of a text that are told.
const GIST_LINES: usize = 8;

/// The first lines with words of a text, set in.
fn gist(text: &str) -> String {
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with("# "));
    let told: Vec<&str> = lines.by_ref().take(GIST_LINES).collect();
    let mut words = String::new();
    for line in told {
        words += &format!("  {}\n", printable(line));
    }
    let rest = lines.count();
    if rest > 0 {
        words += &format!("  ... and {} more\n", count(rest, "line"));
    }
    words
}

/// What to do with a release that is there.
fn next(arguments: &PublishArguments, is_delivered: bool) -> String {
    let place = shell_word(&arguments.to);
    let place = printable(&place);
    let mut words = "\n".to_owned();
    if is_delivered {
        words += &format!("check    relabel verify {place}\n");
        if !is_address(&arguments.to) {
            words += &format!("         (cd {place} && sha256sum -c --quiet SHA256SUMS)\n");
        }
    }
    upload_command(arguments).map_or(words.clone(), |command| format!("{words}upload   {}\n", printable(&command)))
}

/// What brings a release in a folder to the Hub as it is.
pub fn upload_command(arguments: &PublishArguments) -> Option<String> {
    let repo = arguments.hub_repo.as_deref().unwrap_or("USER/NAME");
    let command = || format!("hf upload-large-folder {repo} {} --repo-type=dataset", shell_word(&arguments.to));
    (!is_address(&arguments.to)).then(command)
}
