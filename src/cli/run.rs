//! `relabel run`

use std::path::Path;

use relabel::labelling::pipeline::{self, Destination, FailureLimit, ImagesToDo, Job, ShardWork};
use relabel::labelling::source::{self, ImageReader, LengthCheck, ListedImages, Located, Source};
use relabel::labelling::teacher::{Locality, Runtime};
use relabel::shared::classes::ClassList;
use relabel::shared::digest::Digest;
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{Part, PartState, StoreInfo, StoreStatus, StoreWriter, WriterOptions};
use serde_json::{Value, json};

use super::args::{Global, RunArguments};
use super::output::{Output, bytes, count, say, thousands};
use super::plan::{
    LoadedTeacher, boxed, default_store, load_teacher, manifest_digest, new_manifest, preprocessing, rounding,
    some_photographs, store_info,
};
use super::progress::{Progress, Workers};
use super::summary::{Summary, check_complete};
use super::{Outcome, clock, stop_flag, task};

pub fn run(arguments: &RunArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag();
    let started = clock::now();
    let (part, part_from) = task::part(arguments.task)?;
    let options = || WriterOptions { part, holder: task::holder(), ..WriterOptions::default() };
    let teacher_path =
        arguments.teacher.teacher.as_deref().ok_or_else(|| Error::Usage("--teacher T.onnx is missing".to_owned()))?;
    let source = source::open(&arguments.source)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_store(&*source, teacher_path));
    // What can be refused is refused before the teacher is loaded, which takes longest.
    let (existing, manifest, manifest_sha256) = store_or_list(arguments, &*source, &out, options())?;
    let index = existing.as_ref().and_then(StoreWriter::source_index);
    let Located { images, new_index } =
        source.locate(&ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index })?;
    if let Some(store) = &existing {
        refuse(&out, early_differences(arguments, store.info(), &source.name(), &*images, &manifest)?)?;
    }
    let photographs = some_photographs(&*images, &manifest)?;
    let loaded = load_teacher(&arguments.teacher, teacher_path, photographs, &stop)?;
    let wanted = store_info(arguments, &loaded, &*source, &manifest, manifest_sha256.clone())?;
    let is_new = existing.is_none();
    let store = match existing {
        Some(store) => {
            refuse(&out, store.info().differences(&wanted))?;
            store
        }
        None => StoreWriter::create(&out, wanted, &manifest, options())?,
    };
    note_index(&store, new_index.as_deref());

    let state = store.part_state(&|bytes_to_read| {
        say(&format!("comparing {} of labels that were not compared since they were copied", bytes(bytes_to_read)));
    })?;
    say_what_is_repaired(&store, &state);
    say_where_it_died(&store, &manifest);
    let before = StoreStatus::from_records(store.info(), part, &state.done);
    let done_before = if arguments.retry_failed { before.labelled } else { before.labelled + before.failed };
    if !global.quiet {
        announce(&store, is_new, &before, &loaded, &source.what());
        if !part.is_whole() {
            announce_part(&store, part, part_from);
        }
    }
    let classes: ClassList = (&store.info().classes).into();
    let job = Job {
        images: &*images,
        // An image that was mended has another length.
        length_check: if arguments.retry_failed { LengthCheck::AsItIs } else { LengthCheck::AsListed },
        manifest: &manifest,
        info: store.info(),
        shards: shards_to_do(state, arguments.retry_failed),
        preprocessing: preprocessing(&loaded),
        decoder: loaded.decoder.clone(),
        rounding: rounding(store.info()),
        threads: loaded.threads,
    };
    let to =
        Destination { store: &store, classes_by_label: classes.by_label(), failure_limit: failure_limit(arguments) };
    let failed_before = if arguments.retry_failed { 0 } else { before.failed };
    let workers = Workers { threads: loaded.threads, sessions: loaded.teachers.len() };
    let progress = Progress::new(before.images, done_before, failed_before, workers, global.quiet, stop);
    let teachers = boxed(loaded.teachers);
    let result = pipeline::run(&job, &to, teachers, &progress);
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
            say_what_is_kept(&status, &out);
        }
        return Err(error);
    }
    check_complete(&status, &out)?;
    let summary = Summary {
        out: &out,
        part,
        status: &status,
        done_now,
        seconds,
        images_per_s,
        slowest: progress.bottleneck(),
        manifest: &manifest,
        rows: store.info().part_rows(part),
        warning: store.info().locality_warning(),
    };
    output.result(&summary.words(), &summary.document())?;
    Ok(if status.failed == 0 { Outcome::Done } else { Outcome::DoneWithProblems })
}

/// Failing images in a row after which a run makes no sense, where `--max-failures` says nothing else.
const FAILURES_IN_A_ROW: usize = 1000;

fn failure_limit(arguments: &RunArguments) -> FailureLimit {
    match arguments.max_failures {
        Some(failures) => FailureLimit::InAll(failures),
        None if arguments.retry_failed => FailureLimit::Never,
        None => FailureLimit::InARow(FAILURES_IN_A_ROW),
    }
}

/// The store to go on with and its list, or a new list; and the list's digest.
fn store_or_list(
    arguments: &RunArguments,
    source: &dyn Source,
    out: &Path,
    options: WriterOptions,
) -> Result<(Option<StoreWriter>, Manifest, Digest), Error> {
    if StoreWriter::exists(out)? {
        let (store, manifest) = StoreWriter::resume(out, options, &mut || new_manifest(arguments, source))?;
        let manifest_sha256 = store.info().manifest_sha256.clone();
        return Ok((Some(store), manifest, manifest_sha256));
    }
    StoreWriter::check_free(out)?;
    let manifest = new_manifest(arguments, source)?;
    let manifest_sha256 = manifest_digest(&manifest)?;
    Ok((None, manifest, manifest_sha256))
}

