//! `relabel verify --recompute`: labels random images again and compares.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use relabel::labelling::pipeline::{Job, Recomputed, Tolerance, recompute};
use relabel::labelling::source::{self, LengthCheck, ListedImages, Located};
use relabel::labelling::teacher::{Device, Runtime};
use relabel::shared::error::Error;
use relabel::shared::printable::printable;
use relabel::shared::random::SplitMix64;
use relabel::shared::store::{RunNote, StoreReader, run_notes};

use crate::cli::args::{Global, TeacherFlags, VerifyArguments};
use crate::cli::load_teacher::load_teacher;
use crate::cli::loaded_teacher::LoadedTeacher;
use crate::cli::map_options::MapRequest;
use crate::cli::new_store::{rounding, store_info_with_teacher};
use crate::cli::output::{count, message, thousands};
use crate::cli::run::refuse_differences;
use crate::cli::run_progress::{RunProgress, Workers};
use crate::cli::stop_flag;

/// Labels random images again. Returns the seed of the choice, and the comparison.
///
/// # Errors
/// Returns [`Error::Store`] if none of the chosen images has labels.
pub fn recompute_labels(
    arguments: &VerifyArguments,
    global: &Global,
    images: usize,
    source: &Path,
    teacher: &Path,
) -> Result<(u64, Recomputed), Error> {
    let stop = stop_flag();
    let reader = StoreReader::open(&arguments.store)?;
    let info = reader.info();
    let manifest = reader.manifest()?;
    let source = source::open(source)?;
    let manifest_sha256 = info.manifest_sha256.clone();
    let list = ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index: None };
    let Located { images: image_reader, .. } = source.locate(&list)?;
    let flags = TeacherFlags {
        top_k: info.k,
        flip_average: info.flip_average,
        with_lse: info.with_lse,
        ..arguments.teacher.clone()
    };
    let maps = if info.map_size.is_some() { MapRequest::Required } else { MapRequest::Omitted };
    let loaded = load_teacher(&flags, teacher, maps, Vec::new(), &stop)?;
    refuse_differences(&arguments.store, info.differences(&store_info_with_teacher(info, &loaded)))?;
    let accepted = accepted_differences(&run_notes(&arguments.store)?, &loaded);
    let seed = chosen_seed(arguments.seed);
    let rows = random_rows(seed, images, manifest.len());
    let mut job = Job {
        images: &*image_reader,
        // Images that were repaired and labelled again differ from the manifest's sizes.
        length_check: LengthCheck::Ignore,
        manifest: &manifest,
        info,
        shards: Vec::new(),
        preprocessing: loaded.preprocessing(),
        decoder: loaded.decoder.clone(),
        rounding: rounding(info),
        threads: loaded.threads,
    };
    let workers = Workers { threads: loaded.threads, sessions: loaded.teachers.len() };
    let progress = RunProgress::new(rows.len(), 0, 0, workers, global.quiet, stop);
    let recomputed = recompute(&mut job, &reader, &rows, accepted, loaded.teachers, &progress);
    progress.finish();
    let recomputed = recomputed?;
    if recomputed.images == 0 {
        return Err(Error::Store {
            path: arguments.store.clone(),
            problem: format!(
                "none of the {} chosen by --recompute has labels, nothing was compared\n  help: choose more images, or others \
                 with --seed",
                count(images, "image")
            )
            .into(),
        });
    }
    Ok((seed, recomputed))
}

/// Returns the accepted differences: none for runs on the same devices, threads and ONNX Runtime, small ones for others.
fn accepted_differences(notes: &[RunNote], loaded: &LoadedTeacher) -> Tolerance {
    let devices = loaded.device_names();
    let is_same = |note: &RunNote| {
        note.devices == devices && note.threads == loaded.threads && note.onnxruntime == Runtime::build_info()
    };
    if !notes.is_empty() && loaded.devices.iter().all(Device::is_deterministic) && notes.iter().all(is_same) {
        return Tolerance::Exact;
    }
    message(
        "the store was labelled on a different device, or with different threads or a different ONNX Runtime: small differences are accepted",
    );
    Tolerance::Relative(loaded.description.relative_tolerance())
}

/// Returns the given seed, or a new one.
pub fn chosen_seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() ^ u64::from(since.subsec_nanos()))
    })
}

/// Returns `count` different random rows in ascending order, or all rows if there are fewer.
pub fn random_rows(seed: u64, count: usize, rows: usize) -> Vec<usize> {
    let mut random = SplitMix64::new(seed);
    let mut chosen = BTreeSet::new();
    while chosen.len() < count.min(rows) {
        chosen.insert((random.next_u64() % rows as u64) as usize);
    }
    chosen.into_iter().collect()
}

pub fn recomputed_text(recomputed: &Recomputed, seed: u64) -> String {
    let mut text = format!(
        "labelled {} again (--seed {seed}): {} bit-identical",
        count(recomputed.images, "image"),
        thousands(recomputed.equal)
    );
    if recomputed.equal < recomputed.images {
        text += &format!(", scores of the others differ by up to {:.1e}", recomputed.largest_difference);
        let changed = recomputed.other_best_cells;
        if recomputed.cells > 0 {
            text += &format!("; best class changed in {} of {}", thousands(changed), count(recomputed.cells, "cell"));
        }
        if changed > 0 && recomputed.widest_gap.is_finite() {
            text += &format!(", whose two best scores differ by up to {:.1e}", recomputed.widest_gap);
        }
    }
    text.push('\n');
    for wrong in &recomputed.wrong {
        text += &format!("row {} ({}): {}\n", wrong.row, printable(&wrong.path), printable(&wrong.problem));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_rows_are_distinct_and_at_most_all() {
        assert_eq!(random_rows(7, 100, 5), [0, 1, 2, 3, 4]);
        let rows = random_rows(7, 50, 1_000_000);
        assert_eq!((rows.len(), &rows), (50, &random_rows(7, 50, 1_000_000)));
        assert_ne!(rows, random_rows(8, 50, 1_000_000));
    }
}
