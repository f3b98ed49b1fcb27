//! From the teacher's flags to a loaded and verified teacher.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use relabel::labelling::pixels::Decoder;
use relabel::labelling::source::{ImageReader, LengthCheck};
use relabel::labelling::teacher::{
    CardFile, CardValues, ClassifierDescription, Device, DeviceChoice, HalvingTeacher, Locality, OnnxClassifier,
    OnnxTeacher, PredictionTeacher, Runtime, Teacher, TeacherDescription, TeacherRequest, Views, weights_bytes,
};
use relabel::shared::error::Error;
use relabel::shared::manifest::Manifest;
use relabel::shared::printable::printable_path;
use relabel::shared::regular_file::metadata;

use super::args::TeacherFlags;
use super::host_limits::MemoryLimit;
use super::loaded_teacher::{LoadedDescription, LoadedTeacher};
use super::map_options::MapRequest;
use super::output::{message, warning};
use super::raised;

/// Loads and verifies the teacher at `path`. `photographs` are files of some of the images to be labelled, if known: see
/// [`sample_photographs`].
///
/// # Errors
/// Returns [`Error::Usage`] if the flags contradict each other or the file does not exist, [`Error::Interrupted`] if `stop` is
/// raised, and the errors of [`OnnxTeacher::load`] and [`PredictionTeacher::load`].
pub fn load_teacher(
    flags: &TeacherFlags,
    path: &Path,
    maps: MapRequest,
    photographs: Vec<Vec<u8>>,
    stop: &AtomicBool,
) -> Result<LoadedTeacher, Error> {
    let Prepared { card, runtime, request } = prepare(flags, path, photographs)?;
    let load = |devices: &[Device]| {
        if maps == MapRequest::Omitted {
            return load_for_predictions(runtime, &request, devices, stop);
        }
        match load_with_maps(runtime, &request, devices, stop) {
            Err(Error::NoCells { .. }) if maps == MapRequest::IfPossible => {
                load_for_predictions(runtime, &request, devices, stop)
            }
            result => result,
        }
    };
    let (devices, (teachers, description)) = load_on_chosen(flags, path, load)?;
    let loaded = LoadedTeacher {
        teachers,
        description,
        k: request.k,
        devices,
        card,
        library: runtime.library().to_path_buf(),
        threads: request.threads,
        decoder: Decoder::new(flags.image_memory << 20, request.threads),
    };
    print_warnings(flags, path, maps, &loaded);
    Ok(loaded)
}

type Loaded = (Vec<Box<dyn Teacher>>, LoadedDescription);

fn load_with_maps(
    runtime: &Runtime,
    request: &TeacherRequest,
    devices: &[Device],
    stop: &AtomicBool,
) -> Result<Loaded, Error> {
    let (teachers, description) = OnnxTeacher::load(runtime, request, devices, &|| raised(stop))?;
    Ok((boxed(teachers), LoadedDescription::Maps(Box::new(description))))
}

fn load_for_predictions(
    runtime: &Runtime,
    request: &TeacherRequest,
    devices: &[Device],
    stop: &AtomicBool,
) -> Result<Loaded, Error> {
    let (teachers, description) = PredictionTeacher::load(runtime, request, devices, &|| raised(stop))?;
    Ok((boxed(teachers), LoadedDescription::Predictions(Box::new(description))))
}

/// A card, a loaded ONNX Runtime, and the request for a teacher.
struct Prepared {
    card: CardFile,
    runtime: &'static Runtime,
    request: TeacherRequest,
}

