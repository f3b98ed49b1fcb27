//! `relabel run`

use std::path::Path;

use relabel::classes::ClassList;
use relabel::error::Error;
use relabel::label_map::ScoreRounding;
use relabel::manifest::Manifest;
use relabel::pipeline::{self, FailureLimit, ImagesToDo, Job, Preprocessing, ShardWork};
use relabel::source::{FolderSource, Source};
use relabel::store::{Part, PartState, StoreInfo, StoreStatus, StoreWriter, WriteAs};
use relabel::teacher::{Runtime, Teacher};
use serde_json::{Value, json};

use super::args::{Global, RunArguments};
use super::output::{Output, bytes, count, say, thousands};
use super::plan::{LoadedTeacher, default_store, load_teacher, new_manifest, store_info};
use super::progress::Progress;
use super::summary::Summary;
use super::{Outcome, clock, stop_flag, task};

pub fn run(arguments: &RunArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag()?;
    let started = clock::now();
    let (part, part_from) = task::part(arguments.task)?;
    let write_as = || WriteAs { part, holder: task::holder(), ..WriteAs::default() };
    let teacher_path =
        arguments.teacher.teacher.as_deref().ok_or_else(|| Error::Usage("--teacher T.onnx is missing".to_owned()))?;
    let source = FolderSource::open(&arguments.source)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_store(&source, teacher_path));
    // What can be refused is refused before the teacher is loaded, which takes longest.
    let (existing, manifest) = if StoreWriter::exists(&out)? {
        let (store, manifest) = StoreWriter::resume(&out, write_as(), &mut || new_manifest(arguments, &source))?;
        refuse(&out, early_differences(arguments, store.info(), &source, &manifest)?)?;
        (Some(store), manifest)
    } else {
        StoreWriter::check_free(&out)?;
        (None, new_manifest(arguments, &source)?)
    };
    let loaded = load_teacher(&arguments.teacher, teacher_path)?;
    let wanted = store_info(arguments, &loaded, &source, &manifest)?;
    let is_new = existing.is_none();
    let store = match existing {
        Some(store) => {
            refuse(&out, store.info().differences(&wanted))?;
            store
        }
        None => StoreWriter::create(&out, wanted, &manifest, write_as())?,
    };

    let state = store.part_state(&|bytes_to_read| {
        say(&format!("comparing {} of labels that were not compared since they were copied", bytes(bytes_to_read)));
    })?;
    say_what_is_repaired(&store, &state);
    let before = StoreStatus::of_records(store.info(), part, &state.done);
    let done_before = if arguments.retry_failed { before.labelled } else { before.labelled + before.failed };
    if !global.quiet {
        announce(&store, is_new, &before, &loaded);
        if !part.is_whole() {
            announce_part(&store, part, part_from);
        }
    }
    let classes: ClassList = (&store.info().classes).into();
    let card = &loaded.description.card;
    let job = Job {
        source: &source,
        manifest: &manifest,
        store: &store,
        shards: shards_to_do(state, arguments.retry_failed),
        preprocessing: Preprocessing {
            input_size: card.input_size,
            filter: card.filter,
            exif_orientation: card.exif_orientation,
        },
        rounding: match store.info().score_steps {
            None => ScoreRounding::Float16,
            Some(steps_per_unit) => ScoreRounding::Steps { steps_per_unit },
        },
        classes_by_label: classes.by_label(),
        failure_limit: match arguments.max_failures {
            Some(failures) => FailureLimit::InAll(failures),
            None if arguments.retry_failed => FailureLimit::Never,
            None => FailureLimit::InARow(FAILURES_IN_A_ROW),
        },
        threads: loaded.threads,
    };
    let failed_before = if arguments.retry_failed { 0 } else { before.failed };
    let progress = Progress::new(before.images, done_before, failed_before, global.quiet, stop);
    let teachers = loaded.teachers.into_iter().map(|teacher| Box::new(teacher) as Box<dyn Teacher>).collect();
    let result = pipeline::run(&job, teachers, &progress);
    let (seconds, images_per_s) = progress.finish();

    let (_, status) = StoreStatus::read_part(&out, part)?;
    let done_now = progress.images_now();
    let devices: Vec<_> = loaded.devices.iter().map(ToString::to_string).collect();
    let note = json!({
        "started": started,
        "finished": clock::now(),
        "ended": match &result { Ok(()) => "done", Err(Error::Interrupted) => "interrupted", Err(_) => "failed" },
        "part": part.to_string(),
        "images": done_now,
        "seconds": seconds,
        "images_per_s": images_per_s,
        "slowest_stage": progress.bottleneck(),
        "devices": devices,
        "threads": loaded.threads,
        "onnxruntime": Runtime::build_info(),
        "tool_version": env!("CARGO_PKG_VERSION"),
    });
    leave_note(&store, &started, note);
    if let Err(error) = result {
        if matches!(error, Error::Interrupted) {
            say(&format!(
                "{} of {} images are kept in {}. The same command goes on",
                thousands(status.labelled + status.failed),
                thousands(status.images),
                out.display()
            ));
        }
        return Err(error);
    }
    let summary = Summary {
        out: &out,
        part,
        status: &status,
        done_now,
        seconds,
        images_per_s,
        slowest: progress.bottleneck(),
        manifest: &manifest,
        rows: store.info().rows_of_part(part),
    };
    output.result(&summary.words(), &summary.document());
    Ok(if status.failed == 0 { Outcome::Done } else { Outcome::DoneWithProblems })
}

