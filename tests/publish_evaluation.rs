use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use relabel::evaluation::charts::{EvaluationChart, charts, figure_tables};
use relabel::evaluation::evaluation_file::{
    Accuracy, AreaFidelity, BoxAccuracy, Censored, ClassAccuracy, ClassFigures, CropFidelity, Estimate, EvaluatedStore,
    Evaluation, Fidelity, FidelityByKind, LabelKind, LocalizationFigures, ReliabilityBin, TruthDescription,
    TruthFigures,
};
use relabel::labelling::pixels::{ExifOrientation, decode};
use relabel::shared::classes::ClassList;
use relabel::shared::digest::{Digest, digest_bytes};
use relabel::shared::random::SplitMix64;
use relabel::shared::store::{StoreReader, StoreWriter, WriterOptions};
use serde_json::{Value, json};

use crate::common::{Ran, hermetic, relabel, store_bytes};
use crate::{pictures, synthetic_store};

/// Plausible figures, which are not those of any store.
fn accuracy(images: usize, best: f64, overconfidence: f64) -> Accuracy {
    let weights: Vec<f64> = (0..15).map(|bin| if bin < 2 { 0.0 } else { (f64::from(bin) / 3.0).exp() }).collect();
    let total: f64 = weights.iter().sum();
    let bin = |(at, weight): (usize, &f64)| {
        let count = (images as f64 * weight / total).round() as usize;
        let confidence = (at as f64 + 0.55) / 15.0;
        let accuracy = (confidence - overconfidence * (1.0 - confidence) * confidence * 2.0).clamp(0.0, 1.0);
        if count == 0 {
            return ReliabilityBin { images: 0, confidence: 0.0, accuracy: 0.0 };
        }
        ReliabilityBin { images: count, confidence, accuracy }
    };
    let estimate = |value: f64| Estimate {
        value,
        standard_error: (images > 1).then(|| (value * (1.0 - value) / images as f64).sqrt()),
    };
    Accuracy {
        top1: estimate(best),
        top5: estimate(1.0 - (1.0 - best) / 4.0),
        mean_average_precision_by_image: best * 0.97 + 0.02,
        mean_average_precision_by_class: best * 0.93 + 0.02,
        expected_calibration_error: overconfidence.abs() / 4.0,
        entropy_nats: 1.234,
        reliability: weights.iter().enumerate().map(bin).collect(),
    }
}

fn class_figures(images: usize, names: &[String]) -> ClassFigures {
    let mut random = SplitMix64::new(7);
    let mut unit = move || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let by_class = names.iter().enumerate().map(|(class, name)| {
        let pooled = (1.02 - 0.9 * unit().powi(2)).clamp(0.0, 1.0);
        ClassAccuracy {
            class: class as u32,
            name: name.clone(),
            images: images / names.len().max(1) + class % 3,
            prediction_top1: (pooled + 0.05 * unit()).min(1.0),
            pooled_top1: Some(pooled),
        }
    });
    ClassFigures {
        images,
        prediction: accuracy(images, 0.874, -0.12),
        pooled: Some(accuracy(images, 0.861, 0.28)),
        censored: Some(Censored { images: 0.0123, cells: 0.31, floor: 0.0 }),
        by_class: by_class.collect(),
    }
}

fn fidelity(start: f64, slope: f64, worst_kl: Option<f64>) -> Fidelity {
    let edges = [0.0, 0.08, 0.2, 0.35, 0.5, 0.75, 1.0];
    let at = |sides: &[f64]| {
        let middle = f64::midpoint(sides[0], sides[1]);
        let top1 = (start + slope * middle).clamp(0.0, 1.0);
        // No crop is smaller than 8 %.
        let is_there = sides[0] > 0.0;
        AreaFidelity {
            area: [sides[0], sides[1]],
            crops: if is_there { 800 } else { 0 },
            top1: is_there.then_some(top1),
            top1_standard_error: is_there.then_some(0.014),
            kl: worst_kl.filter(|_| is_there).map(|kl| kl * (1.15 - top1)),
            kl_standard_error: worst_kl.filter(|_| is_there).map(|kl| kl * 0.03),
            tv: is_there.then_some(1.05 - top1),
            tv_standard_error: is_there.then_some(0.008),
        }
    };
    Fidelity {
        top1: start + slope / 2.0,
        top1_standard_error: Some(0.0062),
        kl: worst_kl.map(|kl| kl * 0.4),
        kl_standard_error: worst_kl.map(|kl| kl * 0.01),
        tv: 1.05 - start - slope / 2.0,
        tv_standard_error: Some(0.0041),
        by_area: edges.windows(2).map(at).collect(),
    }
}