fn prepare(flags: &TeacherFlags, path: &Path, photographs: Vec<Vec<u8>>) -> Result<Prepared, Error> {
    if !metadata(path)?.is_some_and(|found| found.is_file()) {
        return Err(Error::Usage(format!(
            "cannot read teacher {}: file not found\n  help: check the path of the ONNX file",
            printable_path(path)
        )));
    }
    let card = CardFile::find(path, flags.card.as_deref())?;
    if flags.cuda.is_some() && !flags.device.may_use_cuda() {
        return Err(Error::Usage("--cuda requires a GPU\n  help: add --device cuda".to_owned()));
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
    Ok(Prepared { card, runtime, request })
}

/// A classifier that is not rewritten, on one device.
pub struct LoadedClassifier {
    pub classifier: OnnxClassifier,
    pub description: ClassifierDescription,
    pub threads: usize,
    pub decoder: Decoder,
}

/// Loads the classifier at `path` without rewriting it, on the first of the chosen devices.
///
/// # Errors
/// See [`load_teacher`].
pub fn load_classifier(flags: &TeacherFlags, path: &Path) -> Result<LoadedClassifier, Error> {
    let Prepared { runtime, request, .. } = prepare(flags, path, Vec::new())?;
    let load =
        |devices: &[Device]| OnnxClassifier::load(runtime, &request, devices.first().copied().unwrap_or(Device::Cpu));
    let (_, (classifier, description)) = load_on_chosen(flags, path, load)?;
    let threads = request.threads;
    Ok(LoadedClassifier { classifier, description, threads, decoder: Decoder::new(flags.image_memory << 20, threads) })
}

/// Calls `load` with the chosen devices, within the memory limit of teachers on the CPU. `--device auto` falls back to the
/// CPU. Returns the devices, and the result.
fn load_on_chosen<T>(
    flags: &TeacherFlags,
    path: &Path,
    load: impl Fn(&[Device]) -> Result<T, Error>,
) -> Result<(Vec<Device>, T), Error> {
    let tuning = flags.cuda.unwrap_or_default();
    let load_on =
        |devices: Vec<Device>| load_within_limit(flags, path, &devices, &load).map(|loaded| (devices, loaded));
    match &flags.device {
        DeviceChoice::These(devices) => load_on(devices.iter().map(|device| device.with_tuning(tuning)).collect()),
        DeviceChoice::Auto => match load_on(vec![Device::cuda(0).with_tuning(tuning)]) {
            Err(Error::Device { problem, .. }) => {
                message(&format!("CUDA is not available, so --device auto uses the CPU\n  cause: {problem}"));
                load_on(vec![Device::Cpu])
            }
            result => result,
        },
    }
}

fn load_within_limit<T>(
    flags: &TeacherFlags,
    path: &Path,
    devices: &[Device],
    load: impl Fn(&[Device]) -> Result<T, Error>,
) -> Result<T, Error> {
    // The CUDA driver reserves more address space than any limit of this kind.
    let on_cpu = devices.iter().all(|device| *device == Device::Cpu);
    let _limit = if on_cpu {
        let limit_bytes = flags.teacher_memory << 20;
        MemoryLimit::above_current(limit_bytes.saturating_add(weights_bytes(path)?.saturating_mul(16)))
    } else {
        None
    };
    load(devices).map_err(|error| match error {
        Error::DeviceMemory { message, .. } if on_cpu => Error::Teacher {
            path: path.to_path_buf(),
            problem: format!("not enough memory to load and verify: {message}").into(),
            advice: format!(
                "raise the limit with --teacher-memory {}, if you trust the file: a small one can request much memory",
                4 * flags.teacher_memory
            ),
        },
        error => error,
    })
}

fn print_warnings(flags: &TeacherFlags, path: &Path, maps: MapRequest, loaded: &LoadedTeacher) {
    match &loaded.description {
        LoadedDescription::Maps(description) => print_map_warnings(description, loaded.devices[0]),
        LoadedDescription::Predictions(description) => {
            if let Some(reason) = description.no_cells.as_ref().filter(|_| maps == MapRequest::IfPossible) {
                warning(&format!(
                    "teacher {} gives predictions only, and no label maps: {reason}",
                    printable_path(path)
                ));
            }
        }
    }
    if loaded.card.path.is_none() && !REQUIRED_CARD_FLAGS.iter().all(|is_given| is_given(flags)) {
        let card = loaded.description.card();
        warning(&format!(
            "{} has no card ({} not found): its input is {} pixels with mean {:?}, std {:?}, {}\n  help: if it was trained \
             otherwise, write a card or pass --mean, --std and --filter",
            printable_path(path),
            printable_path(&path.with_extension("toml")),
            card.input_size,
            card.mean,
            card.std,
            card.filter,
        ));
    }
}

fn print_map_warnings(description: &TeacherDescription, device: Device) {
    if let Some(text) = description.placement.as_ref().and_then(|placement| placement.warning(&device)) {
        warning(&text);
    }
    if let Locality::Unchecked = description.locality {
        warning("the card has locality = \"unchecked\": whether cells match image positions is not checked");
    }
    for text in &description.rewrite_check.warnings {
        warning(text);
    }
}

/// The flags that together replace a card.
const REQUIRED_CARD_FLAGS: [fn(&TeacherFlags) -> bool; 3] =
    [|flags| flags.mean.is_some(), |flags| flags.std.is_some(), |flags| flags.filter.is_some()];

fn card_values(flags: &TeacherFlags) -> CardValues {
    CardValues {
        input_size: flags.input_size,
        mean: flags.mean.map(|values| values.0),
        std: flags.std.map(|values| values.0),
        filter: flags.filter,
        channel_order: flags.channel_order.map(Into::into),
        classes: flags.classes.clone(),
        ..CardValues::default()
    }
}

/// Reads files of a few images, spread over the list. They are used to check that cells match image positions if the graph
/// structure is inconclusive.
///
/// # Errors
/// Returns an error if an image cannot be read for a reason other than the image itself.
pub fn sample_photographs(images: &dyn ImageReader, manifest: &Manifest) -> Result<Vec<Vec<u8>>, Error> {
    /// More than are needed, since some may not be readable.
    const SAMPLE: usize = 8;
    /// They stay in memory while the teacher is loaded.
    const MAX_BYTES: u64 = 16 << 20;
    let sample = manifest.len().min(SAMPLE);
    let rows = (0..sample).map(|at| at * manifest.len() / sample).filter(|&row| manifest.bytes(row) <= MAX_BYTES);
    let mut photographs = Vec::new();
    for row in rows {
        match images.read(row, LengthCheck::Ignore) {
            Ok(bytes) => photographs.push(bytes),
            Err(error) => drop(error.into_image_error()?),
        }
    }
    Ok(photographs)
}

/// Boxes the teachers for the pipeline. If the memory of a device is full, it gets smaller batches.
fn boxed<T: Teacher + 'static>(teachers: Vec<T>) -> Vec<Box<dyn Teacher>> {
    teachers.into_iter().map(|teacher| Box::new(HalvingTeacher::new(teacher)) as Box<dyn Teacher>).collect()
}
