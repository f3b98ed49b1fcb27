use std::collections::BTreeMap;
use std::path::Path;

use relabel::labelling::pixels::{ExifOrientation, RgbImage, decode};
use relabel::shared::digest::digest_bytes;
use relabel::shared::error::ImageErrorKind;
use serde_json::{Map, Value};

use crate::common::{data, python, repository};

/// Accepted differences from PIL besides files refused as "not decoded exactly": part of our reason, and the extension.
/// Files that PIL refuses are never accepted.
const EXCEPTIONS: &[(&str, &str)] = &[
    // With restart markers, or with corrupt data that no marker follows, libjpeg does not report whether all rows were
    // complete before the end of the file (`pixels/jpeg/tolerance.rs`).
    ("truncated: JPEG: unexpected end of file, no end-of-image marker", "jpg"),
];

/// Maximum share of files refused as "not decoded exactly" although PIL reads them. The files are chosen to be unusual.
const MAX_INEXACT_SHARE: f64 = 0.25;

/// Files in `decode/kinds` that PIL reads and that are refused.
const INEXACT_KINDS: &[&str] = &[
    "tiff_refused__t_group3.tif",
    "tiff_refused__t_lab8.tif",
    "tiff_refused__t_tiff_ccitt.tif",
    "tiff_refused__t_ycbcr_jpeg.tif",
    "tiff_refused__t_zstd.tif",
    "unclear_formats_pil_reads__x_avif.JPEG",
    "unclear_formats_pil_reads__x_ico.JPEG",
    "unclear_formats_pil_reads__x_jp2.JPEG",
    "unclear_formats_pil_reads__x_qoi.JPEG",
    "unclear_formats_pil_reads__x_tga.JPEG",
];

/// `decode/expected.json`, written by `tests/python/make_decode_fixtures.py`, lists the size and SHA-256 of PIL's RGB bytes
/// for the files next to it and for all golden images, or that PIL refuses the file.
#[test]
fn decoded_pixels_equal_pil_bit_for_bit() {
    let expected = verdicts(&data("decode/expected.json"));
    assert_eq!(expected.len(), 92, "the list is complete");
    for (file, pil) in &expected {
        let bytes = std::fs::read(data(file)).unwrap();
        let outcome = compare(&bytes, pil).unwrap_or_else(|problem| panic!("{file}: {problem}"));
        let may_be_refused = INEXACT_KINDS.iter().any(|kind| file.ends_with(kind));
        assert_eq!(outcome == Outcome::Inexact, may_be_refused, "{file}: {outcome:?}");
    }
}

/// Thousands of intact and damaged files of every format.
///
/// `make test` tries the same files each time. `make fuzz` sets `RELABEL_FUZZ_TIMES`, which multiplies the number of files
/// and takes the seed from the clock; `RELABEL_FUZZ_SEED` repeats a round.
#[test]
fn random_files_decode_as_pil_or_are_refused() {
    const FILES: usize = 2400;
    let number_in = |variable: &str| std::env::var(variable).ok().map(|text| text.parse::<u64>().unwrap());
    let times = number_in("RELABEL_FUZZ_TIMES");
    let seed_of_now = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    let first = number_in("RELABEL_FUZZ_SEED").unwrap_or(if times.is_some() { seed_of_now } else { 1 });
    for seed in first..first + times.unwrap_or(1) {
        let folder = tempfile::tempdir().unwrap();
        let script = repository("tests/python/decode_fuzz/main.py");
        let args = ["--files", &FILES.to_string(), "--seed", &seed.to_string()];
        python(&script, &[&[folder.path().to_str().unwrap()], &args[..]].concat()).expect(0);
        let mut outcomes = BTreeMap::new();
        let mut problems = Vec::new();
        for (file, pil) in verdicts(&folder.path().join("verdicts.json")) {
            let bytes = std::fs::read(folder.path().join(&file)).unwrap();
            match compare(&bytes, &pil) {
                Ok(outcome) => *outcomes.entry(outcome).or_insert(0) += 1,
                Err(problem) if is_excepted(&file, &problem) => {}
                Err(problem) => problems.push(format!("{file}: {problem}")),
            }
        }
        if !problems.is_empty() {
            let kept = folder.keep();
            let seed = format!("`RELABEL_FUZZ_SEED={seed}` tries them again");
            panic!("{} files, kept in {}; {seed}:\n{}", problems.len(), kept.display(), problems.join("\n"));
        }
        let count = |outcome| outcomes.get(&outcome).copied().unwrap_or(0) as f64;
        let (equal, inexact) = (count(Outcome::EqualPixels), count(Outcome::Inexact));
        assert!(equal > FILES as f64 / 4.0 && inexact < (equal + inexact) * MAX_INEXACT_SHARE, "{outcomes:?}");
    }
}

/// Dimensions are checked before anything is allocated, and rows against the length of the file.
#[test]
fn a_small_file_that_declares_a_large_image_is_refused() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0";
    let gif = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    for (file, kind) in [
        (b"P6 2000000000 2000000000 255 ".as_slice(), ImageErrorKind::TooLarge),
        (b"P5 10000 10000 255 ", ImageErrorKind::Truncated),
        (gif, ImageErrorKind::TooLarge),
        (png, ImageErrorKind::Truncated),
    ] {
        assert_eq!(decode(file, ExifOrientation::Ignore).unwrap_err().kind, kind);
    }
}

/// Accepted outcomes of the comparison of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    EqualPixels,
    BothRefuse,
    Inexact,
}

fn compare(bytes: &[u8], pil: &Value) -> Result<Outcome, String> {
    let exif = if pil["exif"] == true { ExifOrientation::Apply } else { ExifOrientation::Ignore };
    match (decode(bytes, exif), pil.get("refused")) {
        (Ok(image), None) => {
            let ours = digest_bytes(image.data()).to_string();
            let (height, width) = (image.height_pixels(), image.width_pixels());
            if pil["height"] == height && pil["width"] == width && pil["sha256"] == ours.as_str() {
                Ok(Outcome::EqualPixels)
            } else {
                Err(format!("pixels differ from PIL's: {height}x{width} and {pil}"))
            }
        }
        (Ok(RgbImage { .. }), Some(refusal)) => Err(format!("accepted, but PIL refuses it: {refusal}")),
        (Err(_), Some(_)) => Ok(Outcome::BothRefuse),
        (Err(error), None) if error.kind == ImageErrorKind::Inexact => {
            assert!(error.reason.contains("not decoded exactly; convert it"), "{error}");
            Ok(Outcome::Inexact)
        }
        (Err(error), None) => Err(format!("refused, but PIL reads it: {error}")),
    }
}

fn is_excepted(file: &str, problem: &str) -> bool {
    EXCEPTIONS.iter().any(|(reason, ending)| problem.contains(reason) && file.ends_with(ending))
}

fn verdicts(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