/// Failing images in a row after which a run makes no sense, where `--max-failures` says nothing else.
const FAILURES_IN_A_ROW: usize = 1000;

/// The shards that have no labels, and with `retry_failed` the failed images of the others.
fn shards_to_do(state: PartState, retry_failed: bool) -> Vec<ShardWork> {
    let mut work: Vec<ShardWork> =
        state.to_do.into_iter().map(|shard| ShardWork { shard, images: ImagesToDo::All }).collect();
    if retry_failed {
        work.extend(state.done.into_iter().filter(|record| !record.failed.is_empty()).map(|record| ShardWork {
            shard: record.shard,
            images: ImagesToDo::Failed(record.failed.iter().map(|failed| failed.row).collect()),
        }));
        work.sort_by_key(|work| work.shard);
    }
    work
}

fn say_what_is_repaired(store: &StoreWriter, state: &PartState) {
    for file in store.repaired() {
        say(&format!("{file} was damaged or gone, and has been made again"));
    }
    for damage in &state.damaged {
        say(&format!("{damage}: the shard is made again"));
    }
}

fn leave_note(store: &StoreWriter, started: &str, note: Value) {
    let part = if store.part().is_whole() { String::new() } else { format!("-{}", store.part()) };
    let name = format!("{}{part}-{}", started.replace(':', ""), std::process::id());
    let Value::Object(note) = note else { return };
    if let Err(error) = store.note_run(&name, note) {
        tracing::warn!("no note of this run could be left: {error}");
    }
}

/// Refuses to go on with a store that differs from what is asked for.
fn refuse(out: &Path, differences: Vec<String>) -> Result<(), Error> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::OtherRun {
        path: out.to_path_buf(),
        differences,
        advice: "give the flags that the store was made with, or name another --out",
    })
}

/// What differs between a store and the flags, as far as it can be told without the teacher.
fn early_differences(
    arguments: &RunArguments,
    there: &StoreInfo,
    source: &FolderSource,
    manifest: &Manifest,
) -> Result<Vec<String>, Error> {
    let mut differences = Vec::new();
    if let Some(path) = &arguments.manifest {
        let mut asked = Manifest::read(path)?;
        if let Some(limit) = arguments.limit {
            asked.truncate(limit);
        }
        differences.extend(manifest.difference(&asked).map(|line| format!("manifest: {line}")));
    } else if there.limit != arguments.limit {
        let limit = |limit: Option<usize>| limit.map_or("none".to_owned(), |limit| limit.to_string());
        differences.push(format!("limit: {} in the store, {} asked for", limit(there.limit), limit(arguments.limit)));
    }
    if let Some(asked) = arguments.shard_size.filter(|&asked| asked.min(there.images) != there.shard_images) {
        differences.push(format!("shard size: {} in the store, {asked} asked for", there.shard_images));
    }
    if let Some(asked) = arguments.batch.filter(|&asked| asked != there.batch_images) {
        differences.push(format!("batch: {} in the store, {asked} asked for", there.batch_images));
    }
    differences.extend(other_source(source, manifest));
    Ok(differences)
}

/// A source that has none of a sample of the manifest's images is another source.
fn other_source(source: &FolderSource, manifest: &Manifest) -> Option<String> {
    const SAMPLE: usize = 64;
    let step = manifest.len().div_ceil(SAMPLE).max(1);
    let rows: Vec<usize> = (0..manifest.len()).step_by(step).collect();
    let same = |row: &&usize| {
        let listed = manifest.bytes(**row);
        source.length(manifest.path(**row)).is_some_and(|length| listed == 0 || length == listed)
    };
    let found = rows.iter().filter(same).count();
    (found * 2 < rows.len()).then(|| {
        format!(
            "manifest: of {} of its images that were looked for in {}, {} are there with the length that was listed (first: `{}`)",
            rows.len(),
            source.name(),
            found,
            manifest.path(rows[0])
        )
    })
}

fn announce(store: &StoreWriter, is_new: bool, before: &StoreStatus, loaded: &LoadedTeacher) {
    let info = store.info();
    let (shape, proof) = (&loaded.description.shape, &loaded.description.proof);
    let devices: Vec<_> = loaded.devices.iter().map(ToString::to_string).collect();
    say(&format!(
        "{} sees {} pixels and gives {} cells, top {} of {} classes, on {}; the rewrite holds (cells to {:.0e}, mean to {:.0e})",
        info.teacher.name,
        shape.input_size,
        shape.map_size,
        shape.k,
        shape.class_count,
        devices.join(" and "),
        proof.cell_difference,
        proof.mean_difference,
    ));
    say(&if is_new {
        format!(
            "{} in {}, into the new store {}",
            count(info.images, "image"),
            count(info.shards(), "shard"),
            store.path().display()
        )
    } else {
        format!(
            "going on with {}: {} of {} images are done",
            store.path().display(),
            thousands(before.labelled + before.failed),
            thousands(before.images)
        )
    });
}

fn announce_part(store: &StoreWriter, part: Part, from: &str) {
    let shards = part.shards(store.info().shards());
    say(&match shards.len() {
        0 => format!("this is task {part} (by {from}), which has no shard to do"),
        count => format!("this is task {part} (by {from}): {count} shards, {} to {}", shards.start, shards.end - 1),
    });
}
