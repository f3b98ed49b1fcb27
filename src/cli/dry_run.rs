//! `relabel run --dry-run`: counts images, measures a few batches, and estimates time and disk space. Nothing is written.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use relabel::labelling::pipeline::{self, ImagesToDo, Job, ShardWork};
use relabel::labelling::source::{self, LengthCheck, ListedImages, Located};
use relabel::labelling::teacher::Device;
use relabel::shared::error::Error;
use relabel::shared::geometry::InputSize;
use relabel::shared::label_map::ImageLabels;
use relabel::shared::monitor::Monitor;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{
    Agreement, FailedImage, Part, ShardLabels, StoreInfo, StoreReader, StoreStatus, StoreWriter, encode_shard,
};
use relabel::shared::tiles::{Covering, Tiles};
use serde_json::{Value, json};

use super::args::RunArguments;
use super::host_limits::free_bytes;
use super::load_teacher::{load_teacher, sample_photographs};
use super::map_options::{name_flag_for_maps, requested_maps};
use super::new_store::{default_store, manifest_digest, new_manifest, rounding, store_info};
use super::output::{Output, bytes, count, path_json, per_image, rate, significant, thousands};
use super::part_selection::selected_part;
use super::run::{early_differences, enlarged_line, refuse_differences, teacher_path};
use super::time_format::duration_text;
use super::{Outcome, raised, stop_flag};

/// Measured batches per session; the first one is the warm-up.
const SAMPLE_BATCHES: usize = 6;

pub fn run(arguments: &RunArguments, output: Output) -> Result<Outcome, Error> {
    let stop = stop_flag();
    let (part, _) = selected_part(arguments.part)?;
    let teacher_path = teacher_path(arguments)?;
    let source = source::open(&arguments.source)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_store(&*source, teacher_path));
    let (existing, manifest) = if StoreWriter::exists(&out)? {
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
    if let Some(reader) = &existing {
        let differences = early_differences(arguments, reader.info(), &source.name(), &*images, &manifest)?;
        refuse_differences(&out, differences)?;
    }
    let photographs = sample_photographs(&*images, &manifest)?;
    let mut loaded = load_teacher(&arguments.teacher, teacher_path, requested_maps(arguments), photographs, &stop)
        .map_err(|error| name_flag_for_maps(arguments, error))?;
    let new_info = store_info(arguments, &loaded, &*source, &manifest, manifest_sha256.clone())?;
    let info = match &existing {
        Some(reader) => {
            refuse_differences(&out, reader.info().differences(&new_info))?;
            reader.info().clone()
        }
        None => new_info,
    };
    let to_do = match &existing {
        Some(_) => StoreStatus::read_part(&out, part)?.1.to_do,
        None => info.part_rows(part).len(),
    };
    let teachers = std::mem::take(&mut loaded.teachers);
    let mut job = Job {
        images: &*images,
        length_check: LengthCheck::MatchManifest,
        manifest: &manifest,
        info: &info,
        shards: sample_batches(&info, part, loaded.devices.len()),
        preprocessing: loaded.preprocessing(),
        decoder: loaded.decoder.clone(),
        rounding: rounding(&info),
        threads: loaded.threads,
    };
    if to_do == 0 {
        job.shards.clear();
    }
    let meter = RateMeter {
        stop,
        warm_up_batches: loaded.devices.len(),
        batches: Mutex::default(),
        tiles_enlarged: AtomicUsize::new(0),
    };
    let labels = pipeline::label(&job, teachers, &meter)?;
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
        devices: distinct_devices(&loaded.devices),
        price_per_hour: arguments.price_per_hour,
        bytes_per_image: bytes_per_image(&info, sample)?,
        free_bytes: free_bytes(&out),
        tile_count: info.tiles.as_ref().map_or(0, Tiles::count),
        tiles_enlarged: meter.tiles_enlarged.load(Ordering::Relaxed),
        input_size: loaded.preprocessing().input_size,
    };
    let plan = plan_text(&source.description(), &out, existing.is_some(), &loaded.device_names());
    output.result(&estimate.text(&plan), &estimate.document(&out, part))?;
    Ok(Outcome::Done)
}

/// Returns a few full batches, spread evenly over the part.
fn sample_batches(info: &StoreInfo, part: Part, sessions: usize) -> Vec<ShardWork> {
    let batches: Vec<(usize, std::ops::Range<usize>)> = part
        .shards(info.shards())
        .flat_map(|shard| {
            let rows = info.shard_rows(shard);
            let end = rows.end;
            rows.step_by(info.batch_images).map(move |first| (shard, first..end.min(first + info.batch_images)))
        })
        .collect();
    let count = (SAMPLE_BATCHES * sessions).min(batches.len());
    let sample = (0..count).map(|at| batches[at * batches.len() / count].clone());
    sample.map(|(shard, rows)| ShardWork { shard, images: ImagesToDo::These(rows.collect()) }).collect()
}

/// Counts the devices; two sessions can share one.
fn distinct_devices(devices: &[Device]) -> usize {
    (0..devices.len()).filter(|&at| !devices[..at].contains(&devices[at])).count()
}

/// Encodes the labels of the sample as a shard, and returns its size per labelled image; `None` if nothing was labelled.
fn bytes_per_image(info: &StoreInfo, images: Vec<Result<ImageLabels, FailedImage>>) -> Result<Option<f64>, Error> {
    let labelled = images.iter().filter(|image| image.is_ok()).count();
    if labelled == 0 {
        return Ok(None);
    }
    let info = StoreInfo { images: images.len(), shard_images: images.len(), ..info.clone() };
    let files = encode_shard(&info, &ShardLabels { shard: 0, images })
        .map_err(|problem| Error::Internal { action: "encode the sample".to_owned(), problem: problem.into() })?;
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(Some(bytes as f64 / labelled as f64))
}