/// Figures of a store without tiles.
fn crop_fidelity() -> CropFidelity {
    let labels = [
        (LabelKind::Pooled, fidelity(0.62, 0.33, Some(1.9))),
        (LabelKind::Image, fidelity(0.45, 0.54, Some(2.6))),
        (LabelKind::Folder, fidelity(0.41, 0.40, None)),
        (LabelKind::Swapped, fidelity(0.28, 0.66, Some(3.9))),
        (LabelKind::Rest, fidelity(0.63, 0.33, Some(1.2))),
    ];
    CropFidelity {
        images: 1000,
        crops: 4000,
        seed: Some(0),
        boxes_sha256: None,
        teacher_sha256: digest_bytes(b"synthetic"),
        pooling_sha256: None,
        tile_count: 0,
        labels: labels.into_iter().collect(),
        coverings: BTreeMap::new(),
    }
}

/// Figures of a calibrated store with tiles and their maps: of all kinds of labels, and of coverings.
fn crop_fidelity_of_tiles() -> CropFidelity {
    let mut found = crop_fidelity();
    found.tile_count = 13;
    let further = [
        (LabelKind::Calibrated, fidelity(0.76, 0.22, Some(0.75))),
        (LabelKind::CalibratedWithoutTiles, fidelity(0.60, 0.38, Some(1.1))),
        (LabelKind::TileMap, fidelity(0.67, 0.29, Some(1.3))),
        (LabelKind::Tiles, fidelity(0.73, 0.25, Some(0.85))),
        (LabelKind::Tile, fidelity(0.69, 0.26, Some(1.0))),
    ];
    for (kind, figures) in further {
        *found.labels.get_mut(kind) = Some(figures);
    }
    let coverings = [("4", 0.62, 0.35, 1.0), ("5", 0.66, 0.31, 0.95), ("9", 0.70, 0.27, 0.9)];
    found.coverings =
        coverings.map(|(name, start, slope, kl)| (name.to_owned(), fidelity(start, slope, Some(kl)))).into();
    found
}

fn truth(name: &str, format: &str) -> TruthDescription {
    TruthDescription {
        truth_not_labelled: 0,
        boxes_without_class: 0,
        name: name.to_owned(),
        format: format.to_owned(),
        sha256: (format != "folder").then(|| digest_bytes(name.as_bytes())),
        images: 9,
        images_without_truth: 0,
        truth_without_image: 1,
        truth_without_image_example: Some("n00000000_1".to_owned()),
        empty: 0,
        boxes_clipped: 0,
    }
}

fn localization() -> LocalizationFigures {
    LocalizationFigures {
        images: 8,
        boxes: 11,
        censored_images: 0.02,
        censored_cells: 0.4,
        floor: -1.5,
        pointing_game: 0.81,
        pointing_game_centre: 0.66,
        max_box_acc_v2: BoxAccuracy { mean: 0.61, at_iou: [0.84, 0.64, 0.35] },
        centre_box: BoxAccuracy { mean: 0.45, at_iou: [0.7, 0.45, 0.2] },
    }
}

