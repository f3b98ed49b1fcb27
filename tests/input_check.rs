use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use relabel::evaluation::input_check::{Evidence, InputCheck, OutputOrder, ProbeImages, ProbeSample, check_input};
use relabel::labelling::pixels::{Decoder, ExifOrientation, Filter, decode};
use relabel::labelling::source::{self, ListedImages};
use relabel::labelling::teacher::card::ChannelOrder;
use relabel::labelling::teacher::{
    AdjustableClassifier, CardValues, Classifier, Normalisation, OnnxClassifier, PixelBatch, TeacherCard,
};
use relabel::shared::classes::{ClassEntry, ClassList};
use relabel::shared::digest::{Digest, digest_bytes};
use relabel::shared::error::Error;
use relabel::shared::geometry::InputSize;
use relabel::shared::monitor::NoopMonitor;
use tempfile::TempDir;

use crate::common::{Ran, data, lite0, lite0_classifier, relabel};
use crate::teachers::{C, convolution, describe, gemm, scores_out};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{TinyGraph, int, ints, tensor};

/// Photographs, and the class that they show.
const PHOTOGRAPHS: [(&str, &str); 4] =
    [("coffee", "n07920052"), ("chelsea", "n02124075"), ("camera", "n04485082"), ("rocket", "n03773504")];
const CROPS: u32 = 8;

/// Creates a folder of crops of the photographs, filed by class or in a folder that is not a class.
fn crops(by_class: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, class) in PHOTOGRAPHS {
        let bytes = std::fs::read(data(&format!("golden/images/photos/{name}.JPEG"))).unwrap();
        let decoded = decode(&bytes, ExifOrientation::Ignore).unwrap();
        let (width, height) = (decoded.width_pixels(), decoded.height_pixels());
        let photograph = image::RgbImage::from_raw(width, height, decoded.data().to_vec()).unwrap();
        let to = folder.path().join("in").join(if by_class { class } else { "holidays" });
        std::fs::create_dir_all(&to).unwrap();
        for number in 0..CROPS {
            let percent = [100, 92, 84, 76, 95, 88, 80, 90][number as usize];
            let (width, height) = (photograph.width() * percent / 100, photograph.height() * percent / 100);
            let left = (photograph.width() - width) * (number * 5 % CROPS) / (CROPS - 1);
            let top = (photograph.height() - height) * (number * 3 % CROPS) / (CROPS - 1);
            let crop = image::imageops::crop_imm(&photograph, left, top, width, height).to_image();
            let crop = if number % 2 == 1 { image::imageops::flip_horizontal(&crop) } else { crop };
            crop.save(to.join(format!("{name}{number}.png"))).unwrap();
        }
    }
    folder
}

/// The bundled teacher, which remembers its predictions: most probes try the same alternatives.
struct RememberingClassifier {
    classifier: OnnxClassifier,
    normalisation: Normalisation,
    remembered: HashMap<Digest, Vec<f32>>,
}

impl Classifier for RememberingClassifier {
    fn class_count(&self) -> usize {
        self.classifier.class_count()
    }

    fn classify(&mut self, batch: &PixelBatch) -> Result<Vec<f32>, Error> {
        let prepared = format!("{:?} {}", self.normalisation, batch.size());
        let asked: Vec<Digest> = (0..batch.images())
            .map(|image| digest_bytes(&[prepared.as_bytes(), batch.image(image)].concat()))
            .collect();
        let new: Vec<usize> = (0..asked.len()).filter(|&image| !self.remembered.contains_key(&asked[image])).collect();
        let pixels: Vec<u8> = new.iter().flat_map(|&image| batch.image(image)).copied().collect();
        if !new.is_empty() {
            let probs = self.classifier.classify(&PixelBatch::new(new.len(), batch.size(), pixels))?;
            for (&image, probs) in new.iter().zip(probs.chunks_exact(self.classifier.class_count())) {
                self.remembered.insert(asked[image].clone(), probs.to_vec());
            }
        }
        Ok(asked.iter().flat_map(|asked| &self.remembered[asked]).copied().collect())
    }
}

impl AdjustableClassifier for RememberingClassifier {
    fn accepts_size(&self, size: InputSize) -> bool {
        self.classifier.accepts_size(size)
    }

