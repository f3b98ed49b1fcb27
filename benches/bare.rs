//! What the machine can do without the pipeline: the rewritten teacher alone on pixels that are ready, and reading,
//! decoding and resizing alone. `scripts/bench.py` holds a whole run against their sum.
//!
//! ```text
//! bare session --teacher T.onnx --input-size 224 --batch 16 --threads 2 --images 512 --json
//! bare pixels --in FOLDER --input-size 224 --threads 2 --json
//! ```
#![allow(missing_docs, clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use relabel::digest::digest_bytes;
use relabel::geometry::InputSize;
use relabel::pixels::{ExifOrientation, Filter, decode_into};
use relabel::source::{FolderSource, LengthCheck, ListedImages, Source as _};
use relabel::teacher::{
    CardFile, CardValues, Device, OnnxTeacher, PixelBatch, Runtime, RuntimeSearch, Teacher as _, TeacherRequest, Views,
};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench" && word != "--json").collect();
    let Some((what, rest)) = words.split_first() else { return };
    let flags: HashMap<&str, &str> =
        rest.as_chunks::<2>().0.iter().map(|[flag, value]| (flag.as_str(), value.as_str())).collect();
    let (images, measured) = match what.as_str() {
        "session" => session(&flags),
        "pixels" => pixels(&flags),
        _ => panic!("bare session or bare pixels"),
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

/// The same rewritten graph, batch and threads as a run has, on one batch of pixels again and again.
fn session(flags: &HashMap<&str, &str>) -> (usize, Measured) {
    let path = PathBuf::from(flags["--teacher"]);
    let size: InputSize = flags["--input-size"].parse().unwrap();
    let (batch, threads, images) = (number(flags, "--batch"), number(flags, "--threads"), number(flags, "--images"));
    let search = RuntimeSearch {
        named: std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from),
        python_environments: vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv")],
        ..RuntimeSearch::default()
    };
    let runtime = Runtime::load(&search.find().unwrap()).unwrap();
    let request = TeacherRequest {
        card: CardFile::find(&path, None).unwrap(),
        path,
        flags: CardValues { input_size: Some(size), ..CardValues::default() },
        k: 5,
        views: Views::Image,
        with_lse: false,
        threads,
    };
    let mut teacher = OnnxTeacher::load(&runtime, &request, &[Device::Cpu], &|| false).unwrap().0.remove(0);
    let bytes = (0..batch * size.rgb_bytes()).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let pixels = PixelBatch::new(batch, size, bytes);
    teacher.label(&pixels).unwrap();
    let runs = images.div_ceil(batch);
    let measured = measure(|| {
        for _ in 0..runs {
            teacher.label(&pixels).unwrap();
        }
    });
    (runs * batch, measured)
}

/// Reading, decoding and resizing every image of a folder.
fn pixels(flags: &HashMap<&str, &str>) -> (usize, Measured) {
    let source = FolderSource::open(Path::new(flags["--in"])).unwrap();
    let size: InputSize = flags["--input-size"].parse().unwrap();
    let manifest = source.list().unwrap();
    let list = ListedImages { manifest: &manifest, manifest_sha256: &digest_bytes(b""), index: None };
    let images = source.locate(&list).unwrap().images;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(flags, "--threads")).build().unwrap();
    let one = |row: usize| {
        let mut pixels = vec![0; size.rgb_bytes()];
        let bytes = images.read(row, LengthCheck::AsListed).unwrap();
        // Broken files are part of some folders; they cost what they cost.
        let _ = decode_into(&bytes, ExifOrientation::Ignore, size, Filter::Bilinear, &mut pixels);
        pixels
    };
    for row in 0..manifest.len().min(8) {
        one(row);
    }
    let rows = 0..manifest.len();
    (rows.len(), measure(|| pool.install(|| rows.into_par_iter().for_each(|row| drop(one(row))))))
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