fn plan_text(source: &str, out: &Path, exists: bool, devices: &[String]) -> String {
    let store = if exists { "store" } else { "new store" };
    format!("from {source} into {store} {}, on {}", printable_path(out), devices.join(" and "))
}

/// Measures the rate of batches, and passes a requested stop on to the pipeline.
struct RateMeter {
    stop: Arc<AtomicBool>,
    /// Batches that are not measured.
    warm_up_batches: usize,
    /// End and images of each batch.
    batches: Mutex<Vec<(Instant, usize)>>,
    tiles_enlarged: AtomicUsize,
}

impl RateMeter {
    /// Returns the images per second after the first batch of each session.
    fn images_per_s(&self) -> Option<f64> {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let measured = batches.get(self.warm_up_batches - 1..)?;
        let ((from, _), (to, _)) = (measured.first()?, measured.last()?);
        let seconds = (*to - *from).as_secs_f64();
        let images: usize = measured.iter().skip(1).map(|(_, images)| images).sum();
        (seconds > 0.0).then(|| images as f64 / seconds)
    }
}

impl Monitor for RateMeter {
    fn stop_requested(&self) -> bool {
        raised(&self.stop)
    }

    fn tiles_enlarged(&self) {
        self.tiles_enlarged.fetch_add(1, Ordering::Relaxed);
    }

    fn images_done(&self, labelled: usize, failed: usize, _: Agreement) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), labelled + failed));
    }
}

struct Estimate {
    images: usize,
    to_do: usize,
    sample_images: usize,
    sample_failed: usize,
    images_per_s: Option<f64>,
    devices: usize,
    /// Price of one device.
    price_per_hour: Option<f64>,
    bytes_per_image: Option<f64>,
    free_bytes: Option<u64>,
    tile_count: usize,
    tiles_enlarged: usize,
    input_size: InputSize,
}

/// Cost of a covering, extrapolated from the measured one: the time of an image grows with the number of runs of the teacher.
struct CoveringCost {
    name: &'static str,
    runs: usize,
    device_hours: Option<f64>,
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

    /// Returns the cost of no tiles and of each covering.
    fn coverings(&self) -> Vec<CoveringCost> {
        let hours_per_run = self.device_hours().map(|hours| hours / (1 + self.tile_count) as f64);
        let cost = |name, tiles| CoveringCost {
            name,
            runs: 1 + tiles,
            device_hours: hours_per_run.map(|hours| hours * (1 + tiles) as f64),
        };
        let coverings = Covering::ALL.iter().map(|(name, covering)| cost(name, covering.boxes().len()));
        std::iter::once(cost("none", 0)).chain(coverings).collect()
    }

    fn coverings_text(&self) -> String {
        let mut text = String::from("tiles    runs of the teacher per image, estimated device-hours\n");
        for covering in self.coverings() {
            let hours = covering.device_hours.map_or("unknown".to_owned(), significant);
            let mark = if covering.runs == 1 + self.tile_count { "  (measured)" } else { "" };
            text += &format!("         {:<5} {:>3}  {hours}{mark}\n", covering.name, covering.runs);
        }
        text + &enlarged_line(self.tiles_enlarged, self.sample_images, self.input_size)
    }

    fn text(&self, plan: &str) -> String {
        let mut text = format!(
            "would label {} of {} images {plan}; nothing was written\n",
            thousands(self.to_do),
            thousands(self.images)
        );
        if self.sample_images > 0 {
            let failed = thousands(self.sample_failed);
            text += &format!("sample   {}, {failed} failed\n", count(self.sample_images, "image"));
        }
        match (self.images_per_s, self.seconds()) {
            (Some(images_per_s), Some(seconds)) => {
                let time = duration_text(Duration::from_secs_f64(seconds));
                text += &format!("time     {time} at {}, as measured on the sample\n", rate(images_per_s));
            }
            _ if self.to_do > 0 => text += "time     unknown: too few images to measure\n",
            _ => {}
        }
        if let (Some(cost), Some(hours), Some(price)) = (self.cost(), self.device_hours(), self.price_per_hour) {
            text += &format!("cost     {cost:.2} ({} device-hours at {price:.2} per hour)\n", significant(hours));
        }
        if let (Some(bytes_per_image), Some(total)) = (self.bytes_per_image, self.bytes()) {
            let free = self.free_bytes.map_or_else(String::new, |free| format!("; {} free", bytes(free)));
            text += &format!("disk     {} ({}){free}\n", bytes(total), per_image(bytes_per_image));
            if self.free_bytes.is_some_and(|free| free < total) {
                text += "warning  not enough free disk space\n";
            }
        }
        if self.to_do > 0 {
            text += &self.coverings_text();
        }
        text
    }

    fn document(&self, out: &Path, part: Part) -> Value {
        let cost = |covering: CoveringCost| json!({ "covering": covering.name, "runs": covering.runs, "device_hours": covering.device_hours });
        let coverings: Vec<Value> = self.coverings().into_iter().map(cost).collect();
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
            "tiles": self.tile_count,
            "tiles_enlarged": self.tiles_enlarged,
            "coverings": coverings,
        })
    }
}
