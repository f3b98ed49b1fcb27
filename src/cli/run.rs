//! `relabel run`

mod messages;
mod run_summary;
mod settings_check;

use std::path::Path;

use relabel::labelling::pipeline::{self, Destination, FailureLimit, ImagesToDo, Job, ShardWork};
use relabel::labelling::source::{self, LengthCheck, ListedImages, Located, Source};
use relabel::labelling::teacher::Runtime;
use relabel::shared::classes::ClassList;
use relabel::shared::digest::Digest;
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::store::{PartState, StoreStatus, StoreWriter, WriterOptions};
use serde_json::{Value, json};

use super::args::{Global, RunArguments};
use super::load_teacher::{load_teacher, sample_photographs};
use super::map_options::{name_flag_for_maps, requested_maps};
use super::new_store::{default_store, manifest_digest, new_manifest, rounding, store_info};
use super::output::{CommandResult, Output};
use super::part_selection::{selected_part, writer_name};
use super::run_progress::{RunProgress, Workers};
use super::time_format::utc_now;
use super::{Outcome, stop_flag};

pub use run_summary::enlarged_line;
use run_summary::{RunSummary, check_complete};
pub use settings_check::{early_differences, refuse_differences};

pub fn run(arguments: &RunArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    output.command(&label(arguments, global)?)
}

/// Labels the images and returns the summary.
pub fn label(arguments: &RunArguments, global: &Global) -> Result<CommandResult, Error> {
    let stop = stop_flag();
    let started = utc_now();
    let (part, part_origin) = selected_part(arguments.part)?;
    let options = || WriterOptions { part, holder: writer_name(), ..WriterOptions::default() };
    let teacher_path = teacher_path(arguments)?;
    let source = source::open(&arguments.source)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_store(&*source, teacher_path));
    // Everything that can be checked without the teacher comes before loading it, which takes longest.
    let (existing, manifest, manifest_sha256) = store_or_manifest(arguments, &*source, &out, options())?;
    let index = existing.as_ref().and_then(StoreWriter::source_index);
    let Located { images, new_index } =
        source.locate(&ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index })?;
    if let Some(store) = &existing {
        let differences = early_differences(arguments, store.info(), &source.name(), &*images, &manifest)?;
        refuse_differences(&out, differences)?;
    }
    let photographs = sample_photographs(&*images, &manifest)?;
    let mut loaded = load_teacher(&arguments.teacher, teacher_path, requested_maps(arguments), photographs, &stop)
        .map_err(|error| name_flag_for_maps(arguments, error))?;
    let info = store_info(arguments, &loaded, &*source, &manifest, manifest_sha256.clone())?;
    let is_new = existing.is_none();
    let store = match existing {
        Some(store) => {
            refuse_differences(&out, store.info().differences(&info))?;
            store
        }
        None => StoreWriter::create(&out, info, &manifest, options())?,
    };
    write_source_index(&store, new_index.as_deref());

    let state = store.part_state(&messages::print_comparison)?;
    messages::print_repairs(&store, &state);
    messages::print_crash(&store, &manifest);
    let before = StoreStatus::from_records(store.info(), part, &state.done);
    messages::print_start(&store, is_new, &before, &loaded, &source.description());
    messages::print_part(&store, part, part_origin);
    let (done_before, failed_before) =
        if arguments.retry_failed { (before.labelled, 0) } else { (before.labelled + before.failed, before.failed) };
    let workers = Workers { threads: loaded.threads, sessions: loaded.teachers.len() };
    let progress = RunProgress::new(before.images, done_before, failed_before, workers, global.quiet, stop);
    let teachers = std::mem::take(&mut loaded.teachers);
    let classes: ClassList = (&store.info().classes).into();
    let destination =
        Destination { store: &store, classes: classes.by_folder_class(), failure_limit: failure_limit(arguments) };
    let job = Job {
        images: &*images,
        // Images may have been repaired, and differ from the manifest's sizes.
        length_check: if arguments.retry_failed { LengthCheck::Ignore } else { LengthCheck::MatchManifest },
        manifest: &manifest,
        info: store.info(),
        shards: shards_to_do(state, arguments.retry_failed),
        preprocessing: loaded.preprocessing(),
        decoder: loaded.decoder.clone(),
        rounding: rounding(store.info()),
        threads: loaded.threads,
    };
    let result = pipeline::run(&job, &destination, teachers, &progress);
    let (seconds, images_per_s) = progress.finish();

    let (_, status) = StoreStatus::read_part(&out, part)?;
    let done_now = progress.images_done_now();
    let note = json!({
        "started": started,
        "finished": utc_now(),
        "ended": match &result { Ok(()) => "done", Err(Error::Interrupted) => "interrupted", Err(_) => "failed" },
        "part": part.to_string(),
        "images": done_now,
        "seconds": seconds,
        "images_per_s": images_per_s,
        "slowest_stage": progress.slowest_stage(),
        "devices": loaded.device_names(),
        "threads": loaded.threads,
        "onnxruntime": Runtime::build_info(),
        "tiles_enlarged": progress.tiles_enlarged(),
        "tool_version": env!("CARGO_PKG_VERSION"),
    });
    write_run_note(&store, &started, note);
    if let Err(error) = result {
        if matches!(error, Error::Interrupted) {
            messages::print_interrupted(&status, &out);
        }
        return Err(error);
    }
    check_complete(&status, &out)?;
    let summary = RunSummary {
        out: &out,
        part,
        status: &status,
        done_now,
        seconds,
        images_per_s,
        slowest_stage: progress.slowest_stage(),
        manifest: &manifest,
        rows: store.info().part_rows(part),
        warning: store.info().locality_warning(),
        tiles_enlarged: progress.tiles_enlarged(),
        input_size: loaded.preprocessing().input_size,
    };
    Ok(CommandResult {
        outcome: if status.failed == 0 { Outcome::Done } else { Outcome::DoneWithProblems },
        text: summary.text(),
        document: summary.document(),
    })
}

