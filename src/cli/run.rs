//! `relabel run`

use std::path::Path;

use relabel::classes::ClassList;
use relabel::error::Error;
use relabel::label_map::ScoreRounding;
use relabel::manifest::Manifest;
use relabel::pipeline::{self, Job, Preprocessing};
use relabel::source::{FolderSource, Source};
use relabel::store::{StoreInfo, StoreStatus, StoreWriter};
use relabel::teacher::{Runtime, Teacher};
use serde_json::json;

use super::args::{Global, RunArguments};
use super::output::{Output, agreement_line, bytes, count, say, thousands};
use super::plan::{LoadedTeacher, default_store, load_teacher, new_manifest, store_info};
use super::progress::Progress;
use super::{Outcome, clock, stop_flag};

pub fn run(arguments: &RunArguments, global: &Global, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag()?;
    let started = clock::now();
    let teacher_path =
        arguments.teacher.teacher.as_deref().ok_or_else(|| Error::Usage("--teacher T.onnx is missing".to_owned()))?;
    let source = FolderSource::open(&arguments.source)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_store(&source, teacher_path));
    // What can be refused is refused before the teacher is loaded, which takes longest.
    let (existing, manifest) = if StoreWriter::exists(&out) {
        let (store, manifest) = StoreWriter::resume(&out)?;
        refuse(&out, early_differences(arguments, store.info(), &source, &manifest)?)?;
        (Some(store), manifest)
    } else {
        StoreWriter::check_free(&out)?;
        (None, new_manifest(arguments, &source)?)
    };
    let loaded = load_teacher(&arguments.teacher, teacher_path, &stop)?;
    let wanted = store_info(arguments, &loaded, &source, &manifest)?;
    let is_new = existing.is_none();
    let store = match existing {
        Some(store) => {
            refuse(&out, store.info().differences(&wanted))?;
            store
        }
        None => StoreWriter::create(&out, wanted, &manifest)?,
    };

    let (records, to_do) = store.progress()?;
    let before = StoreStatus::of_records(store.info(), &records);
    drop(records);
    let done_before = before.labelled + before.failed;
    if !global.quiet {
        announce(&store, is_new, done_before, &loaded);
    }
    let classes: ClassList = (&store.info().classes).into();
    let card = &loaded.description.card;
    let job = Job {
        source: &source,
        manifest: &manifest,
        store: &store,
        shards: to_do,
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
        threads: loaded.threads,
    };
    let progress = Progress::new(manifest.len(), done_before, before.failed, global.quiet, stop);
    let teachers = loaded.teachers.into_iter().map(|teacher| Box::new(teacher) as Box<dyn Teacher>).collect();
    let result = pipeline::run(&job, teachers, &progress);
    let (seconds, images_per_s) = progress.finish();

    let (_, status) = StoreStatus::read(&out)?;
    let done_now = status.labelled + status.failed - done_before;
    let devices: Vec<_> = loaded.devices.iter().map(ToString::to_string).collect();
    let note = json!({
        "started": started,
        "finished": clock::now(),
        "ended": match &result { Ok(()) => "done", Err(Error::Interrupted) => "interrupted", Err(_) => "failed" },
        "images": done_now,
        "seconds": seconds,
        "images_per_s": images_per_s,
        "slowest_stage": progress.bottleneck(),
        "devices": devices,
        "threads": loaded.threads,
        "onnxruntime": Runtime::build_info(),
        "tool_version": env!("CARGO_PKG_VERSION"),
    });
    let name = format!("{}-{}", started.replace(':', ""), std::process::id());
    if let Err(error) = store.note_run(&name, &note) {
        tracing::warn!("no note of this run could be left: {error}");
    }
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
        status: &status,
        done_now,
        seconds,
        images_per_s,
        slowest: progress.bottleneck(),
        manifest: &manifest,
    };
    output.result(&summary.words(), &summary.document());
    Ok(if status.failed == 0 { Outcome::Done } else { Outcome::DoneWithProblems })
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

fn announce(store: &StoreWriter, is_new: bool, done_before: usize, loaded: &LoadedTeacher) {
    let info = store.info();
    let (shape, proof) = (&loaded.description.shape, &loaded.description.proof);
    let devices: Vec<_> = loaded.devices.iter().map(ToString::to_string).collect();
    say(&format!(
        "{} sees {} pixels and gives {} cells, top {} of {} classes, on {}; the rewrite holds (cells to {:.0e}, {})",
        info.teacher.name,
        shape.input_size,
        shape.map_size,
        shape.k,
        shape.class_count,
        devices.join(" and "),
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
    let images = thousands(info.images);
    say(&if is_new {
        format!(
            "{} in {}, into the new store {}",
            count(info.images, "image"),
            count(info.shards(), "shard"),
            store.path().display()
        )
    } else {
        format!("going on with {}: {} of {images} images are done", store.path().display(), thousands(done_before))
    });
}

/// The end of a run.
struct Summary<'a> {
    out: &'a Path,
    status: &'a StoreStatus,
    done_now: usize,
    seconds: f64,
    images_per_s: f64,
    slowest: &'static str,
    manifest: &'a Manifest,
}

impl Summary<'_> {
    fn words(&self) -> String {
        let status = self.status;
        let mut words = format!("labelled {} of {} images", thousands(status.labelled), thousands(status.images));
        if self.done_now > 0 {
            words += &format!(
                "; now {} in {} ({:.1} images/s, slowest stage: {})",
                thousands(self.done_now),
                clock::in_words(std::time::Duration::from_secs_f64(self.seconds)),
                self.images_per_s,
                self.slowest
            );
        } else {
            words += "; there was nothing left to do";
        }
        words.push('\n');
        if let Some((kind, count)) = status.failures_by_kind.iter().max_by_key(|(_, count)| **count) {
            words += &format!(
                "failed   {}, most often: {kind} ({count}); the list: relabel status {} --failed\n",
                status.failed,
                self.out.display()
            );
        }
        words += &agreement_line(status.agreement);
        if let Some(per_image) = status.bytes_per_image {
            words += &format!("size     {} ({per_image:.0} bytes per image)\n", bytes(status.label_bytes));
        }
        words += &format!("store    {}\n", self.out.display());
        // From the middle of the list: broken files tend to stand at its ends.
        let half = self.manifest.len() / 2;
        let is_labelled = |row: &usize| status.failed_images.iter().all(|failed| failed.row != *row);
        let example = (half..self.manifest.len()).chain(0..half).find(is_labelled);
        if let Some(row) = example {
            words +=
                &format!("next     relabel inspect {} {}\n", self.out.display(), shell_word(self.manifest.id(row)));
        }
        words
    }

    fn document(&self) -> serde_json::Value {
        let status = self.status;
        json!({
            "store": self.out,
            "images": status.images,
            "labelled": status.labelled,
            "failed": status.failed,
            "images_now": self.done_now,
            "seconds": self.seconds,
            "images_per_s": self.images_per_s,
            "slowest_stage": self.slowest,
            "label_bytes": status.label_bytes,
            "bytes_per_image": status.bytes_per_image,
            "agreement": status.agreement,
            "failures_by_kind": status.failures_by_kind,
            "failed_images": status.failed_images,
        })
    }
}

/// A word that a shell takes as it is.
fn shell_word(word: &str) -> String {
    let plain = word.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(shell_word("n01/n01_1"), "n01/n01_1");
        assert_eq!(shell_word("a b'c"), r"'a b'\''c'");
    }
}