/// An evaluation of the store with these labels, against its folder classes and boxes.
fn evaluation(labels_sha256: Digest, images: usize, names: &[String]) -> Evaluation {
    let boxes = TruthFigures { truth: truth("boxes", "pascal-voc"), classes: None, localization: Some(localization()) };
    let folder = TruthFigures {
        truth: truth("folder", "folder"),
        classes: Some(class_figures(images, names)),
        localization: None,
    };
    Evaluation {
        evaluation_version: Evaluation::VERSION,
        tool_version: "0.1.0".to_owned(),
        store: EvaluatedStore {
            labels_sha256,
            teacher: "efficientnet-lite0".to_owned(),
            teacher_sha256: digest_bytes(b"synthetic"),
            images,
            labelled: images,
            failed: 0,
            to_do: 0,
        },
        truths: vec![folder, boxes],
        crop_fidelity: Some(crop_fidelity()),
    }
}

fn imagenet_names() -> Vec<String> {
    (0..1000).map(|class| ClassList::imagenet_1k().short_name(class)).collect()
}

fn chart<'a>(charts: &'a [EvaluationChart], name: &str) -> &'a EvaluationChart {
    charts.iter().find(|chart| chart.file_name == name).unwrap()
}

#[test]
fn charts_equal_the_reviewed_pictures() {
    let evaluation = evaluation(digest_bytes(b""), 50_000, &imagenet_names());
    let charts = charts(&evaluation).unwrap();
    let names: Vec<_> = charts.iter().map(|chart| chart.file_name.as_str()).collect();
    assert_eq!(names, ["reliability-folder.png", "classes-folder.png", "crop-fidelity.png"]);
    let again = relabel::evaluation::charts::charts(&evaluation).unwrap();
    assert!(charts == again, "the same evaluation gives the same bytes");
    let words = &chart(&charts, "crop-fidelity.png").description;
    assert!(
        words.contains("4,000 crops of 1,000 images") && words.contains("Folder class: same best class 61.0"),
        "{words}"
    );
    let words = &chart(&charts, "reliability-folder.png").description;
    assert!(
        words.contains("the folder classes, 50,000 images") && words.contains("calibration error 0.070"),
        "{words}"
    );
    for chart in &charts {
        pictures::compare(&format!("chart-{}", chart.file_name), &chart.png);
    }
}

