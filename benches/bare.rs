//! Speed without the pipeline: the rewritten teacher alone on prepared pixels, and reading, decoding and resizing alone.
//! `scripts/bench` compares a complete run with their sum. Also costs of large lists: listing alone, committing records
//! of a large store, and a large store that repeats the label maps of a small one.
//!
//! ```text
//! bare session --teacher T.onnx --input-size 224 --batch 16 --threads 2 --images 512 --json
//! bare session --teacher T.onnx --input-size 224 --batch 64 --threads 2 --images 8192 --device cuda:0,cuda:0 --cuda nhwc --json
//! bare pixels --in FOLDER --input-size 224 --threads 2 --json
//! bare list --in SOURCE --json
//! bare records --out STORE --leave 1 --json
//! bare copies --from STORE --out STORE --images 100000 --json
//! ```
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use relabel::labelling::pixels::{ExifOrientation, Filter, decode_into};
use relabel::labelling::source::{self, FolderSource, LengthCheck, ListedImages, Source as _};
use relabel::labelling::teacher::{
    CardFile, CardValues, CudaTuning, DeviceChoice, OnnxTeacher, PixelBatch, Runtime, RuntimeSearch, Teacher as _,
    TeacherRequest, Views,
};
use relabel::shared::digest::digest_bytes;
use relabel::shared::geometry::InputSize;
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding};
use relabel::shared::manifest::{Manifest, ManifestEntry, manifest_bytes};
use relabel::shared::store::{
    Agreement, RowState, ShardLabels, StoreInfo, StoreReader, StoreWriter, WriterOptions, encode_shard,
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench" && arg != "--json").collect();
    let Some((command, rest)) = args.split_first() else { return };
    let flags: HashMap<&str, &str> =
        rest.as_chunks::<2>().0.iter().map(|[flag, value]| (flag.as_str(), value.as_str())).collect();
    let (images, measured) = match command.as_str() {
        "session" => session(&flags),
        "pixels" => pixels(&flags),
        "list" => list(&flags),
        "records" => records(&flags),
        "copies" => copies(&flags),
        _ => panic!("usage: bare session|pixels|list|records|copies"),
    };
    println!(r#"{{"images": {images}, "wall_s": {:.6}, "cpu_s": {:.6}}}"#, measured.wall_s, measured.cpu_s);
}

struct Measured {
    wall_s: f64,
    cpu_s: f64,
}

fn measure(work: impl FnOnce()) -> Measured {
    let (started, cpu_before) = (Instant::now(), cpu_seconds());
    work();
    Measured { wall_s: started.elapsed().as_secs_f64(), cpu_s: cpu_seconds() - cpu_before }
}

/// Labels one batch of pixels repeatedly, with the rewritten graph, batch size, threads and devices of a run. Sessions
/// share the batches.
fn session(flags: &HashMap<&str, &str>) -> (usize, Measured) {
    let path = PathBuf::from(flags["--teacher"]);
    let size: InputSize = flags["--input-size"].parse().unwrap();
    let (batch, threads, images) = (number(flags, "--batch"), number(flags, "--threads"), number(flags, "--images"));
    let DeviceChoice::These(devices) = flags.get("--device").unwrap_or(&"cpu").parse().unwrap() else {
        panic!("--device auto does not determine what is measured")
    };
    let tuning: CudaTuning = flags.get("--cuda").map(|settings| settings.parse().unwrap()).unwrap_or_default();
    let devices: Vec<_> = devices.into_iter().map(|device| device.with_tuning(tuning)).collect();
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv");
    let search = RuntimeSearch {
        named: std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from),
        python_environments: vec![environment.clone()],
        ..RuntimeSearch::default()
    };
    let library = search.find().unwrap();
    // CUDA libraries at other locations are found through LD_LIBRARY_PATH.
    let next_to_library = library.ancestors().nth(3).map(Path::to_path_buf).into_iter();
    let site_packages = next_to_library.chain(RuntimeSearch::site_packages_of(&environment)).collect();
    let runtime = Runtime::load(&library).unwrap().with_cuda_site_packages(site_packages);
    let request = TeacherRequest {
        card: CardFile::find(&path, None).unwrap(),
        path,
        flags: CardValues { input_size: Some(size), ..CardValues::default() },
        k: 5,
        views: Views::Image,
        with_lse: false,
        threads,
        photographs: Vec::new(),
        scratch_folder: Some(std::env::temp_dir()),
    };
    let mut teachers = OnnxTeacher::load(&runtime, &request, &devices, &|| false).unwrap().0;
    let bytes = (0..batch * size.rgb_bytes()).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let pixels = PixelBatch::new(batch, size, bytes);
    // Some devices reach their final speed only after the second run.
    for _ in 0..2 {
        for teacher in &mut teachers {
            teacher.label(&pixels).unwrap();
        }
    }
    let runs = images.div_ceil(batch);
    let started = AtomicUsize::new(0);
    let measured = measure(|| {
        std::thread::scope(|scope| {
            for teacher in &mut teachers {
                scope.spawn(|| {
                    while started.fetch_add(1, Ordering::Relaxed) < runs {
                        teacher.label(&pixels).unwrap();
                    }
                });
            }
        });
    });
    (runs * batch, measured)
}

