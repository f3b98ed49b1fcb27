//! `relabel verify`

mod recompute;
mod release;

use std::path::Path;
use std::sync::Arc;

use relabel::release::CHECKSUMS;
use relabel::shared::error::Error;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::remote::{Access, RemoteFiles};
use relabel::shared::store::{Depth, Files, FolderFiles, Repair, StoreReader, Verification, VerifyProgress, verify};
use relabel::shared::threads::thread_pool;
use serde_json::{Value, json};

use super::Outcome;
use super::args::{Global, VerifyArguments};
use super::output::{Output, bytes, count, message, thousands};
use super::progress_bar::step_bar;
use super::store_access::{network_settings, url, warn_if_unchecked};

use recompute::{recompute_labels, recomputed_text};
use release::ReleaseChecks;

pub use release::is_release;

/// Result of the checks so far: text and document for the user, and the outcome.
pub struct VerifyReport {
    text: String,
    document: Value,
    outcome: Outcome,
}

pub fn run(arguments: &VerifyArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    if let Some(url) = url(&arguments.store) {
        let report = verify_remote(arguments, global, url)?;
        output.result(&report.text, &report.document)?;
        return Ok(report.outcome);
    }
    let files = FolderFiles::new(&arguments.store);
    let report = if release::is_release(&files)? {
        let open = || StoreReader::open(&arguments.store).inspect(|reader| warn_if_unchecked(reader.info()));
        release::verify_release(arguments, global, &files, &ReleaseChecks::local(arguments.full), &open)?
    } else {
        verify_store(arguments, global)?
    };
    add_recomputed(arguments, global, output, report)
}

fn verify_store(arguments: &VerifyArguments, global: &Global) -> Result<VerifyReport, Error> {
    for (flag, is_given) in [("--signer", arguments.signer.is_some()), ("--sample", arguments.sample.is_some())] {
        if is_given {
            return Err(Error::Release {
                location: arguments.store.display().to_string(),
                problem: format!(
                    "{flag} is for releases, and this folder has no {CHECKSUMS}\n  help: omit {flag}, or pass a release"
                )
                .into(),
            });
        }
    }
    if arguments.seed.is_some() && arguments.recompute.is_none() {
        return Err(Error::Usage(
            "--seed of a store requires --recompute\n  help: pass --recompute N, or omit --seed".to_owned(),
        ));
    }
    let depth = if arguments.full { Depth::Values } else { Depth::Files };
    if let Ok(reader) = StoreReader::open(&arguments.store) {
        warn_if_unchecked(reader.info());
    }
    let bar = step_bar(0, global);
    let found = verify(&arguments.store, depth, &|step| match step {
        VerifyProgress::Shards(shards) => bar.set_length(shards as u64),
        VerifyProgress::ShardDone => bar.inc(1),
    });
    bar.finish_and_clear();
    let found = found?;
    let mut document = json!(found);
    document["kind"] = json!("store");
    let outcome = if found.problems.is_empty() { Outcome::Done } else { Outcome::DoneWithProblems };
    Ok(VerifyReport { text: store_text(&arguments.store, &found, depth), document, outcome })
}

/// Concurrent requests over a network.
const REQUESTS: usize = 16;

/// Verifies a remote release, without the local cache.
fn verify_remote(arguments: &VerifyArguments, global: &Global, url: &str) -> Result<VerifyReport, Error> {
    if arguments.recompute.is_some() {
        return Err(Error::Usage(
            "--recompute requires a store or release in a folder\n  help: download the release, or omit --recompute"
                .to_owned(),
        ));
    }
    let files = Arc::new(RemoteFiles::open(url, network_settings(Access::Read))?);
    if !release::is_release(&*files)? {
        return Err(Error::Release {
            location: files.name().to_owned(),
            problem: format!(
                "{CHECKSUMS} not found\n  help: pass the URL that the release was published to, or verify \
                 an unpublished store in its folder"
            )
            .into(),
        });
    }
    let open = || StoreReader::open_files(Arc::clone(&files) as Arc<dyn Files>);
    let checks = ReleaseChecks::remote(arguments.full);
    thread_pool(REQUESTS, "verify")?.install(|| release::verify_release(arguments, global, &*files, &checks, &open))
}

/// Recomputes labels if requested and no problem was found before, and prints the result.
fn add_recomputed(
    arguments: &VerifyArguments,
    global: &Global,
    output: Output,
    report: VerifyReport,
) -> Result<Outcome, Error> {
    let VerifyReport { mut text, mut document, outcome } = report;
    let mut passed = outcome == Outcome::Done;
    if let (Some(images), Some(source), Some(teacher)) =
        (arguments.recompute, &arguments.source, &arguments.teacher.teacher)
    {
        if passed {
            let (seed, recomputed) = recompute_labels(arguments, global, images, source, teacher)?;
            passed = recomputed.wrong.is_empty();
            text += &recomputed_text(&recomputed, seed);
            document["recomputed"] = json!(recomputed);
            document["seed"] = json!(seed);
        } else {
            message("skipping --recompute because of the problems found");
        }
    }
    document["passed"] = json!(passed);
    output.result(&text, &document)?;
    Ok(if passed { Outcome::Done } else { Outcome::DoneWithProblems })
}

fn store_text(store: &Path, found: &Verification, depth: Depth) -> String {
    let mut text = format!(
        "verified {} ({} of labels), {} labelled, {} failed",
        count(found.files, "file"),
        bytes(found.compared_bytes),
        count(found.labelled, "image"),
        thousands(found.failed),
    );
    if depth == Depth::Values {
        text += &format!(", values of {} decoded", count(found.decoded, "image"));
    }
    text.push('\n');
    for problem in &found.problems {
        text += &format!("{}: {} ({})\n", printable(&problem.file), printable(&problem.problem), problem.repair);
    }
    if found.problems.is_empty() {
        text += &format!("{} is complete and undamaged\n", printable_path(store));
    } else {
        let by_run = found.problems.iter().filter(|problem| problem.repair != Repair::Delete).count();
        text += &count(found.problems.len(), "problem");
        if by_run > 0 {
            let (repairable, store) = (thousands(by_run), printable_path(store));
            text += &format!(", {repairable} repairable: re-run the command that labelled {store}");
        }
        text.push('\n');
    }
    text
}
