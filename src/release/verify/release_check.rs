//! Verifies the files, the store and the signature of a release.

use std::collections::{BTreeMap, BTreeSet};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::digesting_files::DigestingFiles;
use super::file_check::{FileCheck, KnownFiles, check_file, is_shard_file};
use super::verification::{ReleaseRemedy, ReleaseVerification, ReleaseVerifyProgress, VerifyScope};
use crate::release::checksums::{CHECKSUMS, ListedFiles, SIGNATURE, is_checksums_or_signature};
use crate::release::deliver::MARKER;
use crate::release::provenance::PROVENANCE;
use crate::release::signature::{SignatureError, check_signature};
use crate::release::trusted_keys::TrustedKeys;
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::store::{CHECKSUMS_BYTES, Files, RecordedFile, ShardRecord, StoreDescription, read_description};

/// Verifies a release in any location. `on_progress` receives the progress, and stops the verification by returning an
/// error. Problems of the release are not errors, but part of the result (tests
/// `release::every_problem_of_a_release_is_reported`,
/// `release::a_remote_release_is_verified_without_reading_its_labels`).
///
/// # Errors
/// Returns an error if the location cannot be read, and the errors of `on_progress`.
pub fn verify(
    files: &dyn Files,
    trusted: Option<&TrustedKeys>,
    scope: VerifyScope,
    on_progress: &(dyn Fn(ReleaseVerifyProgress) -> Result<(), Error> + Sync),
) -> Result<ReleaseVerification, Error> {
    let mut found = ReleaseVerification::default();
    let lengths = files.list()?.map(|list| list.into_iter().collect::<BTreeMap<String, u64>>());
    if files.file_bytes(MARKER)?.is_some() {
        let problem = "exists only during publication: this release is incomplete";
        found.add(MARKER, problem, ReleaseRemedy::AskPublisher);
    }
    let Some(checksums) = files.read_up_to(CHECKSUMS, CHECKSUMS_BYTES)? else {
        let problem = "missing: this is not a release, or an incomplete one";
        found.add(CHECKSUMS, problem, ReleaseRemedy::DownloadAgain);
        return Ok(found);
    };
    verify_signature(files, &checksums, trusted, &mut found)?;
    let (listed, problems) = ListedFiles::parse(&checksums);
    if !problems.is_empty() {
        found.add(CHECKSUMS, problems.join("; "), ReleaseRemedy::AskPublisher);
    }
    found.files = listed.digests.len();

    let digesting = DigestingFiles::new(files);
    on_progress(ReleaseVerifyProgress::More(listed.digests.len()))?;
    // Records are counted with the other files; this callback only checks for a stop.
    let description = read_description(&digesting, &|| on_progress(ReleaseVerifyProgress::More(0)))?;
    let provenance = digesting.read(PROVENANCE)?.and_then(|text| serde_json::from_slice(&text).ok());
    found.partial = provenance.is_some_and(|provenance: serde_json::Value| provenance["partial"] == true);
    let recorded: BTreeMap<&str, &RecordedFile> =
        description.records.iter().flat_map(ShardRecord::all_files).map(|file| (file.path.as_str(), file)).collect();

    let digests = digesting.digests();
    let known = KnownFiles { digests: &digests, lengths: lengths.as_ref(), recorded: &recorded };
    let checks = listed.digests.par_iter().map(|(name, expected)| {
        let check = check_file(files, name, expected, &known, scope)?;
        on_progress(ReleaseVerifyProgress::Done)?;
        Ok((name.as_str(), check))
    });
    for (name, check) in checks.collect::<Result<Vec<_>, Error>>()? {
        match check {
            FileCheck::Compared(bytes) => {
                found.compared += 1;
                found.compared_bytes += bytes;
            }
            FileCheck::ByLength => found.by_length += 1,
            FileCheck::Wrong(problem) => found.add(name, problem, ReleaseRemedy::DownloadAgain),
        }
    }
    verify_store(&description, &recorded, &listed, &mut found);
    find_unlisted(&listed, lengths.as_ref(), &digests, &mut found);
    for (name, problem) in files.irregular_entries()?.into_iter().filter(|(name, _)| !name.starts_with('.')) {
        found.add(name, problem, ReleaseRemedy::Delete);
    }
    found.set_counts(description);
    Ok(found)
}

