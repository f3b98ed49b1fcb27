//! From what was typed to what the library needs: the only bridge.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use relabel::labelling::pipeline::Preprocessing;
use relabel::labelling::pixels::Decoder;
use relabel::labelling::source::{ImageReader, LengthCheck, Source, SplitsFound, splits_of_column};
use relabel::labelling::teacher::TeacherCard;
use relabel::labelling::teacher::card::LocalityCheck;
use relabel::labelling::teacher::{
    CardFile, CardValues, Description, Device, DeviceChoice, Halving, Locality, OnnxTeacher, Teacher, TeacherRequest,
    Views, weights_bytes,
};
use relabel::shared::digest::{Digest, digest_bytes};
use relabel::shared::error::Error;
use relabel::shared::label_map::ScoreRounding;
use relabel::shared::manifest::{Manifest, manifest_bytes};
use relabel::shared::printable::printable_path;
use relabel::shared::regular_file::look_at;
use relabel::shared::store::{FORMAT_VERSION, ScoreKind, StoreInfo, TeacherInfo, ZSTD_LEVEL};
use serde_json::{Value, json};

use super::args::{RunArguments, TeacherFlags};
use super::memory_limit::MemoryLimit;
use super::output::say;
use super::raised;

/// A loaded teacher and where it runs.
pub struct LoadedTeacher {
    pub teachers: Vec<OnnxTeacher>,
    pub description: Description,
    pub devices: Vec<Device>,
    pub card: CardFile,
    pub library: PathBuf,
    pub threads: usize,
    pub decoder: Decoder,
}

/// Loads and proves the teacher that the flags name, unless `stop` is raised meanwhile. `photographs` are files of some of
/// the images that will be labelled, where they are known: see [`some_photographs`].
pub fn load_teacher(
    flags: &TeacherFlags,
    path: &Path,
    photographs: Vec<Vec<u8>>,
    stop: &AtomicBool,
) -> Result<LoadedTeacher, Error> {
    if !look_at(path)?.is_some_and(|found| found.is_file()) {
        return Err(Error::Usage(format!("--teacher {}: there is no such file", printable_path(path))));
    }
    let card = CardFile::find(path, flags.card.as_deref())?;
    if flags.cuda.is_some() && !flags.device.may_use_cuda() {
        return Err(Error::Usage("--cuda is about GPUs: give --device cuda too".to_owned()));
    }
    let runtime = super::onnxruntime::load(flags.onnxruntime.as_deref(), &flags.device)?;
    let threads = flags.threads.unwrap_or_else(|| available_parallelism().map_or(1, NonZeroUsize::get));
    let request = TeacherRequest {
        path: path.to_path_buf(),
        card: card.clone(),
        flags: card_values(flags),
        k: flags.top_k,
        views: if flags.flip_average { Views::ImageAndMirror } else { Views::Image },
        with_lse: flags.with_lse,
        threads,
        photographs,
        scratch_folder: Some(std::env::temp_dir()),
    };
    let tuning = flags.cuda.unwrap_or_default();
    let load = |devices: &[Device]| {
        let limit = flags.teacher_memory << 20;
        // CUDA's driver reserves more than any limit of this kind.
        let on_cpu = devices.iter().all(|device| *device == Device::Cpu);
        let _held = if on_cpu {
            MemoryLimit::of_more(limit.saturating_add(weights_bytes(path)?.saturating_mul(16)))
        } else {
            None
        };
        OnnxTeacher::load(&runtime, &request, devices, &|| raised(stop)).map_err(|error| match error {
            Error::DeviceMemory { message, .. } if on_cpu => Error::Teacher {
                path: path.to_path_buf(),
                problem: format!("loading and proving it takes more memory than is allowed or there is: {message}")
                    .into(),
                advice: format!(
                    "--teacher-memory {} allows more; a small file that needs so much may have been made to do harm",
                    4 * flags.teacher_memory
                ),
            },
            error => error,
        })
    };
    let (devices, (teachers, description)) = match &flags.device {
        DeviceChoice::These(devices) => {
            let devices: Vec<_> = devices.iter().map(|device| device.tuned(tuning)).collect();
            let loaded = load(&devices)?;
            (devices, loaded)
        }
        DeviceChoice::Auto => {
            let cuda = vec![Device::cuda(0).tuned(tuning)];
            match load(&cuda) {
                Ok(loaded) => (cuda, loaded),
                Err(Error::Device { problem, .. }) => {
                    say(&format!("--device auto runs on the CPU, since CUDA cannot be used: {problem}"));
                    let cpu = vec![Device::Cpu];
                    let loaded = load(&cpu)?;
                    (cpu, loaded)
                }
                Err(error) => return Err(error),
            }
        }
    };
    if let Some(warning) = description.placement.as_ref().and_then(|placement| placement.warning(&devices[0])) {
        say(&format!("warning: {warning}"));
    }
    if let Locality::Unchecked = description.locality {
        say("warning: the card has locality = \"unchecked\": it is not checked that cells are places of the image");
    }
    for warning in &description.proof.warnings {
        say(&format!("warning: {warning}"));
    }
    if card.path.is_none() && !CARD_FLAGS.iter().all(|given| given(flags)) {
        say(&format!(
            "warning: {} has no card ({} is not there), so it is fed {} pixels with mean {:?}, std {:?}, {}. If it was \
             trained otherwise, write a card or give --mean, --std and --filter",
            printable_path(path),
            printable_path(&path.with_extension("toml")),
            description.card.input_size,
            description.card.mean,
            description.card.std,
            description.card.filter,
        ));
    }
    let decoder = Decoder::new(flags.image_memory << 20, threads);
    Ok(LoadedTeacher {
        teachers,
        description,
        devices,
        card,
        library: runtime.library().to_path_buf(),
        threads,
        decoder,
    })
}