/// Reads, decodes and resizes every image of a folder.
fn pixels(flags: &HashMap<&str, &str>) -> (usize, Measured) {
    let source = FolderSource::open(Path::new(flags["--in"])).unwrap();
    let size: InputSize = flags["--input-size"].parse().unwrap();
    let manifest = source.list().unwrap();
    let list = ListedImages { manifest: &manifest, manifest_sha256: &digest_bytes(b""), index: None };
    let images = source.locate(&list).unwrap().images;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(flags, "--threads")).build().unwrap();
    let one = |row: usize| {
        let mut pixels = vec![0; size.rgb_bytes()];
        let bytes = images.read(row, LengthCheck::MatchManifest).unwrap();
        // Broken files are measured as well.
        let _ = decode_into(&bytes, ExifOrientation::Ignore, size, Filter::Bilinear, &mut pixels);
        pixels
    };
    for row in 0..manifest.len().min(8) {
        one(row);
    }
    let rows = 0..manifest.len();
    (rows.len(), measure(|| pool.install(|| rows.into_par_iter().for_each(|row| drop(one(row))))))
}

/// Lists a source.
fn list(flags: &HashMap<&str, &str>) -> (usize, Measured) {
    let source = source::open(Path::new(flags["--in"])).unwrap();
    let mut images = 0;
    let measured = measure(|| images = source.list().unwrap().len());
    (images, measured)
}

/// Commits synthetic labels for every missing shard of a store except the last `--leave`; only these may have another
/// length. All shards have the same labels and are encoded once.
fn records(flags: &HashMap<&str, &str>) -> (usize, Measured) {
    let list_again = &mut || panic!("the manifest is damaged");
    let (store, _) = StoreWriter::resume(Path::new(flags["--out"]), WriterOptions::default(), list_again).unwrap();
    let mut shards = store.part_state(&|_| ()).unwrap().to_do;
    shards.truncate(shards.len().saturating_sub(number(flags, "--leave")));
    let labels = |shard: usize| synthetic_labels(store.info(), shard);
    (shards.len() * store.info().shard_images, measure(|| commit_alike(&store, &shards, &labels)))
}

/// Creates a store of many images that repeats the label maps of a small store; all shards are the same.
fn copies(flags: &HashMap<&str, &str>) -> (usize, Measured) {
    let images = number(flags, "--images");
    let small = StoreReader::open(Path::new(flags["--from"])).unwrap();
    let known: Vec<_> = (0..small.info().images)
        .filter_map(|row| match small.row(row).unwrap() {
            RowState::Labelled(labels) => Some(labels),
            RowState::Failed(_) | RowState::ToDo => None,
        })
        .collect();
    // Names as in ImageNet, so that there are folder classes to compare with.
    let folders = &small.info().classes.ids;
    let entry = |row: usize| {
        let folder = &folders[row / 1300 % folders.len()];
        ManifestEntry {
            path: format!("{folder}/{folder}_{row}.JPEG"),
            folder_class: Some(folder.clone()),
            ..ManifestEntry::default()
        }
    };
    let manifest = Manifest::from_entries((0..images).map(entry).collect()).unwrap();
    let manifest_sha256 = digest_bytes(&manifest_bytes(&manifest).unwrap());
    let info =
        StoreInfo { images, shard_images: images.min(1000), manifest_sha256, limit: None, ..small.info().clone() };
    let store = StoreWriter::create(Path::new(flags["--out"]), info, &manifest, WriterOptions::default()).unwrap();
    let labels = |shard: usize| {
        let rows = store.info().shard_rows(shard);
        ShardLabels { shard, images: rows.map(|row| Ok(known[row * 7 % known.len()].clone())).collect() }
    };
    let shards: Vec<usize> = (0..store.info().shards()).collect();
    // The last shard may be shorter and is encoded separately.
    let (last, others) = shards.split_last().unwrap();
    let commit = || [others, &[*last]].into_iter().for_each(|shards| commit_alike(&store, shards, &labels));
    (images, measure(commit))
}

/// Encodes the first shard and commits its files for all shards.
fn commit_alike(store: &StoreWriter, shards: &[usize], labels: &(impl Fn(usize) -> ShardLabels + Sync)) {
    let Some(&first) = shards.first() else { return };
    let rows_of_first = store.info().shard_rows(first).len();
    let files = encode_shard(store.info(), &labels(first)).unwrap();
    let commit = |&shard: &usize| {
        let labels = labels(shard);
        assert_eq!(labels.images.len(), rows_of_first, "all shards have the same length");
        let named = |(path, bytes): &(String, Vec<u8>)| {
            (path.replacen(&format!("/c.{first}."), &format!("/c.{shard}."), 1), bytes.clone())
        };
        let files: Vec<_> = files.iter().map(named).collect();
        store.commit(&labels, &files, Agreement::default()).unwrap();
    };
    // Commits mostly wait for the disk.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(16).build().unwrap();
    pool.install(|| shards.into_par_iter().for_each(commit));
}

fn synthetic_labels(info: &StoreInfo, shard: usize) -> ShardLabels {
    let size = info.map_size.unwrap();
    let scores: Vec<f32> = (0..size.cells()).flat_map(|_| (0..info.k).rev().map(|rank| rank as f32)).collect();
    let classes: Vec<i32> = (0..size.cells()).flat_map(|_| 0..info.k as i32).collect();
    let map = LabelMap::from_cells(&scores, &classes, info.k, size, ScoreRounding::Float16).unwrap();
    let probabilities: Vec<f32> = (0..info.k).map(|rank| 0.5_f32.powi(rank as i32 + 1)).collect();
    let prediction = ImagePrediction::from_ranks(&probabilities, &classes[..info.k]).unwrap();
    let image = |_| Ok(ImageLabels::new(map.clone(), prediction.clone()));
    ShardLabels { shard, images: info.shard_rows(shard).map(image).collect() }
}

fn number(flags: &HashMap<&str, &str>, flag: &str) -> usize {
    flags[flag].parse().unwrap()
}

/// User and system seconds of this process, from Linux's `/proc`.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The fields after the program's name, which may contain spaces; utime and stime are in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