fn remedy_of(problem: &SignatureError) -> ReleaseRemedy {
    match problem {
        SignatureError::NotTrusted { .. } => ReleaseRemedy::CheckSigner,
        SignatureError::OtherAlgorithm { .. } => ReleaseRemedy::UseSshKeygen,
        SignatureError::NotASignature { .. }
        | SignatureError::OtherNamespace { .. }
        | SignatureError::Mismatch { .. } => ReleaseRemedy::AskPublisher,
    }
}

fn verify_signature(
    files: &dyn Files,
    checksums: &[u8],
    trusted: Option<&TrustedKeys>,
    found: &mut ReleaseVerification,
) -> Result<(), Error> {
    match files.read(SIGNATURE)? {
        Some(signature) => match check_signature(checksums, &signature, trusted) {
            Ok(signed_by) => found.signed = Some(signed_by),
            Err(problem) => found.add(SIGNATURE, problem.to_string(), remedy_of(&problem)),
        },
        None if trusted.is_some() => {
            found.add(SIGNATURE, "missing: this release is not signed", ReleaseRemedy::AskPublisher);
        }
        None => {}
    }
    Ok(())
}

/// Compares the store's own description with `SHA256SUMS`.
fn verify_store(
    description: &StoreDescription,
    recorded: &BTreeMap<&str, &RecordedFile>,
    listed: &ListedFiles,
    found: &mut ReleaseVerification,
) {
    let remedy = ReleaseRemedy::AskPublisher;
    for (file, problem) in &description.problems {
        found.add(file.clone(), problem.clone(), remedy);
    }
    for (&name, file) in recorded {
        match listed.digests.get(name) {
            Some(digest) if *digest == file.sha256 => {}
            Some(digest) => {
                let problem = format!("{CHECKSUMS} lists SHA-256 {digest}, but its record lists {}", file.sha256);
                found.add(name, problem, remedy);
            }
            None => found.add(name, format!("a record lists it, but {CHECKSUMS} does not"), remedy),
        }
    }
    // If a record is damaged or missing, it may be the one that lists them.
    if found.problems.iter().all(|problem| problem.file != "zarr.json" && !problem.file.starts_with("records/")) {
        for name in listed.digests.keys().filter(|name| is_shard_file(name) && !recorded.contains_key(name.as_str())) {
            found.add(name.clone(), "no record lists it, so its images are unknown", remedy);
        }
    }
    if found.partial {
        return;
    }
    let is_missing = |shard: &&usize| !listed.digests.contains_key(&format!("records/{shard:06}.json"));
    let to_do: Vec<String> = description.shards_to_do.iter().filter(is_missing).map(usize::to_string).collect();
    if !to_do.is_empty() {
        let problem = format!("shards are still to do, but the release is not declared partial: {}", to_do.join(", "));
        found.add("records", problem, remedy);
    }
}

/// Reports files that are not listed. Names that start with a dot belong to tools (`.git/`, `.gitattributes`, `.cache/`)
/// and are ignored.
fn find_unlisted(
    listed: &ListedFiles,
    lengths: Option<&BTreeMap<String, u64>>,
    digests: &BTreeMap<String, (Digest, u64)>,
    found: &mut ReleaseVerification,
) {
    let there: BTreeSet<&String> = lengths.into_iter().flat_map(BTreeMap::keys).chain(digests.keys()).collect();
    for name in there {
        let is_ignored = is_checksums_or_signature(name) || name.starts_with('.');
        if !is_ignored && !listed.digests.contains_key(name) && !listed.refused.contains(name) {
            found.add(name.clone(), format!("{CHECKSUMS} does not list it"), ReleaseRemedy::Delete);
        }
    }
}