/// Notes where the images lie, so that the next run need not list the source's archives again.
fn note_index(store: &StoreWriter, new_index: Option<&[u8]>) {
    if let Some(index) = new_index
        && let Err(error) = store.write_source_index(index)
    {
        tracing::warn!("where the images lie could not be noted: {error}");
    }
}

/// The shards that have no labels, and with `retry_failed` the failed images of the others.
fn shards_to_do(state: PartState, retry_failed: bool) -> Vec<ShardWork> {
    let mut work: Vec<ShardWork> =
        state.to_do.into_iter().map(|shard| ShardWork { shard, images: ImagesToDo::All }).collect();
    if retry_failed {
        work.extend(state.done.into_iter().filter(|record| !record.failed.is_empty()).map(|record| ShardWork {
            shard: record.shard,
            images: ImagesToDo::These(record.failed.iter().map(|failed| failed.row).collect()),
        }));
        work.sort_by_key(|work| work.shard);
    }
    work
}

fn say_what_is_kept(status: &StoreStatus, out: &Path) {
    say(&format!(
        "{} of {} images are kept in {}. The same command goes on",
        thousands(status.labelled + status.failed),
        thousands(status.images),
        printable_path(out)
    ));
}

fn say_what_is_repaired(store: &StoreWriter, state: &PartState) {
    for file in store.repaired() {
        say(&format!("{file} was damaged or gone, and has been made again"));
    }
    for damage in &state.damaged {
        say(&format!("{damage}: the shard is made again"));
    }
}

/// Names the images that the last run may have died of.
fn say_where_it_died(store: &StoreWriter, manifest: &Manifest) {
    const NAMED: usize = 8;
    let rows: Vec<usize> =
        store.in_flight().crashed_rows().iter().copied().filter(|&row| row < manifest.len()).collect();
    if rows.is_empty() {
        return;
    }
    let named: Vec<&str> = rows.iter().take(NAMED).map(|&row| manifest.path(row)).collect();
    let more = if rows.len() > NAMED { format!(" and {} more", rows.len() - NAMED) } else { String::new() };
    say(&format!(
        "the last run ended without warning while it decoded {}{more}; an image at which that happens again is recorded \
         as failed",
        named.join(", ")
    ));
}

fn leave_note(store: &StoreWriter, started: &str, note: Value) {
    let part = if store.part().is_whole() { String::new() } else { format!("-{}", store.part()) };
    let name = format!("{}{part}-{}", started.replace(':', ""), std::process::id());
    let Value::Object(note) = note else { return };
    if let Err(error) = store.write_run_note(&name, note) {
        tracing::warn!("no note of this run could be left: {error}");
    }
}

/// Refuses to go on with a store that differs from what is asked for.
pub fn refuse(out: &Path, differences: Vec<String>) -> Result<(), Error> {
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
pub fn early_differences(
    arguments: &RunArguments,
    there: &StoreInfo,
    source_name: &str,
    images: &dyn ImageReader,
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
    differences.extend(other_source(source_name, images, manifest)?);
    Ok(differences)
}

/// A source that has none of a sample of the manifest's images is another source.
fn other_source(source_name: &str, images: &dyn ImageReader, manifest: &Manifest) -> Result<Option<String>, Error> {
    const SAMPLE: usize = 64;
    let step = manifest.len().div_ceil(SAMPLE).max(1);
    let rows: Vec<usize> = (0..manifest.len()).step_by(step).collect();
    let mut found = 0;
    for &row in &rows {
        found += usize::from(images.looks_as_listed(row)?);
    }
    Ok((found * 2 < rows.len()).then(|| {
        format!(
            "manifest: of {} of its images that were looked for in {}, {} are there with the length that was listed (first: `{}`)",
            rows.len(),
            source_name,
            found,
            manifest.path(rows[0])
        )
    }))
}

fn announce(store: &StoreWriter, is_new: bool, before: &StoreStatus, loaded: &LoadedTeacher, source: &str) {
    let info = store.info();
    let (shape, proof) = (&loaded.description.shape, &loaded.description.proof);
    let devices: Vec<_> = loaded.devices.iter().map(ToString::to_string).collect();
    say(&format!(
        "{} sees {} pixels and gives {} cells, top {} of {} classes, on {}; {}; the rewrite holds (cells to {:.0e}, {})",
        info.teacher.name,
        shape.input_size,
        shape.map_size,
        shape.k,
        shape.class_count,
        devices.join(" and "),
        match loaded.description.locality {
            Locality::Structure => "cells are places by structure",
            Locality::Probe { .. } => "cells are places by probe",
            Locality::Unchecked => "cells are not checked to be places",
        },
        proof.cell_difference,
        if proof.linear() {
            format!("mean to {:.0e}", proof.mean_difference)
        } else {
            format!(
                "head not linear, so that the mean over cells is not the image's score: {:.2} apart",
                proof.mean_difference
            )
        },
    ));
    say(&if is_new {
        format!(
            "from {source}: {} in {}, into the new store {}",
            count(info.images, "image"),
            count(info.shards(), "shard"),
            printable_path(store.path())
        )
    } else {
        format!(
            "going on with {}, from {source}: {} of {} images are done",
            printable_path(store.path()),
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
