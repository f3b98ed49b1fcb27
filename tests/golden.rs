use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use ndarray::{Array1, Array4, ArrayD, Axis};
use ndarray_npy::NpzReader;
use relabel::labelling::pixels::{ExifOrientation, Filter, decode, decode_into};
use relabel::labelling::teacher::{
    CardFile, CardValues, Device, OnnxTeacher, PixelBatch, Teacher, TeacherRequest, Views,
};
use relabel::shared::digest::digest_bytes;
use relabel::shared::geometry::{InputSize, UnitBox};
use relabel::shared::store::{RowState, StoreReader};
use serde::Deserialize;

use crate::common::{data, lite0, run, runtime};

#[test]
fn resized_pixels_equal_pil_bilinear() {
    compare_resized(Filter::Bilinear, "pixels_bilinear", 1, 0.003);
}

#[test]
fn resized_pixels_equal_pil_bicubic() {
    compare_resized(Filter::Bicubic, "pixels_bicubic", 2, 0.005);
}

/// Checks for each image the largest difference and the share of values that differ.
fn compare_resized(filter: Filter, array: &str, max_difference: u8, max_share: f64) {
    let expected: Array4<u8> = golden(array);
    let size = InputSize::new(224, 224).unwrap();
    let mut failures = Vec::new();
    for (id, expected) in ids().iter().zip(expected.axis_iter(Axis(0))) {
        let bytes = std::fs::read(image_path(id)).unwrap();
        let mut pixels = vec![0; size.rgb_bytes()];
        decode_into(&bytes, ExifOrientation::Ignore, size, filter, &mut pixels).unwrap();
        let differences: Vec<u8> = pixels.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).collect();
        let max = differences.iter().copied().max().unwrap();
        let share = differences.iter().filter(|difference| **difference > 0).count() as f64 / differences.len() as f64;
        eprintln!("{id}: max {max}, {:.4} % differ", share * 100.0);
        if max > max_difference || share > max_share {
            failures.push(format!("{id}: max {max}, share {share}"));
        }
    }
    assert!(failures.is_empty(), "{array}: {failures:#?}");
}

/// Parts that `tests/python/make_resize_golden.py` describes.
#[test]
fn resized_parts_equal_pil() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(data("golden/resized_parts.json")).unwrap()).unwrap();
    let mut archive = NpzReader::new(File::open(data("golden/resized_parts.npz")).unwrap()).unwrap();
    let mut rest = ["bilinear", "bicubic", "lanczos"].map(|name| {
        let rows: Array1<u8> = archive.by_name(&format!("{name}.npy")).or_else(|_| archive.by_name(name)).unwrap();
        (name, rows.to_vec().into_iter(), 0_usize, 0_usize)
    });
    let mut images = BTreeMap::new();
    for case in &cases {
        let file = case["image"].as_str().unwrap();
        let image = images
            .entry(file)
            .or_insert_with(|| decode(&std::fs::read(image_path(file)).unwrap(), ExifOrientation::Ignore).unwrap());
        let crop: Option<[u32; 4]> = Option::deserialize(&case["crop"]).unwrap();
        let crop = crop.map(|[top, left, height, width]| image.cropped(top, left, height, width).unwrap());
        let [x0, y0, x1, y1] = <[f64; 4]>::deserialize(&case["box"]).unwrap();
        let [height, width] = <[u32; 2]>::deserialize(&case["size"]).unwrap();
        let size = InputSize::new(height, width).unwrap();
        let resized = |filter: &str| {
            let mut pixels = vec![0; size.rgb_bytes()];
            let unit_box = UnitBox::new(x0, y0, x1, y1).unwrap();
            crop.as_ref().unwrap_or(image).resize_part(unit_box, size, filter.parse().unwrap(), &mut pixels).unwrap();
            pixels
        };
        for (filter, digest) in case["sha256"].as_object().unwrap() {
            assert_eq!(digest_bytes(&resized(filter)).to_string(), digest.as_str().unwrap(), "{filter}: {case}");
        }
        let rows = Vec::<usize>::deserialize(&case["rows"]).unwrap();
        for (filter, expected, values, different) in &mut rest {
            let pixels = resized(filter);
            for row in &rows {
                let row_bytes = width as usize * 3;
                let ours = &pixels[row * row_bytes..][..row_bytes];
                let differences: Vec<u8> = expected.take(row_bytes).zip(ours).map(|(a, b)| a.abs_diff(*b)).collect();
                assert!(differences.iter().all(|&difference| difference <= 2), "{filter}, row {row}: {case}");
                *values += row_bytes;
                *different += differences.iter().filter(|&&difference| difference > 0).count();
            }
        }
    }
    for (filter, mut expected, values, different) in rest {
        eprintln!("{filter}: {different} of {values} values differ");
        assert!(
            expected.next().is_none() && different * 200 < values,
            "{filter}: {different} of {values} values differ"
        );
    }
}