    fn set_normalisation(&mut self, normalisation: Normalisation) {
        self.normalisation = normalisation;
        self.classifier.set_normalisation(normalisation);
    }
}

/// The teacher and its card, for all tests.
struct Probed {
    classifier: RememberingClassifier,
    card: TeacherCard,
}

static PROBED: LazyLock<Mutex<Probed>> = LazyLock::new(|| {
    let (classifier, description) = lite0_classifier();
    let card = description.card;
    let normalisation = card.normalisation();
    Mutex::new(Probed {
        classifier: RememberingClassifier { classifier, normalisation, remembered: HashMap::new() },
        card,
    })
});

/// Images to try alternatives on.
struct Prober {
    folder: TempDir,
    card: TeacherCard,
}

impl Prober {
    fn new(by_class: bool) -> Self {
        let card = PROBED.lock().unwrap_or_else(PoisonError::into_inner).card.clone();
        Self { folder: crops(by_class), card }
    }

    /// Probes with a card that differs from the right one.
    fn check(&mut self, change: impl FnOnce(&mut TeacherCard)) -> InputCheck {
        let mut card = self.card.clone();
        change(&mut card);
        let source = source::open(&self.folder.path().join("in")).unwrap();
        let manifest = source.list().unwrap();
        let sha256 = digest_bytes(b"");
        let list = ListedImages { manifest: &manifest, manifest_sha256: &sha256, index: None };
        let located = source.locate(&list).unwrap();
        let sample = ProbeSample::draw(&manifest, &card.classes, 32, 0);
        let decoder = Decoder::default();
        let images = ProbeImages::read(&sample, &*located.images, &decoder, &NoopMonitor).unwrap();
        let mut probed = PROBED.lock().unwrap_or_else(PoisonError::into_inner);
        check_input(&mut probed.classifier, &card, &images, &decoder, &NoopMonitor, &mut |_| {}).unwrap()
    }
}

