//! `relabel verify`

mod release;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use relabel::labelling::pipeline::{Accepted, Job, Recomputed, recompute};
use relabel::labelling::source::{self, LengthCheck, ListedImages, Located};
use relabel::labelling::teacher::{Device, Runtime};
use relabel::release::CHECKSUMS;
use relabel::shared::error::Error;
use relabel::shared::printable::{printable, printable_path};
use relabel::shared::random::SplitMix64;
use relabel::shared::remote::{Access, RemoteFiles};
use relabel::shared::store::{
    Depth, Files, FolderFiles, Repair, RunNote, StoreReader, Verification, VerifyProgress, run_notes, verify,
};
use relabel::shared::threads::thread_pool;
use serde_json::{Value, json};

use super::args::{Global, TeacherFlags, VerifyArguments};
use super::output::{Output, bytes, count, may_draw, say, thousands};
use super::places::{address, settings, warn_of};
use super::plan::{LoadedTeacher, boxed, load_teacher, preprocessing, rounding, store_info_again};
use super::progress::{Progress, Workers};
use super::run::refuse;
use super::{Outcome, stop_flag};

use release::Looking;

pub fn run(arguments: &VerifyArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    if let Some(address) = address(&arguments.store) {
        let (words, document, outcome) = elsewhere(arguments, global, address)?;
        output.result(&words, &document)?;
        return Ok(outcome);
    }
    let files = FolderFiles::new(&arguments.store);
    if release::is_release(&files)? {
        let open = || StoreReader::open(&arguments.store).inspect(|reader| warn_of(reader.info()));
        let (words, document, outcome) =
            release::run(arguments, global, &files, &Looking::here(arguments.full), &open)?;
        return with_recomputed(arguments, global, output, words, document, outcome);
    }
    for (flag, is_given) in [("--signer", arguments.signer.is_some()), ("--sample", arguments.sample.is_some())] {
        if is_given {
            return Err(Error::Release {
                place: arguments.store.display().to_string(),
                problem: format!(
                    "it has no {CHECKSUMS}, so that it is a store or no whole release, and {flag} is for releases"
                )
                .into(),
            });
        }
    }
    if arguments.seed.is_some() && arguments.recompute.is_none() {
        return Err(Error::Usage(
            "--seed says which random images, and of a store --recompute N asks for them".to_owned(),
        ));
    }
    let depth = if arguments.full { Depth::Values } else { Depth::Files };
    if let Ok(reader) = StoreReader::open(&arguments.store) {
        warn_of(reader.info());
    }
    let found = look(&arguments.store, depth, global.quiet)?;
    let mut document = json!(found);
    document["kind"] = json!("store");
    let outcome = if found.problems.is_empty() { Outcome::Done } else { Outcome::DoneWithProblems };
    with_recomputed(arguments, global, output, words(&arguments.store, &found, depth), document, outcome)
}

/// Files that are asked for at a time, over a network.
const REQUESTS: usize = 16;

/// Looks at a release in the network. Nothing is kept of it: what lies there is what counts.
fn elsewhere(arguments: &VerifyArguments, global: &Global, address: &str) -> Result<(String, Value, Outcome), Error> {
    if arguments.recompute.is_some() {
        return Err(Error::Usage("--recompute is for stores and releases in a folder".to_owned()));
    }
    let files = Arc::new(RemoteFiles::open(address, settings(Access::Read))?);
    if !release::is_release(&*files)? {
        return Err(Error::Release {
            place: files.name().to_owned(),
            problem: format!(
                "it has no {CHECKSUMS}. Is this the address that it was published under? A store that was never published \
                 is verified in its folder"
            ).into(),
        });
    }
    let open = || StoreReader::open_files(Arc::clone(&files) as Arc<dyn Files>);
    let looking = Looking::elsewhere(arguments.full);
    thread_pool(REQUESTS, "verify")?.install(|| release::run(arguments, global, &*files, &looking, &open))
}

/// Labels some images again, where that was asked for and nothing is wrong so far, and prints everything.
fn with_recomputed(
    arguments: &VerifyArguments,
    global: &Global,
    output: Output,
    mut words: String,
    mut document: Value,
    outcome: Outcome,
) -> Result<Outcome, Error> {
    let mut holds = outcome == Outcome::Done;
    if let (Some(images), Some(source), Some(teacher)) =
        (arguments.recompute, &arguments.source, &arguments.teacher.teacher)
    {
        if holds {
            let (seed, recomputed) = label_again(arguments, global, images, source, teacher)?;
            if recomputed.images == 0 {
                return Err(Error::Store {
                    path: arguments.store.clone(),
                    problem: format!(
                        "none of the {} that --recompute chose has labels, so that nothing was compared\n  help: choose \
                         others (--seed) or more of them",
                        count(images, "image")
                    ).into(),
                });
            }
            holds = recomputed.wrong.is_empty();
            words += &recomputed_words(&recomputed, seed);
            document["recomputed"] = json!(recomputed);
            document["seed"] = json!(seed);
        } else {
            say("labels are not computed again: what was found comes first");
        }
    }
    document["holds"] = json!(holds);
    output.result(&words, &document)?;
    Ok(if holds { Outcome::Done } else { Outcome::DoneWithProblems })
}

