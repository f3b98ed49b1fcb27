//! What each fuzz target does with the bytes that it is given: a reader answers, without a panic, without end and without
//! asking for memory that nothing backs. Run by `make fuzz-coverage` with bytes that the fuzzer finds, and by
//! `fuzz::every_corpus_input_is_handled` with those that are kept in `tests/data/fuzz`.

#[path = "answering_server.rs"]
mod answering_server;
#[path = "hostile_store.rs"]
mod hostile_store;
#[path = "memory_files.rs"]
mod memory_files;
#[path = "right_checksums.rs"]
mod right_checksums;

use std::io::Write as _;

use relabel::labelling::pixels::{ExifOrientation, decode};
use relabel::labelling::source::{LengthCheck, ListedImages, list_parquet_bytes, list_tar_bytes};
use relabel::labelling::teacher::{CardValues, check_onnx};
use relabel::release::{TrustedKeys, VerifyScope, check_signature};
use relabel::shared::classes::ClassList;
use relabel::shared::digest::digest_bytes;
use relabel::shared::manifest::{Manifest, NameKind, RowIndex, manifest_bytes, read_manifest_bytes};
use tempfile::NamedTempFile;

use memory_files::MemoryFiles;

pub use right_checksums::{in_png, in_tar};

/// A target's name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 11] = [
    ("archive", archive),
    ("card", card),
    ("checksums", checksums),
    ("csv", csv),
    ("image", image),
    ("manifest", manifest),
    ("onnx", onnx),
    ("parquet", parquet),
    ("record", record),
    ("server", server),
    ("store", store),
];

/// A tar of images: listed, and its images read. Also with header checksums that are right.
pub fn archive(bytes: &[u8]) {
    for tar in [bytes, &in_tar(bytes)] {
        if list_tar_bytes(tar).is_ok_and(|images| !images.is_empty()) {
            read_source(tar, ".tar");
        }
    }
}

/// A Parquet file of images: listed, and its images read.
pub fn parquet(bytes: &[u8]) {
    if list_parquet_bytes(bytes.to_vec()).is_ok_and(|images| !images.is_empty()) {
        read_source(bytes, ".parquet");
    }
}

/// A teacher card.
pub fn card(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = CardValues::from_toml(text);
    }
}

/// An ONNX file: read, recognised and rewritten.
pub fn onnx(bytes: &[u8]) {
    let _ = check_onnx(bytes.to_vec());
}

/// The manifest of a store.
pub fn manifest(bytes: &[u8]) {
    if let Ok(list) = read_manifest_bytes(bytes.to_vec()) {
        check_list(&list);
    }
}

/// A list of images that a user made, and a list of classes.
pub fn csv(bytes: &[u8]) {
    let _ = ClassList::read(written(bytes, ".txt").path());
    for ending in [".csv", ".tsv"] {
        if let Ok(list) = Manifest::read(written(bytes, ending).path()) {
            check_list(&list);
        }
    }
}

/// An image of any format. A PNG also with checksums that are right.
pub fn image(bytes: &[u8]) {
    let _ = decode(bytes, ExifOrientation::Apply);
    if let Some(png) = in_png(bytes) {
        let _ = decode(&png, ExifOrientation::Apply);
    }
}

/// A release's `SHA256SUMS`, its signature and the keys that a reader trusts, with zero bytes between them.
pub fn checksums(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (sums, signature, keys) = (part(), part(), part());
    let keys = if keys.is_empty() { None } else { TrustedKeys::open(written(keys, ".pub").path()).ok() };
    let _ = check_signature(sums, signature, keys.as_ref());
    let text = "a file of a release";
    let mut files = MemoryFiles::default();
    files.put("SHA256SUMS", sums.to_vec());
    files.put("SHA256SUMS.sig", signature.to_vec());
    files.put("README.md", text.into());
    let found = relabel::release::verify(&files, keys.as_ref(), VerifyScope::Everything, &|_| Ok(()));
    // Only a line with the digest of the file could vouch for it, and nothing is a store.
    let is_listed = || String::from_utf8_lossy(sums).contains(digest_bytes(text.as_bytes()).as_str());
    assert!(found.is_ok_and(|found| !found.problems.is_empty() || is_listed()), "a release of nothing was accepted");
}

/// The `zarr.json` or a record of a store, as JSON, with a seal that is right.
pub fn record(bytes: &[u8]) {
    let Some((&which, text)) = bytes.split_first() else { return };
    hostile_store::read_with_text(which, text);
}

/// Changes of numbers, texts and bytes anywhere in a store, with seals, digests and checksums that are right.
pub fn store(bytes: &[u8]) {
    hostile_store::read_with_changes(bytes);
}

/// The answer of a server to a question about a store's files.
pub fn server(bytes: &[u8]) {
    answering_server::ask(bytes);
}

/// Lists an archive that is a file and reads its images.
fn read_source(bytes: &[u8], ending: &str) {
    let file = written(bytes, ending);
    let Ok(source) = relabel::labelling::source::open(file.path()) else { return };
    let Ok(manifest) = source.list() else { return };
    let _ = source.splits(&manifest);
    let manifest_sha256 = digest_bytes(b"any");
    let listed = ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index: None };
    let Ok(located) = source.locate(&listed) else { return };
    for row in 0..manifest.len() {
        if let Ok(image) = located.images.read(row, LengthCheck::AsListed) {
            assert!(manifest.bytes(row) == 0 || image.len() as u64 == manifest.bytes(row), "row {row}");
        }
    }
}

/// Checks that a list that was read finds its own rows and is written as it was read.
fn check_list(list: &Manifest) {
    let index = RowIndex::new(list);
    for row in 0..list.len() {
        assert_eq!(index.row(list, list.id(row)), Some(row), "the id of row {row}");
        assert_eq!(index.find(list, list.path(row), NameKind::Path), Ok(Some(row)), "the path of row {row}");
    }
    if let Ok(bytes) = manifest_bytes(list) {
        let again =
            read_manifest_bytes(bytes).unwrap_or_else(|problem| panic!("cannot read what was written: {problem}"));
        assert_eq!(again.difference(list), None);
    }
}

/// A file that lives as long as the returned value.
fn written(bytes: &[u8], ending: &str) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(ending).tempfile();
    let mut file = file.unwrap_or_else(|error| panic!("cannot make a file: {error}"));
    file.write_all(bytes).unwrap_or_else(|error| panic!("cannot write a file: {error}"));
    file
}