/// A wrong card.
type Mistake = (&'static str, fn(&mut TeacherCard));

/// Mistakes in the normalisation. The right one is -1..1, rgb.
const WRONG_NORMALISATIONS: [Mistake; 8] = [
    ("bgr", |card| card.channel_order = ChannelOrder::Bgr),
    ("0..255", |card| (card.mean, card.std) = ([0.0; 3], [1.0 / 255.0; 3])),
    ("Caffe", |card| {
        (card.mean, card.std) = ([0.408, 0.458, 0.485], [1.0 / 255.0; 3]);
        card.channel_order = ChannelOrder::Bgr;
    }),
    ("mean only, 0..255", |card| (card.mean, card.std) = ([0.485, 0.456, 0.406], [1.0 / 255.0; 3])),
    ("divided by std twice", |card| (card.mean, card.std) = ([0.485, 0.456, 0.406], [0.052, 0.05, 0.051])),
    ("normalised twice", |card| (card.mean, card.std) = ([0.596, 0.558, 0.497], [0.052, 0.05, 0.051])),
    ("0..1, bgr", |card| {
        (card.mean, card.std, card.channel_order) = ([0.0; 3], [1.0; 3], ChannelOrder::Bgr);
    }),
    ("ImageNet, bgr", |card| {
        (card.mean, card.std) = ([0.406, 0.456, 0.485], [0.225, 0.224, 0.229]);
        card.channel_order = ChannelOrder::Bgr;
    }),
];

#[test]
fn wrong_normalisations_and_channel_orders_are_named() {
    let mut prober = Prober::new(true);
    for (name, change) in WRONG_NORMALISATIONS {
        let check = prober.check(change);
        let better = check.better_card.as_ref().unwrap_or_else(|| panic!("{name}: {check:#?}"));
        let named: Vec<&str> = better.not_told_apart.iter().map(String::as_str).chain([&*better.name]).collect();
        assert!(named.contains(&"-1..1, rgb"), "{name}: {named:?}");
        assert!(!check.card_is_best && check.class_order.is_none(), "{name}");
        let values = CardValues::from_toml(&better.lines).unwrap();
        assert!(
            values.mean.is_some() && values.std.is_some() && values.channel_order == Some(ChannelOrder::Rgb),
            "{name}"
        );
        assert!(better.gain.value > 0.15 && better.gain.standard_error.unwrap() > 0.0, "{name}: {better:?}");
    }
    // The simplest explanation comes first.
    let check = prober.check(WRONG_NORMALISATIONS[0].1);
    assert_eq!(check.better_card.unwrap().name, "-1..1, rgb");
}

#[test]
fn wrong_input_sizes_are_named() {
    let mut prober = Prober::new(true);
    let check = prober.check(|card| card.input_size = InputSize::new(256, 256).unwrap());
    let better = check.better_card.as_ref().unwrap_or_else(|| panic!("{check:#?}"));
    assert_eq!(better.name, "input size 224x224");
    assert_eq!(better.lines, "input_size = [224, 224]\n");
}

#[test]
fn wrong_class_lists_are_named() {
    let mut prober = Prober::new(true);
    let entries = prober.card.classes.entries().to_vec();
    let mut check = |change: &dyn Fn(&mut Vec<ClassEntry>)| {
        let mut changed = entries.clone();
        change(&mut changed);
        let check = prober.check(|card| card.classes = ClassList::from_entries("list.txt".to_owned(), changed));
        assert!(check.better_card.is_none() && !check.card_is_best, "{check:#?}");
        check.class_order.map(|found| found.order)
    };
    let background = ClassEntry { id: "background".to_owned(), name: "background".to_owned() };
    let shifted = check(&|list| {
        list.insert(0, background.clone());
        list.pop();
    });
    assert_eq!(shifted, Some(OutputOrder::Offset(-1)));
    assert_eq!(check(&|list| list.reverse()), Some(OutputOrder::Reversed));
    assert_eq!(check(&|list| list.sort_by_key(|entry| entry.name.to_lowercase())), Some(OutputOrder::SortedIds));
    // Espresso and tripod: two lines that are not in the order of their ids.
    assert_eq!(check(&|list| list.swap(967, 872)), Some(OutputOrder::SortedIds));
}

#[test]
fn the_right_card_is_the_best_and_small_differences_are_within_the_error() {
    let mut prober = Prober::new(true);
    let check = prober.check(|_| {});
    assert!(check.card_is_best && check.better_card.is_none() && check.class_order.is_none(), "{check:#?}");
    assert_eq!((check.evidence, check.images, check.folder_classes), (Evidence::FolderClass, 32, 4));
    assert!(check.tried > 30, "{}", check.tried);
    let bicubic = check.alternatives.iter().find(|one| one.name == "filter bicubic").unwrap();
    assert!(bicubic.gain.value.abs() < 0.15 && bicubic.gain.standard_error.is_some(), "{bicubic:?}");
    let card = check.alternatives.iter().find(|one| one.name == "card in force").unwrap();
    assert!(card.agreement.unwrap().value > 0.8 && card.images == 32, "{card:?}");
    // Four photographs cannot show these mistakes: the right card is not better, and nothing else is named.
    let invisible: [Mistake; 2] = [
        ("bicubic", |card| card.filter = Filter::Bicubic),
        ("ImageNet", |card| (card.mean, card.std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
    ];
    for (name, change) in invisible {
        let check = prober.check(change);
        assert!(check.card_is_best && check.better_card.is_none(), "{name}: {check:#?}");
    }
}

#[test]
fn without_folder_classes_confident_and_varied_predictions_are_evidence() {
    let mut prober = Prober::new(false);
    let check = prober.check(|_| {});
    assert_eq!((check.evidence, check.folder_classes), (Evidence::Information, 0));
    assert!(check.card_is_best, "{check:#?}");
    assert!(check.alternatives.iter().all(|one| one.agreement.is_none() && !one.name.contains("input size")));
    let check = prober.check(WRONG_NORMALISATIONS[1].1);
    let better = check.better_card.as_ref().unwrap_or_else(|| panic!("{check:#?}"));
    assert!(!better.lines.is_empty() && better.agreement.is_none());
}

fn probe(folder: &Path, source: &str, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).arg("teacher").arg(lite0()).args(["--probe", source]).args(args))
}

#[test]
fn the_command_prints_card_lines_and_exits_with_3() {
    let folder = crops(true);
    let wrong = probe(folder.path(), "in", &["--channel-order", "bgr", "--probe-images", "32"]).expect(3);
    for text in [
        "is better than the card in force",
        "channel_order = \"rgb\"",
        "mean = [0.5, 0.5, 0.5]",
        "cells look where they are",
    ] {
        assert!(wrong.stdout.contains(text), "{text}: {}", wrong.stdout);
    }
    std::fs::create_dir(folder.path().join("in/holidays")).unwrap();
    std::fs::write(folder.path().join("in/n07920052/broken.png"), "no image").unwrap();
    std::fs::copy(data("golden/images/photos/astronaut.JPEG"), folder.path().join("in/holidays/astronaut.JPEG"))
        .unwrap();
    let right = probe(folder.path(), "in", &["--json", "--probe-images", "40"]).expect(0);
    let document = right.json();
    let found = &document["probe"];
    assert_eq!((&found["card_is_best"], &found["better_card"]), (&true.into(), &serde_json::Value::Null), "{found}");
    assert_eq!((&found["unreadable"], &found["without_class"], &found["images"]), (&1.into(), &1.into(), &32.into()));
    assert!(right.stderr.contains("broken.png"), "{}", right.stderr);
    let positions = &found["positions"];
    assert_eq!(positions["verdict"], "consistent", "{positions}");
    let share = |key: &str| positions["mirror"][key]["value"].as_f64().unwrap();
    assert!(share("mirrored_back") > share("not_mirrored") + 0.1, "{positions}");
}

#[test]
fn too_few_and_unusable_images_are_no_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("in/n04485082");
    std::fs::create_dir_all(&images).unwrap();
    std::fs::write(images.join("broken.png"), "no image").unwrap();
    let refused = probe(folder.path(), "in", &[]).expect(1);
    assert!(
        refused.stderr.contains("none of 1 image can be decoded") && refused.stderr.contains("broken.png"),
        "{}",
        refused.stderr
    );
    std::fs::copy(data("golden/images/photos/camera.JPEG"), images.join("camera.JPEG")).unwrap();
    let one = probe(folder.path(), "in", &["--json", "--channel-order", "bgr"]).expect(0).json();
    assert_eq!((&one["probe"]["images"], &one["probe"]["card_is_best"]), (&1.into(), &false.into()));
    probe(folder.path(), "missing", &[]).expect(1);
    for args in [&["--probe-images", "0", "--probe", "in"][..], &["--seed", "1"]] {
        Ran::of(relabel(folder.path()).arg("teacher").arg(lite0()).args(args)).expect(2);
    }
}