/// Returns the teacher's path, which clap requires.
pub fn teacher_path(arguments: &RunArguments) -> Result<&Path, Error> {
    arguments
        .teacher
        .teacher
        .as_deref()
        .ok_or_else(|| Error::Usage("--teacher is missing\n  help: pass --teacher MODEL.onnx".to_owned()))
}

/// Failures in a row that stop a run without `--max-failures`.
const MAX_FAILURES_IN_A_ROW: usize = 1000;

fn failure_limit(arguments: &RunArguments) -> FailureLimit {
    match arguments.max_failures {
        Some(failures) => FailureLimit::InAll(failures),
        None if arguments.retry_failed => FailureLimit::Never,
        None => FailureLimit::InARow(MAX_FAILURES_IN_A_ROW),
    }
}

/// Returns the store to resume with its manifest, or the manifest of a new store; and the manifest's digest.
fn store_or_manifest(
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

/// Stores the positions of the images in the source's archives, so the next run does not list the archives again.
fn write_source_index(store: &StoreWriter, new_index: Option<&[u8]>) {
    if let Some(index) = new_index
        && let Err(error) = store.write_source_index(index)
    {
        tracing::warn!("cannot store the source index: {error}");
    }
}

/// Returns the shards without labels, and with `retry_failed` also the failed images of the others.
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

fn write_run_note(store: &StoreWriter, started: &str, note: Value) {
    let part = if store.part().is_whole() { String::new() } else { format!("-{}", store.part()) };
    let name = format!("{}{part}-{}", started.replace(':', ""), std::process::id());
    let Value::Object(note) = note else { return };
    if let Err(error) = store.write_run_note(&name, note) {
        tracing::warn!("cannot store the note of this run: {error}");
    }
}
