//! The bodies of the fuzz targets: a reader returns without a panic, an endless loop or unchecked allocations. Run by
//! `make fuzz-coverage` with bytes of the fuzzer, and by `fuzz::every_corpus_input_is_handled` with those in
//! `tests/data/fuzz`.

#[path = "answering_server.rs"]
mod answering_server;
#[path = "hostile_store.rs"]
mod hostile_store;
#[path = "memory_files.rs"]
mod memory_files;
#[path = "correct_checksums.rs"]
mod correct_checksums;

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

pub use correct_checksums::{correct_png_checksums, correct_tar_checksums};

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

/// Lists a tar of images and reads the images, also with corrected header checksums.
pub fn archive(bytes: &[u8]) {
    for tar in [bytes, &correct_tar_checksums(bytes)] {
        if list_tar_bytes(tar).is_ok_and(|images| !images.is_empty()) {
            read_source(tar, ".tar");
        }
    }
}

/// Lists a Parquet file of images and reads the images.
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

/// Reads, recognises and rewrites an ONNX file.
pub fn onnx(bytes: &[u8]) {
    let _ = check_onnx(bytes.to_vec());
}

/// The manifest of a store.
pub fn manifest(bytes: &[u8]) {
    if let Ok(list) = read_manifest_bytes(bytes.to_vec()) {
        check_list(&list);
    }
}

/// A user's list of images, and a class list.
pub fn csv(bytes: &[u8]) {
    let _ = ClassList::read(written(bytes, ".txt").path());
    for ending in [".csv", ".tsv"] {
        if let Ok(list) = Manifest::read(written(bytes, ending).path()) {
            check_list(&list);
        }
    }
}

/// An image of any format; a PNG also with corrected checksums.
pub fn image(bytes: &[u8]) {
    let _ = decode(bytes, ExifOrientation::Apply);
    if let Some(png) = correct_png_checksums(bytes) {
        let _ = decode(&png, ExifOrientation::Apply);
    }
}

/// A release's `SHA256SUMS`, its signature and trusted keys, separated by zero bytes.
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
    // Without a line with the digest of the file, verification must fail.
    let is_listed = || String::from_utf8_lossy(sums).contains(digest_bytes(text.as_bytes()).as_str());
    assert!(found.is_ok_and(|found| !found.problems.is_empty() || is_listed()), "a release of nothing was accepted");
}

/// The `zarr.json` or a record of a store, as JSON with a correct digest.
pub fn record(bytes: &[u8]) {
    let Some((&which, text)) = bytes.split_first() else { return };
    hostile_store::read_with_text(which, text);
}

/// Changes of numbers, texts and bytes anywhere in a store, with correct digests and checksums.
pub fn store(bytes: &[u8]) {
    hostile_store::read_with_changes(bytes);
}

/// The response of a server to a request for a file of a store.
pub fn server(bytes: &[u8]) {
    answering_server::send_request(bytes);
}

/// Lists an archive and reads its images.
fn read_source(bytes: &[u8], ending: &str) {
    let file = written(bytes, ending);
    let Ok(source) = relabel::labelling::source::open(file.path()) else { return };
    let Ok(manifest) = source.list() else { return };
    let _ = source.splits(&manifest);
    let manifest_sha256 = digest_bytes(b"any");
    let listed = ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index: None };
    let Ok(located) = source.locate(&listed) else { return };
    for row in 0..manifest.len() {
        if let Ok(image) = located.images.read(row, LengthCheck::MatchManifest) {
            assert!(manifest.bytes(row) == 0 || image.len() as u64 == manifest.bytes(row), "row {row}");
        }
    }
}

/// Checks that a manifest finds its own rows and survives writing and reading.
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

/// Writes a temporary file.
fn written(bytes: &[u8], ending: &str) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(ending).tempfile();
    let mut file = file.unwrap_or_else(|error| panic!("cannot make a file: {error}"));
    file.write_all(bytes).unwrap_or_else(|error| panic!("cannot write a file: {error}"));
    file
}