#[test]
fn a_probe_can_be_interrupted() {
    let folder = crops(true);
    let mut command = relabel(folder.path());
    command.arg("teacher").arg(lite0()).args(["--probe", "in", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(4));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Rows and columns of the map.
const SIDE: usize = 6;

/// A mean over tokens in an order that a matrix hides, so that the structure of the graph does not show it. Cell
/// `order(y, x)` shows place (y, x).
fn reordered(order: impl Fn(usize, usize) -> (usize, usize)) -> Vec<u8> {
    let tokens = (SIDE * SIDE) as i64;
    let mut matrix = vec![0.0_f32; SIDE * SIDE * SIDE * SIDE];
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (to_y, to_x) = order(y, x);
            matrix[(y * SIDE + x) * SIDE * SIDE + to_y * SIDE + to_x] = 1.0;
        }
    }
    let values: Vec<u8> = matrix.iter().flat_map(|value| value.to_le_bytes()).collect();
    let pool = [ints("kernel_shape", &[8, 8]), ints("strides", &[8, 8])];
    let pixels = 8 * SIDE as i64;
    let graph = TinyGraph::new(17)
        .input("x", &[Free, Fixed(3), Fixed(pixels), Fixed(pixels)])
        .weight("w_conv", &[C, 3, 1, 1])
        .raw(5, &tensor("order", 1, &[tokens, tokens]).bytes(9, &values))
        .shape("flat", &[0, C, tokens])
        .node("AveragePool", &["x"], &["small"], &pool)
        .node("Conv", &["small", "w_conv"], &["conv"], &[])
        .node("Relu", &["conv"], &["f"], &[])
        .node("Reshape", &["f", "flat"], &["ct"], &[])
        .node("MatMul", &["ct", "order"], &["t"], &[])
        .node("ReduceMean", &["t"], &["v"], &[ints("axes", &[2]), int("keepdims", 0)]);
    scores_out(gemm(graph, "v"), Free)
}

