//! `relabel verify` of a release.

use relabel::release::{
    CHECKSUMS, MARKER, ReleaseVerification, ReleaseVerifyProgress, TrustedKeys, VerifyScope, verify, verify_rows,
};
use relabel::shared::error::Error;
use relabel::shared::printable::printable;
use relabel::shared::store::{Files, StoreReader};
use serde_json::json;

use super::VerifyReport;
use super::recompute::{chosen_seed, random_rows};
use crate::cli::args::{Global, VerifyArguments};
use crate::cli::output::{bytes, count, thousands};
use crate::cli::progress_bar::step_bar;
use crate::cli::{Outcome, raised, stop_flag};

/// Scope of the checks, without `--sample`.
pub struct ReleaseChecks {
    pub scope: VerifyScope,
    /// Random rows to decode; all if there are fewer.
    pub rows: usize,
}

impl ReleaseChecks {
    /// Reads all files; `--full` also decodes all rows.
    pub fn local(full: bool) -> Self {
        Self { scope: VerifyScope::Everything, rows: if full { usize::MAX } else { 0 } }
    }

    /// Reads small files, and decodes some rows by partial reads; `--full` reads and decodes everything.
    pub fn remote(full: bool) -> Self {
        if full {
            Self { scope: VerifyScope::Everything, rows: usize::MAX }
        } else {
            Self { scope: VerifyScope::SmallFiles, rows: SAMPLED_ROWS }
        }
    }
}

/// Label maps of a remote release that are decoded.
const SAMPLED_ROWS: usize = 64;

/// Returns whether the files are a release, complete or not.
pub fn is_release(files: &dyn Files) -> Result<bool, Error> {
    Ok(files.file_bytes(CHECKSUMS)?.is_some() || files.file_bytes(MARKER)?.is_some())
}

/// Verifies a release. `open` opens its store, to decode some of the rows.
pub fn verify_release(
    arguments: &VerifyArguments,
    global: &Global,
    files: &dyn Files,
    checks: &ReleaseChecks,
    open: &dyn Fn() -> Result<StoreReader, Error>,
) -> Result<VerifyReport, Error> {
    let stop = stop_flag();
    let trusted = arguments.signer.as_deref().map(TrustedKeys::open).transpose()?;
    let bar = step_bar(0, global);
    let on_step = |step| {
        match step {
            ReleaseVerifyProgress::More(more) => bar.inc_length(more as u64),
            ReleaseVerifyProgress::Done => bar.inc(1),
        }
        if raised(&stop) { Err(Error::Interrupted) } else { Ok(()) }
    };
    let mut found = verify(files, trusted.as_ref(), checks.scope, &on_step)?;
    let seed = chosen_seed(arguments.seed);
    let rows = arguments.sample.unwrap_or(checks.rows);
    if rows > 0 && found.info.is_some() {
        let rows = random_rows(seed, rows, found.images);
        verify_rows(&mut found, &open()?, &rows, &on_step)?;
    }
    bar.finish_and_clear();
    let passed = found.problems.is_empty();
    let mut document = json!(found);
    document["kind"] = json!("release");
    document["seed"] = json!(seed);
    document["passed"] = json!(passed);
    let outcome = if passed { Outcome::Done } else { Outcome::DoneWithProblems };
    Ok(VerifyReport { text: release_text(files.name(), &found), document, outcome })
}

fn release_text(name: &str, found: &ReleaseVerification) -> String {
    let name = printable(name);
    let mut text = format!(
        "verified {} of the release {name}: {} compared with {CHECKSUMS} ({}), {} by length\n",
        count(found.files, "file"),
        thousands(found.compared),
        bytes(found.compared_bytes),
        thousands(found.by_length),
    );
    text += &format!(
        "labelled {} of {}, {} failed",
        thousands(found.labelled),
        count(found.images, "image"),
        thousands(found.failed)
    );
    if found.to_do > 0 {
        let partial = if found.partial { " (marked as partial)" } else { "" };
        text += &format!(", {} to do{partial}", thousands(found.to_do));
    }
    if found.decoded > 0 {
        text += &format!("; values of {} decoded", count(found.decoded, "image"));
    }
    text.push('\n');
    match &found.signed {
        Some(signed_by) => text += &format!("{}\n", printable(&signed_by.to_string())),
        None if found.problems.is_empty() => text += "not signed: the files do not show who published them\n",
        None => {}
    }
    for problem in &found.problems {
        text += &format!("{}: {} ({})\n", printable(&problem.file), printable(&problem.problem), problem.remedy);
    }
    text += &if !found.problems.is_empty() {
        format!("{}\n", count(found.problems.len(), "problem"))
    } else if found.by_length > 0 {
        "no problems found in what was read; --full also reads the labels\n".to_owned()
    } else {
        format!("{name} is complete and undamaged\n")
    };
    text
}
