//! A release from the side of somebody who got it: is it whole, is it what was published, and who says so?

mod found;
mod noted;
mod sums;

pub use found::{Checked, ReleaseProblem, Remedy};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::signature::check_signature;
use super::trusted::TrustedKeys;
use super::{CHECKSUMS, MARKER, SIGNATURE};
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::store::{
    CHECKSUMS_BYTES, Files, RecordedFile, RowState, StoreDescription, StoreReader, check_labels, read_description,
};

use noted::Noted;

pub(super) use noted::digest_of;
use sums::Sums;

/// How much of a release is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Every file, each against its digest.
    Everything,
    /// All but the files of labels, which are most of it; these are held against their lengths.
    SmallFiles,
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseStep {
    /// There are so many more files or rows to look at.
    More(usize),
    /// One of them is done.
    Done,
}

/// Looks at a release, wherever it lies. `heard` hears how far it is, and may end it with an error.
///
/// # Errors
/// When the place cannot be reached, and what `heard` gives. That something is wrong is no error: it is what is looked
/// for (tests `release::everything_that_is_wrong_with_a_release_is_named`,
/// `release::a_release_elsewhere_is_checked_without_reading_its_labels`).
pub fn verify(
    files: &dyn Files,
    trusted: Option<&TrustedKeys>,
    reading: Reading,
    heard: &(dyn Fn(ReleaseStep) -> Result<(), Error> + Sync),
) -> Result<Checked, Error> {
    let mut found = Checked::default();
    let lengths = files.list()?.map(|list| list.into_iter().collect::<BTreeMap<String, u64>>());
    if files.file_bytes(MARKER)?.is_some() {
        found.add(MARKER, "it is there while a release is on its way: this one is not whole", Remedy::AskPublisher);
    }
    let Some(sums_bytes) = files.read_up_to(CHECKSUMS, CHECKSUMS_BYTES)? else {
        found.add(CHECKSUMS, "it is not there: this is no release, or not a whole one", Remedy::DownloadAgain);
        return Ok(found);
    };
    signature(files, &sums_bytes, trusted, &mut found)?;
    let sums = Sums::parse(&sums_bytes, &mut found);
    found.files = sums.digests.len();

    let noted = Noted::new(files);
    heard(ReleaseStep::More(sums.digests.len()))?;
    let heard_file = || heard(ReleaseStep::Done);
    // Records are counted with the other files; here it is only heard whether to go on.
    let description = read_description(&noted, &|| heard(ReleaseStep::More(0)))?;
    let provenance = noted.read("provenance.json")?.and_then(|text| serde_json::from_slice(&text).ok());
    found.partial = provenance.is_some_and(|provenance: serde_json::Value| provenance["partial"] == true);
    let recorded: BTreeMap<&str, &RecordedFile> =
        description.records.iter().flat_map(|record| &record.files).map(|file| (file.path.as_str(), file)).collect();

    let seen = noted.digests();
    let looked_at = sums.digests.par_iter().map(|(name, wanted)| {
        let there = Known { seen: &seen, lengths: lengths.as_ref(), recorded: recorded.get(name.as_str()).copied() };
        let looked = look(files, name, wanted, &there, reading)?;
        heard_file()?;
        Ok((name.as_str(), looked))
    });
    for (name, looked) in looked_at.collect::<Result<Vec<_>, Error>>()? {
        match looked {
            Looked::Compared(bytes) => {
                found.compared += 1;
                found.compared_bytes += bytes;
            }
            Looked::ByLength => found.by_length += 1,
            Looked::Wrong(problem) => found.add(name, problem, Remedy::DownloadAgain),
        }
    }
    store(&description, &recorded, &sums, &mut found);
    unlisted(&sums, lengths.as_ref(), &seen, &mut found);
    for (name, what) in files.irregular_entries()?.into_iter().filter(|(name, _)| !name.starts_with('.')) {
        found.add(name, what, Remedy::Delete);
    }
    found.settle(description);
    Ok(found)
}

/// Decodes rows and holds their values against what `docs/format.md` promises. Rows of files that are known to be wrong
/// are passed over.
///
/// # Errors
/// When the place cannot be reached, there is no such row, and what `heard` gives.
pub fn check_rows(
    found: &mut Checked,
    reader: &StoreReader,
    rows: &[usize],
    heard: &(dyn Fn(ReleaseStep) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    heard(ReleaseStep::More(rows.len()))?;
    let decoded = AtomicUsize::new(0);
    let wrong: BTreeSet<&str> = found.problems.iter().map(|problem| problem.file.as_str()).collect();
    let problems: Vec<Option<(String, String)>> = rows
        .into_par_iter()
        .map(|&row| {
            heard(ReleaseStep::Done)?;
            let shard = row / reader.info().shard_images;
            let Some(record) = found.records.iter().find(|record| record.shard == shard) else { return Ok(None) };
            if record.files.iter().any(|file| wrong.contains(file.path.as_str())) {
                return Ok(None);
            }
            let problem = match reader.row(row) {
                Ok(RowState::Labelled(labels)) => {
                    check_labels(&labels, reader.info()).err().map(|problem| problem.to_string())
                }
                Ok(RowState::Failed(_) | RowState::ToDo) => return Ok(None),
                Err(Error::Store { problem, .. }) => Some(problem.to_string()),
                Err(error) => return Err(error),
            };
            decoded.fetch_add(1, Ordering::Relaxed);
            let place = record.files.first().map(|file| file.path.clone()).unwrap_or_default();
            Ok(problem.map(|problem| (place, format!("row {row}: {problem}"))))
        })
        .collect::<Result<_, Error>>()?;
    found.decoded += decoded.into_inner();
    for (file, problem) in problems.into_iter().flatten() {
        found.add(file, problem, Remedy::DownloadAgain);
    }
    Ok(())
}

fn signature(files: &dyn Files, sums: &[u8], trusted: Option<&TrustedKeys>, found: &mut Checked) -> Result<(), Error> {
    match files.read(SIGNATURE)? {
        Some(signature) => match check_signature(sums, &signature, trusted) {
            Ok(signed_by) => found.signed = Some(signed_by),
            Err(problem) => found.add(SIGNATURE, problem, Remedy::AskPublisher),
        },
        None if trusted.is_some() => {
            found.add(SIGNATURE, "it is not there: nobody signed this release", Remedy::AskPublisher);
        }
        None => {}
    }
    Ok(())
}

/// What is known before a file is looked at.
struct Known<'a> {
    seen: &'a BTreeMap<String, (Digest, u64)>,
    lengths: Option<&'a BTreeMap<String, u64>>,
    recorded: Option<&'a RecordedFile>,
}