#[test]
fn charts_of_tiles_equal_the_reviewed_pictures() {
    let mut evaluation = evaluation(digest_bytes(b""), 50_000, &[]);
    evaluation.truths.clear();
    evaluation.crop_fidelity = Some(crop_fidelity_of_tiles());
    let charts = charts(&evaluation).unwrap();
    let names: Vec<_> = charts.iter().map(|chart| chart.file_name.as_str()).collect();
    assert_eq!(names, ["crop-fidelity.png", "crop-fidelity-coverings.png"]);
    let words = &chart(&charts, "crop-fidelity-coverings.png").description;
    for part in ["Image and 5 tiles (--tiles 5): same best class 81.5", "Image and all 13 tiles: same best class 85.5"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    for chart in &charts {
        pictures::compare(&format!("chart-tiles-{}", chart.file_name), &chart.png);
    }
    let tables = figure_tables(&evaluation);
    let titles: Vec<_> = tables.iter().map(|table| table.title.as_str()).collect();
    assert_eq!(titles, ["Crop fidelity", "Crop fidelity of coverings"]);
    let names: Vec<_> = tables[0].rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(names, LabelKind::ALL.map(LabelKind::title));
    assert_eq!(tables[0].notes[1], "Closest in all three figures: Calibrated target of the crop.");
    assert_eq!((tables[1].rows.len(), tables[1].rows[1][0].as_str()), (5, "Image and 4 tiles (--tiles 4)"));
}

#[test]
fn stores_without_label_maps_have_charts_of_predictions() {
    let mut evaluation = evaluation(digest_bytes(b""), 50_000, &imagenet_names());
    evaluation.truths.truncate(1);
    let classes = evaluation.truths[0].classes.as_mut().unwrap();
    (classes.pooled, classes.censored) = (None, None);
    classes.by_class.iter_mut().for_each(|class| class.pooled_top1 = None);
    let crops = evaluation.crop_fidelity.as_mut().unwrap();
    let tiles = crop_fidelity_of_tiles();
    let kinds = [LabelKind::Calibrated, LabelKind::Tiles, LabelKind::Tile, LabelKind::Image, LabelKind::Folder];
    crops.labels =
        tiles.labels.iter().filter(|(kind, _)| kinds.contains(kind)).map(|(kind, of)| (kind, of.clone())).collect();
    let charts = charts(&evaluation).unwrap();
    assert!(charts.iter().all(|chart| !chart.description.contains("Target of the full image")), "{charts:?}");
    for chart in &charts {
        pictures::compare(&format!("chart-predictions-{}", chart.file_name), &chart.png);
    }
    let tables = figure_tables(&evaluation);
    let titles: Vec<_> = tables.iter().map(|table| table.title.as_str()).collect();
    assert_eq!(titles, ["Truths", "Accuracy", "Calibration", "Crop fidelity"]);
}

/// Draws unusual evaluations. The pictures are in the build folder, to be looked at.
#[test]
fn unusual_evaluations_have_charts() {
    let digest = digest_bytes(b"");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unusual-charts");
    std::fs::create_dir_all(&folder).unwrap();
    let draw = |name: &str, evaluation: &Evaluation| {
        for chart in charts(evaluation).unwrap() {
            let image = decode(&chart.png, ExifOrientation::Ignore).unwrap();
            assert!((600..2000).contains(&image.width_pixels()) && image.height_pixels() < 1600, "{name}");
            assert!(!chart.description.contains("NaN"), "{}", chart.description);
            std::fs::write(folder.join(format!("{name}-{}", chart.file_name)), chart.png).unwrap();
        }
        for table in figure_tables(evaluation) {
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{name}: {table:?}");
        }
    };
    let few: Vec<String> = [
        "tench",
        "white wolf, Arctic wolf, Canis lupus tundrarum, and several other names of the same animal",
        "猫 🐈",
        "<b>\u{202e}line\nbreak",
        "",
        "espresso",
    ]
    .map(str::to_owned)
    .to_vec();
    draw("few", &evaluation(digest.clone(), 600, &few));
    draw("one-class", &evaluation(digest.clone(), 1, &few[..1]));
    draw("no-class", &evaluation(digest.clone(), 0, &[]));
    let mut long = evaluation(digest.clone(), 100, &few);
    long.truths[0].truth = truth(&"very long name of a truth ".repeat(30), "class-lists");
    long.store.teacher = "teacher with a long name ".repeat(40);
    let crops = long.crop_fidelity.as_mut().unwrap();
    for kind in [LabelKind::Folder, LabelKind::Rest] {
        *crops.labels.get_mut(kind) = None;
    }
    for area in &mut changed(crops, LabelKind::Pooled).by_area {
        (area.top1, area.kl, area.tv) = (None, None, None);
    }
    changed(crops, LabelKind::Image).by_area[3].area[1] = 1.4;
    changed(crops, LabelKind::Swapped).by_area.clear();
    changed(crops, LabelKind::Image).kl = Some(0.0);
    draw("long", &long);
    let mut flat = evaluation(digest, 100, &few);
    let figures = flat.truths[0].classes.as_mut().unwrap();
    figures.pooled.as_mut().unwrap().reliability.clear();
    for area in &mut changed(flat.crop_fidelity.as_mut().unwrap(), LabelKind::Pooled).by_area {
        (area.kl, area.kl_standard_error) = (Some(250.0), Some(1e6));
    }
    draw("flat", &flat);
    let mut empty = flat;
    let crops = empty.crop_fidelity.as_mut().unwrap();
    crops.labels = FidelityByKind::default();
    crops.coverings = [("5".to_owned(), fidelity(0.0, 0.0, None))].into();
    draw("coverings-only", &empty);
}

fn changed(fidelity: &mut CropFidelity, kind: LabelKind) -> &mut Fidelity {
    fidelity.labels.get_mut(kind).as_mut().unwrap()
}

/// Makes a store of ten images in `labels`. Returns its evaluation, which is in `evaluation.json`.
fn evaluated_store(folder: &Path) -> Evaluation {
    let path = folder.join("labels");
    let store =
        StoreWriter::create(&path, synthetic_store::info(), &synthetic_store::manifest(), WriterOptions::default());
    synthetic_store::fill(&store.unwrap()).unwrap();
    let digest = StoreReader::open(&path).unwrap().labels_digest().unwrap();
    let names: Vec<String> = (0..20).map(|class| format!("name {class}")).collect();
    let evaluation = evaluation(digest, 9, &names);
    write(folder, &evaluation);
    evaluation
}

fn write(folder: &Path, evaluation: &Evaluation) {
    std::fs::write(folder.join("evaluation.json"), evaluation.to_json_bytes()).unwrap();
}

fn publish(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).args(["publish", "labels", "--license", "CC-BY-4.0"]).args(args))
}