/// Files of a few images, spread over the list: a teacher's cells are proved with them where its structure does not do.
///
/// # Errors
/// Returns the error of the machine that keeps one from being read.
pub fn some_photographs(images: &dyn ImageReader, manifest: &Manifest) -> Result<Vec<Vec<u8>>, Error> {
    /// Some cannot be read or decoded.
    const TRIED: usize = 8;
    /// They stay in memory while the teacher is loaded.
    const MAX_BYTES: u64 = 16 << 20;
    let tried = manifest.len().min(TRIED);
    let rows = (0..tried).map(|at| at * manifest.len() / tried).filter(|&row| manifest.bytes(row) <= MAX_BYTES);
    let mut photographs = Vec::new();
    for row in rows {
        match images.read(row, LengthCheck::AsItIs) {
            Ok(bytes) => photographs.push(bytes),
            Err(error) => drop(error.of_image()?),
        }
    }
    Ok(photographs)
}

/// The flags that together stand for a card.
const CARD_FLAGS: [fn(&TeacherFlags) -> bool; 3] =
    [|flags| flags.mean.is_some(), |flags| flags.std.is_some(), |flags| flags.filter.is_some()];

fn card_values(flags: &TeacherFlags) -> CardValues {
    CardValues {
        input_size: flags.input_size,
        mean: flags.mean.map(|three| three.0),
        std: flags.std.map(|three| three.0),
        filter: flags.filter,
        channel_order: flags.channel_order.map(Into::into),
        classes: flags.classes.clone(),
        ..CardValues::default()
    }
}

/// The list of a new store: the manifest that was named, or all images of the source. Several splits of a data set in one
/// list are refused unless they are asked for.
pub fn new_manifest(arguments: &RunArguments, source: &dyn Source) -> Result<Manifest, Error> {
    let (mut manifest, found) = if let Some(path) = &arguments.manifest {
        let (manifest, splits) = Manifest::read_with_splits(path)?;
        (manifest, splits_of_column(&splits).map(|found| (path, found)))
    } else {
        let manifest = source.list()?;
        let found = source.splits(&manifest);
        (manifest, found.map(|found| (&arguments.source, found)))
    };
    if let Some((path, SplitsFound { problem, is_clear })) = found.filter(|_| !arguments.all_splits) {
        if is_clear {
            let path = path.clone();
            return Err(match arguments.manifest {
                Some(_) => Error::Manifest { path, problem: problem.into() },
                None => Error::Source { path, problem: problem.into() },
            });
        }
        say(&format!("warning: {}: {problem}", printable_path(path)));
    }
    if let Some(limit) = arguments.limit {
        manifest.truncate(limit);
    }
    Ok(manifest)
}

/// The digest of a list's `manifest.parquet`.
pub fn manifest_digest(manifest: &Manifest) -> Result<Digest, Error> {
    let bytes = manifest_bytes(manifest).map_err(|problem| Error::Usage(format!("the list of images: {problem}")))?;
    Ok(digest_bytes(&bytes))
}

