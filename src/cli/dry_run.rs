//! `relabel run --dry-run`: counts, measures a few batches, and says how long it will take and how large it will be.
//! Nothing is written.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use relabel::labelling::pipeline::{self, ImagesToDo, Job, ShardWork};
use relabel::labelling::source::{self, LengthCheck, ListedImages, Located};
use relabel::labelling::teacher::Device;
use relabel::shared::error::Error;
use relabel::shared::monitor::Monitor;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{
    Agreement, FailedImage, Part, ShardLabels, StoreInfo, StoreReader, StoreStatus, StoreWriter, encode_shard,
};
use serde_json::{Value, json};

use super::args::RunArguments;
use super::clock::in_words;
use super::output::{Output, bytes, count, path_json, thousands};
use super::plan::{
    boxed, default_store, load_teacher, manifest_digest, new_manifest, preprocessing, rounding, some_photographs,
    store_info,
};
use super::run::{early_differences, refuse};
use super::{Outcome, raised, stop_flag, task};

/// Batches that each session is measured with; its first one only warms up.
const SAMPLE_BATCHES: usize = 6;

pub fn run(arguments: &RunArguments, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag();
    let (part, _) = task::part(arguments.task)?;
    let teacher_path =
        arguments.teacher.teacher.as_deref().ok_or_else(|| Error::Usage("--teacher T.onnx is missing".to_owned()))?;
    let source = source::open(&arguments.source)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_store(&*source, teacher_path));
    let (there, manifest) = if StoreWriter::exists(&out)? {
        let reader = StoreReader::open(&out)?;
        let manifest = reader.manifest()?;
        (Some(reader), manifest)
    } else {
        StoreWriter::check_free(&out)?;
        (None, new_manifest(arguments, &*source)?)
    };
    let manifest_sha256 = manifest_digest(&manifest)?;
    let list = ListedImages { manifest: &manifest, manifest_sha256: &manifest_sha256, index: None };
    let Located { images, .. } = source.locate(&list)?;
    if let Some(reader) = &there {
        refuse(&out, early_differences(arguments, reader.info(), &source.name(), &*images, &manifest)?)?;
    }
    let photographs = some_photographs(&*images, &manifest)?;
    let loaded = load_teacher(&arguments.teacher, teacher_path, photographs, &stop)?;
    let wanted = store_info(arguments, &loaded, &*source, &manifest, manifest_sha256.clone())?;
    let info = match &there {
        Some(reader) => {
            refuse(&out, reader.info().differences(&wanted))?;
            reader.info().clone()
        }
        None => wanted,
    };
    let to_do = match &there {
        Some(_) => StoreStatus::read_part(&out, part)?.1.to_do,
        None => info.part_rows(part).len(),
    };
    let devices: Vec<String> = loaded.devices.iter().map(ToString::to_string).collect();
    let mut job = Job {
        images: &*images,
        length_check: LengthCheck::AsListed,
        manifest: &manifest,
        info: &info,
        shards: sample(&info, part, loaded.devices.len()),
        preprocessing: preprocessing(&loaded),
        decoder: loaded.decoder.clone(),
        rounding: rounding(&info),
        threads: loaded.threads,
    };
    if to_do == 0 {
        job.shards.clear();
    }
    let meter = Meter { stop, warming_up: loaded.devices.len(), done: Mutex::default() };
    let labels = pipeline::label(&job, boxed(loaded.teachers), &meter)?;
    let sample: Vec<_> = labels
        .into_iter()
        .map(|(row, labels)| {
            let (id, path) = (manifest.id(row).to_owned(), manifest.path(row).to_owned());
            labels.map_err(|error| FailedImage { row, id, path, error })
        })
        .collect();
    let estimate = Estimate {
        to_do,
        images: info.part_rows(part).len(),
        sample_images: sample.len(),
        sample_failed: sample.iter().filter(|image| image.is_err()).count(),
        images_per_s: meter.images_per_s(),
        devices: distinct(&loaded.devices),
        price_per_hour: arguments.price_per_hour,
        bytes_per_image: bytes_per_image(&info, sample)
            .map_err(|problem| Error::Store { path: out.clone(), problem: problem.into() })?,
        free_bytes: free_bytes(&out),
    };
    output.result(
        &estimate.words(&destination(&source.what(), &out, there.is_some(), &devices)),
        &estimate.document(&out, part),
    )?;
    Ok(Outcome::Done)
}

/// A few whole batches, spread evenly over the part.
fn sample(info: &StoreInfo, part: Part, sessions: usize) -> Vec<ShardWork> {
    let batches: Vec<(usize, std::ops::Range<usize>)> = part
        .shards(info.shards())
        .flat_map(|shard| {
            let rows = info.shard_rows(shard);
            let end = rows.end;
            rows.step_by(info.batch_images).map(move |first| (shard, first..end.min(first + info.batch_images)))
        })
        .collect();
    let count = (SAMPLE_BATCHES * sessions).min(batches.len());
    let chosen = (0..count).map(|at| batches[at * batches.len() / count].clone());
    chosen.map(|(shard, rows)| ShardWork { shard, images: ImagesToDo::These(rows.collect()) }).collect()
}