/// Name of an order, the cell that a position gets, and the message.
type CellOrder = (&'static str, fn(usize, usize) -> (usize, usize), &'static str);

#[test]
fn cells_that_look_elsewhere_are_refused_by_teacher_run_and_probe() {
    const LAST: usize = SIDE - 1;
    let orders: [CellOrder; 6] = [
        ("transposed", |y, x| (x, y), "along columns"),
        ("mirrored", |y, x| (y, LAST - x), "at the left"),
        ("upside down", |y, x| (LAST - y, x), "at the top"),
        ("turned by 180 degrees", |y, x| (LAST - y, LAST - x), "at the upper left"),
        ("moved by one column", |y, x| (y, (x + 1) % SIDE), "do not look where they are"),
        ("shuffled", |y, x| ((y * 6 + x) * 11 % 36 / 6, (y * 6 + x) * 11 % 36 % 6), "do not look where they are"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let photographs = data("golden/images/photos").display().to_string();
    let card = folder.path().join("tiny.toml");
    let run = |out: &str| {
        let args = ["run", "--teacher", "tiny.onnx", "--in", &photographs, "--out", out, "--top-k", "3"];
        Ran::of(relabel(folder.path()).args(args))
    };
    for (name, order, seen) in orders {
        let model = reordered(order);
        let _ = std::fs::remove_file(&card);
        let refused = describe(folder.path(), &model, &[]).expect(1);
        assert!(refused.stderr.contains("responded most"), "{name}: {}", refused.stderr);
        assert_eq!(
            run("labels").expect(1).stderr.lines().next(),
            refused.stderr.lines().find(|line| line.contains("teacher ")),
            "{name}"
        );
        assert!(!folder.path().join("labels").exists(), "{name}");
        // The card can waive the check, but the probe looks again.
        std::fs::write(&card, "locality = \"unchecked\"\n").unwrap();
        describe(folder.path(), &model, &[]).expect(0);
        let probed = describe(folder.path(), &model, &["--probe", &photographs]).expect(1);
        assert!(probed.stderr.contains(seen) && probed.stderr.contains("do not look"), "{name}: {}", probed.stderr);
    }
    let _ = std::fs::remove_file(&card);
    let right = reordered(|y, x| (y, x));
    assert_eq!(describe(folder.path(), &right, &[]).expect(0).json()["locality"]["method"], "probe");
    let probed = describe(folder.path(), &right, &["--probe", &photographs]);
    assert!([0, 3].contains(&probed.code), "random weights prefer some input: {}", probed.stderr);
    assert_eq!(probed.json()["probe"]["positions"]["verdict"], "consistent", "{}", probed.stdout);
}

#[test]
fn maps_of_one_cell_and_teachers_of_a_fixed_size_can_be_probed() {
    let folder = tempfile::tempdir().unwrap();
    let photographs = data("golden/images/photos").display().to_string();
    let input = [Fixed(2), Fixed(3), Fixed(8), Fixed(8)];
    let graph = convolution(TinyGraph::new(17), &input).node("GlobalAveragePool", &["f"], &["p"], &[]);
    let graph = graph.node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
    let probed = describe(folder.path(), &scores_out(gemm(graph, "v"), Fixed(2)), &["--probe", &photographs]);
    assert!([0, 3].contains(&probed.code), "{}", probed.stderr);
    let found = probed.json();
    assert_eq!(found["probe"]["positions"]["verdict"], "inconclusive", "{found}");
    let sizes: Vec<_> =
        found["probe"]["alternatives"].as_array().unwrap().iter().map(|one| &one["input"]["input_size"]).collect();
    assert!(sizes.len() > 20 && sizes.iter().all(|size| **size == serde_json::json!([8, 8])), "{sizes:?}");
}