const WITH: [&str; 2] = ["--evaluation", "evaluation.json"];

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_release_contains_the_figures_and_only_they_differ() {
    let folder = tempfile::tempdir().unwrap();
    let evaluation = evaluated_store(folder.path());
    publish(folder.path(), &["--to", "without"]).expect(0);
    let output = publish(folder.path(), &[&["--to", "release"], &WITH[..]].concat()).expect(0).stdout;
    assert!(output.contains("figures  evaluation.json and 3 charts"), "{output}");
    let release = folder.path().join("release");
    let (without, with) = (store_bytes(&folder.path().join("without")), store_bytes(&release));
    let changed: Vec<_> = with.iter().filter(|file| !without.contains(file)).map(|(path, _)| path.clone()).collect();
    let expected = [
        "README.md",
        "SHA256SUMS",
        "classes-folder.png",
        "croissant.json",
        "crop-fidelity.png",
        "evaluation.json",
        "provenance.json",
        "reliability-folder.png",
    ];
    assert_eq!(changed, expected.map(PathBuf::from));
    assert_eq!(with.len(), without.len() + 4);

    assert_eq!(Evaluation::read(&release.join("evaluation.json")).unwrap(), evaluation);
    let card = std::fs::read_to_string(release.join("README.md")).unwrap();
    for text in [
        "## Evaluation",
        "| prediction, folder | 87.4 ± 11.1 % |",
        "| boxes | 8 | 11 | 81.0 % | 66.0 % | 61.0 % (84.0 / 64.0 / 35.0) | 45.0 % (70.0 / 45.0 / 20.0) | 2.0 % |",
        "| Folder class | 61.0 ± 0.6 % | 0.440 ± 0.004 | infinite |",
        "](crop-fidelity.png)",
        "| `evaluation.json`, `reliability-folder.png`, `classes-folder.png`, `crop-fidelity.png` |",
    ] {
        assert!(card.contains(text), "{text} in {card}");
    }
    let provenance = read_json(&release.join("provenance.json"));
    let published = &provenance["evaluation"];
    assert_eq!(published["labels_sha256"], evaluation.store.labels_sha256.as_str());
    assert_eq!(published["truths"][0]["classes"]["pooled"]["top1"]["value"], 0.861);
    assert_eq!(published["truths"][1]["localization"]["pointing_game"], 0.81);
    assert_eq!(published["crop_fidelity"]["folder"]["kl"], Value::Null);
    assert!(read_json(&folder.path().join("without/provenance.json")).get("evaluation").is_none());
    let croissant = read_json(&release.join("croissant.json"));
    assert_eq!(croissant["conformsTo"][1], "http://mlcommons.org/croissant/RAI/1.0");
    assert_eq!(croissant["rai:dataAnnotationAnalysis"].as_array().unwrap().len(), 3);
    let object = croissant["distribution"].as_array().unwrap().iter().find(|file| file["@id"] == "evaluation.json");
    assert_eq!(object.unwrap()["sha256"], json!(digest_bytes(&evaluation.to_json_bytes())));

    Ran::of(hermetic("sha256sum").args(["-c", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&release)).expect(0);
    Ran::of(relabel(folder.path()).args(["verify", "release", "--full"])).expect(0);
    // The labels of the release have the same digest.
    Ran::of(relabel(folder.path()).args(["report", "release", "-o", "page"]).args(WITH)).expect(0);
}

#[test]
fn a_release_contains_the_figures_of_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let mut evaluation = evaluated_store(folder.path());
    let mut crops = crop_fidelity_of_tiles();
    crops.coverings.insert("/home/me/tiles.csv".to_owned(), fidelity(0.5, 0.2, Some(0.5)));
    evaluation.crop_fidelity = Some(crops);
    write(folder.path(), &evaluation);
    publish(folder.path(), &[&["--to", "release"], &WITH[..]].concat()).expect(0);
    let release = folder.path().join("release");
    let card = std::fs::read_to_string(release.join("README.md")).unwrap();
    for text in [
        "| Calibrated target of the crop | 87.0 ± 0.6 % | 0.180 ± 0.004 | 0.300 ± 0.007 |",
        "| Prediction for the closest tile | 82.0 ± 0.6 % |",
        "### Crop fidelity of coverings",
        "| Image and all 13 tiles | 85.5 ± 0.6 % |",
        "](crop-fidelity-coverings.png)",
    ] {
        assert!(card.contains(text), "{text} in {card}");
    }
    let published = &read_json(&release.join("provenance.json"))["evaluation"]["crop_fidelity"];
    for kind in LabelKind::ALL {
        assert!(published[kind.name()]["tv"].is_number(), "{kind:?}: {published}");
    }
    assert_eq!(published["coverings"].as_object().unwrap().keys().collect::<Vec<_>>(), ["4", "5", "9"]);
    let croissant = read_json(&release.join("croissant.json"));
    let sentence = croissant["rai:dataAnnotationAnalysis"][2].as_str().unwrap();
    assert!(sentence.contains("Calibrated target of the crop: 87.0 %, 0.180. "), "{sentence}");
    for (path, bytes) in store_bytes(&release) {
        assert!(!String::from_utf8_lossy(&bytes).contains("/home/me"), "{}", path.display());
    }
}