#[test]
fn exactly_the_files_that_pil_refuses_are_refused() {
    let verdicts: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data("golden/pil_verdicts.json")).unwrap()).unwrap();
    for (file, verdict) in verdicts.as_object().unwrap() {
        let bytes = std::fs::read(data("golden/images").join(file)).unwrap();
        let ours = decode(&bytes, ExifOrientation::Ignore);
        assert_eq!(ours.is_ok(), verdict == "accepted", "{file}: PIL {verdict}, ours {ours:?}");
    }
}

#[test]
fn scores_and_logits_equal_pytorch() {
    let pixels: Array4<u8> = golden("pixels_bilinear");
    let (scores, classes): (ArrayD<f32>, ArrayD<i32>) = (golden("scores"), golden("classes"));
    let logits: ArrayD<f32> = golden("logits");
    let images = pixels.shape()[0];
    let mut teacher = lite0_teacher();
    let batch = PixelBatch::new(images, InputSize::new(224, 224).unwrap(), pixels.into_raw_vec_and_offset().0);
    let labels = teacher.label(&batch).unwrap();
    let at = |image: usize, y: usize, x: usize, rank: usize| ((image * 7 + y) * 7 + x) * 5 + rank;
    for image in 0..images {
        for (y, x) in (0..49).map(|cell| (cell / 7, cell % 7)) {
            for rank in 0..5 {
                let (ours, theirs) = (labels.scores[at(image, y, x, rank)], scores[[image, rank, y, x]]);
                assert!((ours - theirs).abs() <= 1e-3, "image {image}, cell {y} {x}, rank {rank}: {ours} and {theirs}");
            }
            if scores[[image, 0, y, x]] - scores[[image, 1, y, x]] > 1e-3 {
                assert_eq!(
                    labels.classes[at(image, y, x, 0)],
                    classes[[image, 0, y, x]],
                    "image {image}, cell {y} {x}"
                );
            }
        }
        let own = logits.index_axis(Axis(0), image);
        let largest = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = own.iter().map(|score| (score - largest).exp()).sum();
        for rank in 0..5 {
            let class = labels.image_classes[image * 5 + rank] as usize;
            let prob = (own[class] - largest).exp() / sum;
            assert!((labels.image_probs[image * 5 + rank] - prob).abs() < 1e-4, "image {image}, rank {rank}");
        }
    }
}

#[test]
fn the_best_class_of_every_clear_cell_equals_pytorchs() {
    let out = tempfile::tempdir().unwrap();
    let store = out.path().join("labels");
    let args = ["run", "--in", "tests/data/golden/images", "--teacher", "models/efficientnet-lite0.onnx", "--out"];
    run(&[&args[..], &[store.to_str().unwrap()]].concat()).expect(3);
    let (scores, classes): (ArrayD<f32>, ArrayD<i32>) = (golden("scores"), golden("classes"));
    let reader = StoreReader::open(&store).unwrap();
    let manifest = reader.manifest().unwrap();
    let mut compared = 0;
    for (image, id) in ids().iter().enumerate() {
        let wanted = id.rsplit_once('.').map_or(id.as_str(), |(stem, _)| stem);
        let row = (0..manifest.len()).find(|&row| manifest.id(row) == wanted || manifest.path(row) == id).unwrap();
        let RowState::Labelled(labels) = reader.row(row).unwrap() else { panic!("{id} is labelled") };
        for (y, x) in (0..49).map(|cell| (cell / 7, cell % 7)) {
            if scores[[image, 0, y, x]] - scores[[image, 1, y, x]] > 0.05 {
                assert_eq!(
                    labels.label_map().unwrap().at(0, y, x).1 as i32,
                    classes[[image, 0, y, x]],
                    "{id}, cell {y} {x}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 900, "only {compared} cells were clear");
}

fn lite0_teacher() -> OnnxTeacher {
    let request = TeacherRequest {
        path: lite0(),
        card: CardFile::find(&lite0(), None).unwrap(),
        flags: CardValues::default(),
        k: 5,
        views: Views::Image,
        with_lse: false,
        threads: 2,
        photographs: Vec::new(),
        scratch_folder: Some(std::env::temp_dir()),
    };
    OnnxTeacher::load(runtime(), &request, &[Device::Cpu], &|| false).unwrap().0.remove(0)
}

/// Returns the ids of the golden arrays' rows: paths below `images/`, with or without extension.
pub fn ids() -> Vec<String> {
    // NumPy stores text as UTF-32 in a fixed width, which ndarray-npy does not read.
    let list = std::fs::read_to_string(data("golden/ids.txt")).unwrap();
    list.lines().map(str::to_owned).collect()
}

fn image_path(id: &str) -> PathBuf {
    data("golden/images").join(id)
}

pub fn golden<T: ndarray_npy::ReadableElement, D: ndarray::Dimension>(name: &str) -> ndarray::Array<T, D> {
    let mut archive = NpzReader::new(File::open(data("golden/lite0.npz")).unwrap()).unwrap();
    archive.by_name(&format!("{name}.npy")).or_else(|_| archive.by_name(name)).unwrap()
}

#[test]
fn the_id_list_matches_the_arrays() {
    let pixels: Array4<u8> = golden("pixels_bilinear");
    assert_eq!(pixels.shape()[0], ids().len());
    assert!(ids().iter().all(|id| image_path(id).is_file()));
}