enum Looked {
    Compared(u64),
    ByLength,
    Wrong(String),
}

fn look(files: &dyn Files, name: &str, wanted: &Digest, known: &Known<'_>, reading: Reading) -> Result<Looked, Error> {
    let compare = |digest: &Digest, bytes: u64| match digest {
        digest if digest == wanted => Looked::Compared(bytes),
        digest => Looked::Wrong(format!("its sha256 is {digest}, {wanted} in {CHECKSUMS}")),
    };
    if let Some((digest, bytes)) = known.seen.get(name) {
        return Ok(compare(digest, *bytes));
    }
    let bytes = match known.lengths {
        Some(lengths) => lengths.get(name).copied(),
        None => files.file_bytes(name)?,
    };
    let Some(bytes) = bytes else { return Ok(Looked::Wrong("it is not there".to_owned())) };
    if let Some(recorded) = known.recorded.filter(|recorded| recorded.bytes != bytes) {
        return Ok(Looked::Wrong(format!("it has {bytes} bytes, {} when it was written", recorded.bytes)));
    }
    if known.recorded.is_none() && bytes > MOST_UNRECORDED_BYTES {
        return Ok(Looked::Wrong(format!("it has {bytes} bytes, and at most {MOST_UNRECORDED_BYTES} were expected")));
    }
    if reading == Reading::SmallFiles && (known.recorded.is_some() || holds_labels(name)) {
        return Ok(Looked::ByLength);
    }
    Ok(compare(&digest_of(files, name, bytes)?, bytes))
}

/// Most bytes of a file that no record names; a summary of a billion images has fewer.
const MOST_UNRECORDED_BYTES: u64 = 1 << 38;

/// Whether a name is that of a shard's file, whether or not a record names it.
fn holds_labels(name: &str) -> bool {
    name.split_once('/').is_some_and(|(_, file)| file.starts_with("c."))
}

/// Holds the store's own description against `SHA256SUMS`.
fn store(description: &StoreDescription, recorded: &BTreeMap<&str, &RecordedFile>, sums: &Sums, found: &mut Checked) {
    for (file, problem) in &description.problems {
        found.add(file.clone(), problem.clone(), Remedy::AskPublisher);
    }
    for (&name, file) in recorded {
        match sums.digests.get(name) {
            Some(digest) if *digest == file.sha256 => {}
            Some(digest) => {
                let problem = format!("its sha256 is {digest} in {CHECKSUMS}, and {} in the record", file.sha256);
                found.add(name, problem, Remedy::AskPublisher);
            }
            None => found.add(name, format!("a record names it, and {CHECKSUMS} does not"), Remedy::AskPublisher),
        }
    }
    // Where a record is damaged or gone, it may be the one that named them.
    if found.problems.iter().all(|problem| problem.file != "zarr.json" && !problem.file.starts_with("records/")) {
        for name in sums.digests.keys().filter(|name| holds_labels(name) && !recorded.contains_key(name.as_str())) {
            found.add(name.clone(), "no record names it: nothing says whose labels these are", Remedy::AskPublisher);
        }
    }
    if found.partial {
        return;
    }
    let is_missing = |shard: &&usize| !sums.digests.contains_key(&format!("records/{shard:06}.json"));
    let to_do: Vec<String> = description.shards_to_do.iter().filter(is_missing).map(usize::to_string).collect();
    if !to_do.is_empty() {
        let problem = format!("shards are to do, and nothing says that the release is partial: {}", to_do.join(", "));
        found.add("records", problem, Remedy::AskPublisher);
    }
}

/// Names what is there without being listed. What begins with a dot belongs to tools (`.git/`, `.gitattributes`,
/// `.cache/`) and to nobody who reads a release.
fn unlisted(
    sums: &Sums,
    lengths: Option<&BTreeMap<String, u64>>,
    seen: &BTreeMap<String, (Digest, u64)>,
    found: &mut Checked,
) {
    let listed: BTreeSet<&String> = lengths.into_iter().flat_map(BTreeMap::keys).chain(seen.keys()).collect();
    for name in listed {
        let is_own = [CHECKSUMS, SIGNATURE].contains(&name.as_str()) || name.starts_with('.');
        if !is_own && !sums.digests.contains_key(name) && !sums.refused.contains(name) {
            found.add(name.clone(), format!("{CHECKSUMS} does not list it: nobody vouches for it"), Remedy::Delete);
        }
    }
}