/// How many devices there are; two sessions can share one.
fn distinct(devices: &[Device]) -> usize {
    (0..devices.len()).filter(|&at| !devices[..at].contains(&devices[at])).count()
}

/// What the labels of the sample take when they are encoded as a shard; `None` when nothing was labelled.
fn bytes_per_image(
    info: &StoreInfo,
    images: Vec<Result<relabel::shared::label_map::ImageLabels, FailedImage>>,
) -> Result<Option<f64>, String> {
    let labelled = images.iter().filter(|image| image.is_ok()).count();
    if labelled == 0 {
        return Ok(None);
    }
    let info = StoreInfo { images: images.len(), shard_images: images.len(), ..info.clone() };
    let files = encode_shard(&info, &ShardLabels { shard: 0, images }).map_err(|problem| problem.to_string())?;
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(Some(bytes as f64 / labelled as f64))
}

/// Free space where the store is, or will be.
pub fn free_bytes(out: &Path) -> Option<u64> {
    let absolute = std::path::absolute(out).ok()?;
    let there = absolute.ancestors().find(|folder| folder.exists())?;
    let space = rustix::fs::statvfs(there).ok()?;
    Some(space.f_bavail * space.f_frsize)
}

fn destination(source: &str, out: &Path, exists: bool, devices: &[String]) -> String {
    let store = if exists { "the store" } else { "a new store," };
    format!("from {source} into {store} {}, on {}", printable_path(out), devices.join(" and "))
}

/// Notes when batches get done, and passes on the wish to stop.
struct Meter {
    stop: Arc<AtomicBool>,
    /// Batches that are not counted.
    warming_up: usize,
    done: Mutex<Vec<(Instant, usize)>>,
}

impl Meter {
    /// Images per second after the first batch of each session.
    fn images_per_s(&self) -> Option<f64> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = done.get(self.warming_up - 1..)?;
        let ((from, _), (to, _)) = (counted.first()?, counted.last()?);
        let seconds = (*to - *from).as_secs_f64();
        let images: usize = counted.iter().skip(1).map(|(_, images)| images).sum();
        (seconds > 0.0).then(|| images as f64 / seconds)
    }
}

impl Monitor for Meter {
    fn stop_requested(&self) -> bool {
        raised(&self.stop)
    }

    fn images_done(&self, labelled: usize, failed: usize, _: Agreement) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), labelled + failed));
    }
}

struct Estimate {
    images: usize,
    to_do: usize,
    sample_images: usize,
    sample_failed: usize,
    images_per_s: Option<f64>,
    devices: usize,
    /// Of one device.
    price_per_hour: Option<f64>,
    bytes_per_image: Option<f64>,
    free_bytes: Option<u64>,
}

impl Estimate {
    fn seconds(&self) -> Option<f64> {
        self.images_per_s.map(|rate| self.to_do as f64 / rate)
    }

    fn device_hours(&self) -> Option<f64> {
        self.seconds().map(|seconds| seconds / 3600.0 * self.devices as f64)
    }

    fn cost(&self) -> Option<f64> {
        Some(self.device_hours()? * self.price_per_hour?)
    }

    fn bytes(&self) -> Option<u64> {
        self.bytes_per_image.map(|per_image| (per_image * self.to_do as f64) as u64)
    }

    fn words(&self, what: &str) -> String {
        let mut words = format!(
            "would label {} of {} images {what}; nothing was written\n",
            thousands(self.to_do),
            thousands(self.images)
        );
        if self.sample_images > 0 {
            words += &format!("measured {}, {} failed\n", count(self.sample_images, "image"), self.sample_failed);
        }
        match (self.images_per_s, self.seconds()) {
            (Some(rate), Some(seconds)) => {
                let time = in_words(Duration::from_secs_f64(seconds));
                words += &format!("time     {time} at {rate:.1} images/s, as measured now\n");
            }
            _ if self.to_do > 0 => words += "time     not known: there were too few images to measure\n",
            _ => {}
        }
        if let (Some(cost), Some(hours), Some(price)) = (self.cost(), self.device_hours(), self.price_per_hour) {
            words += &format!("cost     {cost:.2}: {hours:.2} hours of a device at {price} each\n");
        }
        if let (Some(per_image), Some(total)) = (self.bytes_per_image, self.bytes()) {
            let free = self.free_bytes.map_or_else(String::new, |free| format!("; {} are free there", bytes(free)));
            words += &format!("disk     {} ({per_image:.0} bytes per image){free}\n", bytes(total));
            if self.free_bytes.is_some_and(|free| free < total) {
                words += "warning: that is more than is free\n";
            }
        }
        words
    }

    fn document(&self, out: &Path, part: Part) -> Value {
        json!({
            "dry_run": true,
            "store": path_json(out),
            "part": part.to_string(),
            "images": self.images,
            "to_do": self.to_do,
            "sample_images": self.sample_images,
            "sample_failed": self.sample_failed,
            "images_per_s": self.images_per_s,
            "hours": self.seconds().map(|seconds| seconds / 3600.0),
            "device_hours": self.device_hours(),
            "cost": self.cost(),
            "bytes_per_image": self.bytes_per_image,
            "bytes": self.bytes(),
            "free_bytes": self.free_bytes,
        })
    }
}
