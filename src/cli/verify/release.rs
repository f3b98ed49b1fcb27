//! `relabel verify` of a release.

use indicatif::ProgressBar;
use relabel::release::{CHECKSUMS, Checked, MARKER, Reading, ReleaseStep, TrustedKeys, check_rows, verify};
use relabel::shared::error::Error;
use relabel::shared::printable::printable;
use relabel::shared::store::{Files, StoreReader};
use serde_json::{Value, json};

use super::super::args::{Global, VerifyArguments};
use super::super::output::{bytes, count, may_draw, thousands};
use super::super::{Outcome, raised, stop_flag};
use super::{chosen_seed, random_rows};

/// How deep a release is looked at, where `--sample` says nothing else.
pub struct Looking {
    pub reading: Reading,
    /// Random rows that are decoded; all where there are no more.
    pub rows: usize,
}

impl Looking {
    /// In a folder all files are read; `--full` decodes all rows besides.
    pub fn here(full: bool) -> Self {
        Self { reading: Reading::Everything, rows: if full { usize::MAX } else { 0 } }
    }

    /// Over a network only small files are read, and the maps of some rows by parts; `--full` reads everything.
    pub fn elsewhere(full: bool) -> Self {
        if full {
            Self { reading: Reading::Everything, rows: usize::MAX }
        } else {
            Self { reading: Reading::SmallFiles, rows: SAMPLED_ROWS }
        }
    }
}

/// Maps that are read of a release in the network.
const SAMPLED_ROWS: usize = 64;

/// Whether there is a release, or was to be one.
pub fn is_release(files: &dyn Files) -> Result<bool, Error> {
    Ok(files.file_bytes(CHECKSUMS)?.is_some() || files.file_bytes(MARKER)?.is_some())
}

/// Looks at a release. `open` opens the store in it, to decode some of its rows.
pub fn run(
    arguments: &VerifyArguments,
    global: &Global,
    files: &dyn Files,
    looking: &Looking,
    open: &dyn Fn() -> Result<StoreReader, Error>,
) -> Result<(String, Value, Outcome), Error> {
    let stop = stop_flag();
    let trusted = arguments.signer.as_deref().map(TrustedKeys::open).transpose()?;
    let bar = if may_draw() && !global.quiet { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let heard = |step| {
        match step {
            ReleaseStep::More(more) => bar.inc_length(more as u64),
            ReleaseStep::Done => bar.inc(1),
        }
        if raised(&stop) { Err(Error::Interrupted) } else { Ok(()) }
    };
    let mut found = verify(files, trusted.as_ref(), looking.reading, &heard)?;
    let seed = chosen_seed(arguments.seed);
    let rows = arguments.sample.unwrap_or(looking.rows);
    if rows > 0 && found.info.is_some() {
        let rows = random_rows(seed, rows, found.images);
        check_rows(&mut found, &open()?, &rows, &heard)?;
    }
    bar.finish_and_clear();
    let holds = found.problems.is_empty();
    let mut document = json!(found);
    document["kind"] = json!("release");
    document["seed"] = json!(seed);
    document["holds"] = json!(holds);
    Ok((words(files.name(), &found), document, if holds { Outcome::Done } else { Outcome::DoneWithProblems }))
}

fn words(name: &str, found: &Checked) -> String {
    let name = printable(name);
    let mut words = format!(
        "looked at {} of the release {name}: {} compared with {CHECKSUMS} ({}), {} by length\n",
        count(found.files, "file"),
        thousands(found.compared),
        bytes(found.compared_bytes),
        thousands(found.by_length),
    );
    words += &format!(
        "labelled {} of {}, {} failed",
        thousands(found.labelled),
        count(found.images, "image"),
        thousands(found.failed)
    );
    if found.to_do > 0 {
        let said = if found.partial { "; the release says that it is partial" } else { "" };
        words += &format!(", {} to do{said}", thousands(found.to_do));
    }
    if found.decoded > 0 {
        words += &format!("; the values of {} were checked", count(found.decoded, "image"));
    }
    words.push('\n');
    match &found.signed {
        Some(signed_by) => words += &format!("{}\n", printable(&signed_by.to_string())),
        None if found.problems.is_empty() => words += "not signed: who published it is not known from the files\n",
        None => {}
    }
    for problem in &found.problems {
        words += &format!("{}: {} ({})\n", printable(&problem.file), printable(&problem.problem), problem.remedy);
    }
    words += &if !found.problems.is_empty() {
        format!("{}\n", count(found.problems.len(), "problem"))
    } else if found.by_length > 0 {
        "nothing is wrong with what was looked at; --full reads the labels, too\n".to_owned()
    } else {
        format!("{name} is whole, and everything in it is what was published\n")
    };
    words
}
