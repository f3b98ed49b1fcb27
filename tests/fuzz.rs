//! Valid files that are mutated at random. A reader never panics, aborts or hangs, and never returns wrong labels from a
//! store.
//!
//! The same cases are tried each time, so a passing run passes again. `make fuzz` sets `RELABEL_FUZZ_TIMES`, which multiplies
//! the number of cases and takes the seed from the clock; `RELABEL_FUZZ_SEED` repeats a run with the seed it printed.
//! `make fuzz` also limits memory, so a reader that allocates by an unchecked length is aborted.

#[path = "coverage/bodies.rs"]
mod bodies;
mod mutations;
mod seeds;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use relabel::labelling::source::{list_parquet_bytes, list_tar_bytes};
use relabel::labelling::teacher::{CardFile, check_onnx};
use relabel::shared::manifest::{Manifest, read_manifest_bytes};
use relabel::shared::store::{Depth, RowState, StoreReader, StoreStatus, StoreWriter, WriterOptions, verify};

use crate::common::{data, store_bytes};
use crate::synthetic_store;
use mutations::{Mutation, mutated, mutation};

/// Time limit of one case: far more than a reader needs for a few kilobytes, even on a busy machine.
const CASE_LIMIT: Duration = Duration::from_mins(1);

/// Time limit of one input of the corpus.
const CORPUS_CASE_LIMIT: Duration = Duration::from_secs(5);

#[test]
fn every_corpus_input_is_handled() {
    for (target, body) in bodies::TARGETS {
        let inputs: Vec<_> = std::fs::read_dir(data("fuzz").join(target)).unwrap().map(Result::unwrap).collect();
        assert!(!inputs.is_empty(), "{target} has no seeds");
        for input in inputs {
            let bytes = std::fs::read(input.path()).unwrap();
            let started = Instant::now();
            let answer = std::panic::catch_unwind(|| body(&bytes));
            let (name, took) = (input.path(), started.elapsed());
            assert!(answer.is_ok(), "{} makes {target} panic", name.display());
            assert!(took < CORPUS_CASE_LIMIT, "{} keeps {target} busy for {took:?}", name.display());
        }
    }
}

#[test]
fn row_and_page_counts_without_data_are_refused() {
    let bytes = |name: &str| std::fs::read(data("fuzz").join(name)).unwrap();
    for (file, text) in [("run_lengths", "expand to more rows"), ("large_page", "unpacks to 7")] {
        let refusal = read_manifest_bytes(bytes(&format!("manifest/{file}"))).unwrap_err().to_string();
        assert!(refusal.contains(text), "{refusal}");
        let refusal = list_parquet_bytes(bytes(&format!("parquet/{file}"))).unwrap_err().to_string();
        assert!(refusal.contains(text), "{refusal}");
    }
}

#[test]
fn a_parquet_manifest_is_read_or_refused() {
    fuzz("a manifest", 5000, &seeds::manifests(), |bytes| {
        let _ = read_manifest_bytes(bytes.to_vec());
    });
}

#[test]
fn a_csv_manifest_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.csv");
    fuzz("a CSV manifest", 20_000, &seeds::csv_manifests(), |bytes| {
        replace(&file, bytes);
        let _ = Manifest::read(&file);
    });
}

#[test]
fn an_onnx_file_is_checked_or_refused() {
    fuzz("an ONNX file", 20_000, &seeds::onnx_files(), |bytes| {
        let _ = check_onnx(bytes.to_vec());
    });
}

#[test]
fn a_teacher_card_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.toml");
    fuzz("a teacher card", 20_000, &seeds::cards(), |bytes| {
        replace(&file, bytes);
        let _ = CardFile::find(Path::new("teacher.onnx"), Some(&file));
    });
}

#[test]
fn a_tar_is_listed_or_refused() {
    fuzz("a tar", 40_000, &seeds::tars(), |bytes| {
        let _ = list_tar_bytes(bytes);
        // Otherwise the header checksum rejects almost every change.
        let _ = list_tar_bytes(&bodies::correct_tar_checksums(bytes));
    });
}