/// What a store of this run says of itself.
pub fn store_info(
    arguments: &RunArguments,
    loaded: &LoadedTeacher,
    source: &dyn Source,
    manifest: &Manifest,
    manifest_sha256: Digest,
) -> Result<StoreInfo, Error> {
    let description = &loaded.description;
    let shard_images = arguments.shard_size.unwrap_or(DEFAULT_SHARD_IMAGES).min(manifest.len().max(1));
    Ok(StoreInfo {
        format_version: FORMAT_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        teacher: teacher_info(description),
        k: description.shape.k,
        map_size: description.shape.map_size,
        score_kind: ScoreKind::Logits,
        score_steps: arguments.score_steps,
        zstd_level: Some(ZSTD_LEVEL),
        flip_average: arguments.teacher.flip_average,
        with_lse: arguments.teacher.with_lse,
        imported: None,
        images: manifest.len(),
        shard_images,
        batch_images: batch_images(arguments, loaded)?,
        manifest_sha256,
        limit: arguments.limit,
        source: source.name(),
        classes: (&description.card.classes).into(),
    })
}

/// What a store would say of itself if this teacher had made it, from the same list and with the same settings.
pub fn store_info_again(there: &StoreInfo, loaded: &LoadedTeacher) -> StoreInfo {
    let description = &loaded.description;
    StoreInfo {
        teacher: teacher_info(description),
        k: description.shape.k,
        map_size: description.shape.map_size,
        imported: None,
        classes: (&description.card.classes).into(),
        ..there.clone()
    }
}

/// How images become input pixels.
pub fn preprocessing(loaded: &LoadedTeacher) -> Preprocessing {
    let card = &loaded.description.card;
    Preprocessing { input_size: card.input_size, filter: card.filter, exif_orientation: card.exif_orientation }
}

/// How scores are rounded.
pub fn rounding(info: &StoreInfo) -> ScoreRounding {
    match info.score_steps {
        None => ScoreRounding::Float16,
        Some(steps_per_unit) => ScoreRounding::Steps { steps_per_unit },
    }
}

/// The teachers as the pipeline takes them. A device whose memory is full gets smaller batches.
pub fn boxed(teachers: Vec<OnnxTeacher>) -> Vec<Box<dyn Teacher>> {
    teachers.into_iter().map(|teacher| Box::new(Halving::new(teacher)) as Box<dyn Teacher>).collect()
}

/// A thousand records and a few thousand files for ImageNet, and a commit every minute or so on a processor.
const DEFAULT_SHARD_IMAGES: usize = 1024;

fn batch_images(arguments: &RunArguments, loaded: &LoadedTeacher) -> Result<usize, Error> {
    let on_cpu = loaded.devices.contains(&Device::Cpu);
    match (loaded.description.shape.fixed_batch, arguments.batch) {
        (Some(fixed), Some(asked)) if fixed != asked => Err(Error::Usage(format!(
            "--batch {asked}: the teacher's batch is fixed at {fixed}. Leave the flag out, or export it with a free batch"
        ))),
        (Some(fixed), _) => Ok(fixed),
        (None, Some(asked)) => Ok(asked),
        (None, None) => Ok(if on_cpu { 16 } else { 64 }),
    }
}

fn teacher_info(description: &Description) -> TeacherInfo {
    let card = &description.card;
    TeacherInfo {
        name: card.name.clone(),
        sha256: description.sha256.clone(),
        weights_sha256: description
            .weights_files
            .iter()
            .map(|file| (file.location.clone(), file.sha256.clone()))
            .collect(),
        locality: Some(description.locality.name().to_owned()),
        card: card_json(card),
        card_origins: card.origins.iter().map(|(key, origin)| ((*key).to_owned(), origin.to_string())).collect(),
    }
}

/// A card in force as JSON: what feeds the teacher first, remarks after it.
pub fn card_json(card: &TeacherCard) -> serde_json::Map<String, Value> {
    let mut json = serde_json::Map::new();
    json.insert("name".into(), json!(card.name));
    json.insert("input_size".into(), json!(card.input_size));
    json.insert("mean".into(), json!(card.mean));
    json.insert("std".into(), json!(card.std));
    json.insert("filter".into(), json!(card.filter));
    json.insert("channel_order".into(), json!(card.channel_order));
    json.insert("exif_orientation".into(), json!(card.exif_orientation));
    if let Some(grid) = card.grid {
        json.insert("grid".into(), json!(grid));
    }
    if let Some(layout) = card.layout {
        json.insert("layout".into(), json!(layout));
    }
    if card.locality == LocalityCheck::Unchecked {
        json.insert("locality".into(), json!(card.locality));
    }
    json.insert("classes".into(), json!(card.classes.source()));
    for (key, value) in &card.remarks {
        json.insert(key.clone(), json!(value));
    }
    json
}

/// `./<source>.<teacher>.labels`
pub fn default_store(source: &dyn Source, teacher: &Path) -> PathBuf {
    let stem = teacher.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("{}.{stem}.labels", source.name()))
}