fn look(store: &Path, depth: Depth, quiet: bool) -> Result<Verification, Error> {
    let bar = if may_draw() && !quiet { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let found = verify(store, depth, &|step| match step {
        VerifyProgress::Shards(shards) => bar.set_length(shards as u64),
        VerifyProgress::ShardDone => bar.inc(1),
    });
    bar.finish_and_clear();
    found
}

fn words(store: &Path, found: &Verification, depth: Depth) -> String {
    let mut words = format!(
        "looked at {} ({} of labels), {} labelled, {} failed",
        count(found.files, "file"),
        bytes(found.compared_bytes),
        count(found.labelled, "image"),
        thousands(found.failed),
    );
    if depth == Depth::Values {
        words += &format!(", the values of {}", count(found.decoded, "image"));
    }
    words.push('\n');
    for problem in &found.problems {
        words += &format!("{}: {} ({})\n", printable(&problem.file), printable(&problem.problem), problem.repair);
    }
    if found.problems.is_empty() {
        words += &format!("{} is whole, and everything in it is what was written\n", printable_path(store));
    } else {
        let by_run = found.problems.iter().filter(|problem| problem.repair != Repair::Delete).count();
        words += &count(found.problems.len(), "problem");
        if by_run > 0 {
            words += &format!("; the run command that made {} repairs {}", printable_path(store), thousands(by_run));
        }
        words.push('\n');
    }
    words
}

/// Labels random images again. Gives the seed that chose them, and what came out.
fn label_again(
    arguments: &VerifyArguments,
    global: &Global,
    images: usize,
    source: &Path,
    teacher: &Path,
) -> Result<(u64, Recomputed), Error> {
    let stop = stop_flag();
    let reader = StoreReader::open(&arguments.store)?;
    let manifest = reader.manifest()?;
    let source = source::open(source)?;
    let manifest_sha256 = reader.info().manifest_sha256.clone();
    let list = ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index: None };
    let Located { images: image_reader, .. } = source.locate(&list)?;
    let there = reader.info();
    let flags = TeacherFlags {
        top_k: there.k,
        flip_average: there.flip_average,
        with_lse: there.with_lse,
        ..arguments.teacher.clone()
    };
    let loaded = load_teacher(&flags, teacher, Vec::new(), &stop)?;
    refuse(&arguments.store, reader.info().differences(&store_info_again(reader.info(), &loaded)))?;
    let notes = run_notes(&arguments.store)?;
    let same = made_in_the_same_way(&notes, &loaded);
    let accepted = if same {
        Accepted::None
    } else {
        say(
            "the store was made on another device, with other threads or another ONNX Runtime: small differences are accepted",
        );
        Accepted::Relative(loaded.description.proof.relative_tolerance())
    };
    let seed = chosen_seed(arguments.seed);
    let rows = random_rows(seed, images, manifest.len());
    let mut job = Job {
        images: &*image_reader,
        // Images that were mended and labelled again have another length than was listed.
        length_check: LengthCheck::AsItIs,
        manifest: &manifest,
        info: reader.info(),
        shards: Vec::new(),
        preprocessing: preprocessing(&loaded),
        decoder: loaded.decoder.clone(),
        rounding: rounding(reader.info()),
        threads: loaded.threads,
    };
    let workers = Workers { threads: loaded.threads, sessions: loaded.teachers.len() };
    let progress = Progress::new(rows.len(), 0, 0, workers, global.quiet, stop);
    let recomputed = recompute(&mut job, &reader, &rows, accepted, boxed(loaded.teachers), &progress);
    progress.finish();
    Ok((seed, recomputed?))
}

/// True when every run that made the store was like this one, so that the same bits are to be expected.
fn made_in_the_same_way(notes: &[RunNote], loaded: &LoadedTeacher) -> bool {
    let devices: Vec<String> = loaded.devices.iter().map(ToString::to_string).collect();
    !notes.is_empty()
        && loaded.devices.iter().all(Device::repeats_itself)
        && notes.iter().all(|note| {
            note.devices == devices && note.threads == loaded.threads && note.onnxruntime == Runtime::build_info()
        })
}

/// The seed that was asked for, or another one each time.
fn chosen_seed(asked: Option<u64>) -> u64 {
    asked.unwrap_or_else(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() ^ u64::from(since.subsec_nanos()))
    })
}

/// So many different rows, in order; all of them where there are no more.
fn random_rows(seed: u64, count: usize, rows: usize) -> Vec<usize> {
    let mut random = SplitMix64::new(seed);
    let mut chosen = BTreeSet::new();
    while chosen.len() < count.min(rows) {
        chosen.insert((random.next_u64() % rows as u64) as usize);
    }
    chosen.into_iter().collect()
}

fn recomputed_words(recomputed: &Recomputed, seed: u64) -> String {
    let mut words = format!(
        "labelled {} again (--seed {seed}): {} equal to the bit",
        count(recomputed.images, "image"),
        thousands(recomputed.equal)
    );
    if recomputed.equal < recomputed.images {
        words += &format!(", the others' scores differ by up to {:.4}", recomputed.largest_difference);
        let other_best = recomputed.other_best_cells;
        words +=
            &format!("; the best class is another in {} of {}", thousands(other_best), count(recomputed.cells, "cell"));
        if other_best > 0 && recomputed.widest_gap.is_finite() {
            words += &format!(", whose two best scores are up to {:.4} apart", recomputed.widest_gap);
        }
    }
    words.push('\n');
    for wrong in &recomputed.wrong {
        words += &format!("row {} ({}): {}\n", wrong.row, printable(&wrong.path), printable(&wrong.problem));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_rows_are_different_ones_and_all_where_there_are_no_more() {
        assert_eq!(random_rows(7, 100, 5), [0, 1, 2, 3, 4]);
        let rows = random_rows(7, 50, 1_000_000);
        assert_eq!((rows.len(), &rows), (50, &random_rows(7, 50, 1_000_000)));
        assert_ne!(rows, random_rows(8, 50, 1_000_000));
    }
}