#[test]
fn a_parquet_file_of_images_is_listed_or_refused() {
    fuzz("a Parquet file of images", 20_000, &seeds::parquet_files(), |bytes| {
        let _ = list_parquet_bytes(bytes.to_vec());
    });
}

#[test]
fn a_damaged_store_never_yields_wrong_labels() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let writer =
        StoreWriter::create(&store, synthetic_store::info(), &synthetic_store::manifest(), WriterOptions::default())
            .unwrap();
    synthetic_store::fill(&writer).unwrap();
    drop(writer);
    let rows = |reader: &StoreReader| -> Vec<_> { (0..synthetic_store::IMAGES).map(|row| reader.row(row)).collect() };
    let original: Vec<RowState> = rows(&StoreReader::open(&store).unwrap()).into_iter().map(Result::unwrap).collect();
    let (names, seeds): (Vec<_>, Vec<_>) = store_bytes(&store).into_iter().unzip();
    fuzz_each("a file of a store", 1000, &seeds, |number, bytes| {
        let path = store.join(&names[number]);
        replace(&path, bytes);
        let verified = verify(&store, Depth::Values, &|_| ());
        let _ = StoreStatus::read(&store);
        if let Ok(reader) = StoreReader::open(&store) {
            let _ = reader.manifest();
            for (row, (state, was)) in rows(&reader).into_iter().zip(&original).enumerate() {
                let Ok(state) = state else { continue };
                assert_eq!(state, *was, "row {row}, with another {}", names[number].display());
            }
        }
        // JSON can be changed without changing its meaning.
        if bytes != seeds[number] && names[number].extension().is_none_or(|ending| ending != "json") {
            assert!(
                verified.is_ok_and(|found| !found.problems.is_empty()),
                "{} was changed, and verify does not report it",
                names[number].display()
            );
        }
        replace(&path, &seeds[number]);
    });
}

/// Passes the seeds and `cases` mutations of them to a reader.
fn fuzz(what: &str, cases: u32, seeds: &[Vec<u8>], read: impl Fn(&[u8])) {
    fuzz_each(what, cases, seeds, |_, bytes| read(bytes));
}

/// Like [`fuzz`], and passes the number of the seed.
fn fuzz_each(what: &str, cases: u32, seeds: &[Vec<u8>], read: impl Fn(usize, &[u8])) {
    for (number, seed) in seeds.iter().enumerate() {
        read(number, seed);
    }
    let (seed, times) = (run_seed(), number_in("RELABEL_FUZZ_TIMES").unwrap_or(1));
    let mut random = [0; 32];
    random[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &random);
    let config =
        Config { cases: cases * times as u32, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let bytes_of =
        |number: usize, other: usize, mutations: &[Mutation]| mutated(&seeds[number], &seeds[other], mutations);
    let strategy = (0..seeds.len(), 0..seeds.len(), vec(mutation(), 1..6));
    let answer = TestRunner::new_with_rng(config, random).run(&strategy, |(number, other, mutations)| {
        let started = Instant::now();
        read(number, &bytes_of(number, other, &mutations));
        let took = started.elapsed();
        if took < CASE_LIMIT { Ok(()) } else { Err(TestCaseError::fail(format!("it took {took:?}"))) }
    });
    match answer {
        Ok(()) => {}
        Err(TestError::Fail(why, (number, other, mutations))) => panic!(
            "{what}: {why}\nseed {number} (and {other}) with {mutations:?}\n`RELABEL_FUZZ_SEED={seed}` tries it again. \
             The bytes:\n{}",
            hexadecimal(&bytes_of(number, other, &mutations))
        ),
        Err(TestError::Abort(why)) => panic!("{what}: {why}"),
    }
}

/// Replaces a file by a new one. Overwriting would make the file system wait for the disk.
fn replace(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).or_else(|error| if path.exists() { Err(error) } else { Ok(()) }).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn run_seed() -> u64 {
    let seed_of_now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let fixed = || if number_in("RELABEL_FUZZ_TIMES").is_some() { seed_of_now() } else { 1 };
    number_in("RELABEL_FUZZ_SEED").unwrap_or_else(fixed)
}

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, which is not a number")))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