#[test]
fn other_evaluations_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let good = evaluated_store(folder.path());
    let mut other = good.clone();
    other.store.labels_sha256 = digest_bytes(b"other labels");
    let mut class = good.clone();
    class.truths[0].classes.as_mut().unwrap().by_class[3].class = 20;
    let mut share = good.clone();
    share.truths[0].classes.as_mut().unwrap().pooled.as_mut().unwrap().top1.value = 1.5;
    let version = String::from_utf8(good.to_json_bytes()).unwrap().replacen(
        "\"evaluation_version\": 1",
        "\"evaluation_version\": 2",
        1,
    );
    let both = format!(
        "labels_sha256 {}) than those of store labels ({})",
        other.store.labels_sha256, good.store.labels_sha256
    );
    let mut calibration = good.clone();
    calibration.crop_fidelity.as_mut().unwrap().pooling_sha256 = Some(digest_bytes(b"other calibration"));
    let mut covering = good.clone();
    covering.crop_fidelity.as_mut().unwrap().coverings = [("5".to_owned(), fidelity(0.5, 0.2, Some(-4.0)))].into();
    let cases: [(Vec<u8>, &str); 9] = [
        (other.to_json_bytes(), &both),
        (calibration.to_json_bytes(), "another calibration (pooling.json "),
        (covering.to_json_bytes(), "crop_fidelity.coverings.5 is -1.6, expected a number from -0.000001 to 1000000"),
        (class.to_json_bytes(), "figures of class 20, but the store has 20 classes"),
        (share.to_json_bytes(), "truths[0].classes.pooled.top1.value is 1.5, expected a number from 0 to 1"),
        (version.into_bytes(), "`evaluation_version` is 2, but relabel "),
        (good.to_json_bytes()[..900].to_vec(), "not a document of `relabel evaluate`"),
        (b"{\"summary\": []}".to_vec(), "`evaluation_version` is missing"),
        (vec![0xff, 0xd8, 0xff], "not a document of `relabel evaluate`"),
    ];
    for (bytes, expected) in cases {
        std::fs::write(folder.path().join("evaluation.json"), bytes).unwrap();
        let published = publish(folder.path(), &[&["--to", "release"], &WITH[..]].concat()).expect(2);
        let shown = Ran::of(relabel(folder.path()).args(["report", "labels", "-o", "page"]).args(WITH)).expect(2);
        for refused in [published, shown] {
            let help = "help: ";
            assert!(
                refused.stderr.contains(expected) && refused.stderr.contains(help),
                "{expected}: {}",
                refused.stderr
            );
        }
    }
    std::fs::remove_file(folder.path().join("evaluation.json")).unwrap();
    let missing = publish(folder.path(), &[&["--to", "release"], &WITH[..]].concat()).expect(2);
    assert!(missing.stderr.contains("cannot use the evaluation evaluation.json: missing"), "{}", missing.stderr);
    assert!(!folder.path().join("release").exists() && !folder.path().join("page").exists());
}

#[test]
fn names_in_an_evaluation_are_escaped_and_paths_are_shortened() {
    let folder = tempfile::tempdir().unwrap();
    let mut evaluation = evaluated_store(folder.path());
    let hostile = "x](javascript:alert(1)) | <script>\n---\n# b";
    evaluation.tool_version = hostile.to_owned();
    evaluation.truths[0].truth = truth(hostile, hostile);
    evaluation.truths[0].classes.as_mut().unwrap().by_class[0].name = hostile.to_owned();
    evaluation.truths[1].truth.name = "/home/me/secret/boxes.json".to_owned();
    evaluation.truths[1].truth.truth_without_image_example = Some("/home/me/a.jpg".to_owned());
    write(folder.path(), &evaluation);
    let output = publish(folder.path(), &[&["--to", "release", "--json"], &WITH[..]].concat()).expect(0).json();
    let redactions = output["redactions"].as_array().unwrap();
    for (location, to) in [
        ("evaluation.json: truths[1].truth.name", "boxes.json"),
        ("evaluation.json: truths[1].truth.truth_without_image_example", "a.jpg"),
    ] {
        let is_there = redactions.iter().any(|cut| cut["location"] == location && cut["to"] == to);
        assert!(is_there, "{location}: {redactions:?}");
    }
    let release = folder.path().join("release");
    for (path, bytes) in store_bytes(&release) {
        assert!(!String::from_utf8_lossy(&bytes).contains("/home/me"), "{}", path.display());
    }
    let card = std::fs::read_to_string(release.join("README.md")).unwrap();
    let active = card.replace("\\<", "").replace("\\]", "").replace("\\|", "");
    assert!(!active.contains("<script") && !active.contains("](javascript") && !active.contains("| <"), "{card}");
    assert_eq!(card.lines().filter(|line| *line == "---").count(), 2, "{card}");
    Ran::of(relabel(folder.path()).args(["verify", "release"])).expect(0);
}

#[test]
fn a_report_shows_the_figures_from_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    evaluated_store(folder.path());
    let report =
        |args: &[&str]| Ran::of(relabel(folder.path()).args(["report", "labels", "-o", "page"]).args(args)).expect(0);
    let document = report(&[&["--json"], &WITH[..]].concat()).json();
    assert_eq!(document["charts"], 3);
    let page = folder.path().join("page");
    let files = || store_bytes(&page).into_iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>();
    let charts = ["data/chart-00.png", "data/chart-01.png", "data/chart-02.png"];
    assert_eq!(files(), [&["data/block-00000.js"], &charts[..], &["data/rows.js", "index.html"]].concat());
    let rows = std::fs::read_to_string(page.join("data/rows.js")).unwrap();
    let data: Value = serde_json::from_str(rows.split_once('(').unwrap().1.strip_suffix(");\n").unwrap()).unwrap();
    assert_eq!(data["figures"]["charts"][2]["file"], charts[2]);
    let tables = data["figures"]["tables"].as_array().unwrap();
    let titles: Vec<_> = tables.iter().map(|table| table["title"].as_str().unwrap()).collect();
    assert_eq!(
        titles,
        ["Truths", "Accuracy", "Calibration", "True classes outside of the top k", "Localization", "Crop fidelity"]
    );
    // An earlier report's charts are deleted.
    report(&[]);
    assert_eq!(files(), ["data/block-00000.js", "data/rows.js", "index.html"]);
}
