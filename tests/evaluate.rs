use std::path::Path;

use relabel::evaluation::evaluation_file::Evaluation;
use relabel::shared::label_map::TileLabels;
use relabel::shared::store::{Agreement, MAPLESS_FORMAT_VERSION, StoreWriter, WriterOptions, encode_shard};
use relabel::shared::tiles::{Covering, Tiles};
use serde_json::{Value, json};

use crate::common::{LabelRun, Ran, data, lite0, relabel};
use crate::synthetic_store;

/// Photographs in the folders of their classes, one in a wrong folder and a broken one.
const IMAGES: [(&str, &str); 6] = [
    ("photos/coffee", "n07920052/coffee"),
    ("photos/chelsea", "n02124075/chelsea"),
    ("photos/rocket", "n04266014/rocket"),
    ("odd/wide", "n01440764/wide"),
    ("photos/astronaut", "n07920052/astronaut"),
    ("bad/empty", "n07920052/empty"),
];

fn labelled_store(folder: &Path) {
    for (photograph, label) in IMAGES {
        let to = folder.join("in").join(format!("{label}.JPEG"));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(data(&format!("golden/images/{photograph}.JPEG")), to).unwrap();
    }
    LabelRun::new(folder).out("labels").args(&["--input-size", "224"]).run().expect(3);
}

fn evaluate(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(relabel(folder).args([&["evaluate", "labels"], args].concat()))
}

fn close(a: &Value, b: f64) -> bool {
    (a.as_f64().unwrap() - b).abs() < 1e-9
}

#[test]
fn folder_classes_are_the_default_truth_and_agree_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    let evaluation = evaluate(folder.path(), &["--json", "-o", "evaluation.json"]).expect(0).json();
    let status = Ran::of(relabel(folder.path()).args(["status", "labels", "--json"])).expect(0).json();
    let truth = &evaluation["truths"][0];
    assert_eq!(truth["truth"]["name"], "folder");
    assert_eq!((&truth["truth"]["images"], &truth["truth"]["images_without_truth"]), (&json!(5), &json!(0)));
    assert_eq!(truth["truth"]["truth_not_labelled"], 1, "the broken image has a folder, but no labels");
    let compared = status["agreement"]["compared"].as_f64().unwrap();
    for key in ["top1", "top5"] {
        let expected = status["agreement"][key].as_f64().unwrap() / compared;
        assert!(close(&truth["classes"]["prediction"][key]["value"], expected), "{key}: {truth}");
    }
    let by_class = truth["classes"]["by_class"].as_array().unwrap();
    assert_eq!(by_class.iter().map(|class| class["images"].as_u64().unwrap()).sum::<u64>(), 5);
    let bins = truth["classes"]["pooled"]["reliability"].as_array().unwrap();
    assert_eq!((bins.len(), bins.iter().map(|bin| bin["images"].as_u64().unwrap()).sum::<u64>()), (15, 5));
    let written: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("evaluation.json")).unwrap()).unwrap();
    assert_eq!(written, evaluation);
    let sha256 = evaluation["store"]["labels_sha256"].as_str().unwrap();
    assert_eq!(sha256.len(), 64);
    let text = evaluate(folder.path(), &[]).expect(0).stdout;
    for part in ["folder classes: 5 images compared", "prediction", "target, full image", "censored", "lowest top-1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn truths_of_several_formats_are_evaluated_together() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "lists.json",
        r#"{"n07920052/coffee.JPEG": [967, 504], "chelsea": [285], "rocket.JPEG": [], "elsewhere.JPEG": [1]}"#,
    );
    write("lists.csv", "id,labels\nn07920052/coffee,967\nn02124075/chelsea,281 285\n");
    std::fs::create_dir(folder.path().join("boxes")).unwrap();
    write(
        "boxes/coffee.xml",
        "<annotation><filename>coffee</filename><size><width>600</width><height>400</height><depth>3</depth></size>\
         <object><name>n07920052</name><bndbox><xmin>150</xmin><ymin>60</ymin><xmax>460</xmax><ymax>360</ymax></bndbox></object>\
         </annotation>",
    );
    let args = ["--truth", "lists.json", "--truth", "lists.csv", "--truth", "boxes", "--truth", "folder", "--json"];
    let evaluation = evaluate(folder.path(), &args).expect(0).json();
    let truths = evaluation["truths"].as_array().unwrap();
    let formats: Vec<_> = truths.iter().map(|truth| truth["truth"]["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["class-lists", "class-lists", "pascal-voc", "folder"]);
    let described = &truths[0]["truth"];
    assert_eq!(
        (&described["images"], &described["empty"], &described["images_without_truth"]),
        (&json!(2), &json!(1), &json!(2))
    );
    assert_eq!(
        (&described["truth_without_image"], &described["truth_without_image_example"]),
        (&json!(1), &json!("elsewhere.JPEG"))
    );
    assert!(close(&truths[0]["classes"]["prediction"]["top1"]["value"], 1.0), "{}", truths[0]);
    let localization = &truths[2]["localization"];
    assert_eq!((&localization["images"], &localization["boxes"]), (&json!(1), &json!(1)));
    assert!(close(&localization["pointing_game"], 1.0), "the espresso is where its map is: {localization}");
    assert_eq!(truths[2]["classes"]["images"], 1, "boxes have classes, too");
    assert!(truths[1]["localization"].is_null() && truths[3]["localization"].is_null());
}

/// A store of predictions of images and tiles. Every row except 5, which failed, has the class of its number.
fn store_without_maps(folder: &Path) {
    let mut info = synthetic_store::info();
    (info.map_size, info.format_version) = (None, MAPLESS_FORMAT_VERSION);
    info.tiles = Some(Tiles::new("5".to_owned(), Covering::Five.boxes(), 2, false).unwrap());
    let manifest = synthetic_store::manifest();
    let store = StoreWriter::create(&folder.join("labels"), info, &manifest, WriterOptions::default()).unwrap();
    for shard in 0..store.info().shards() {
        let mut labels = synthetic_store::shard_labels(&synthetic_store::info(), shard);
        for image in labels.images.iter_mut().flatten() {
            image.map = None;
            image.tiles = vec![TileLabels { prediction: image.prediction.clone(), map: None }; 5];
        }
        let files = encode_shard(store.info(), &labels).unwrap();
        store.commit(&labels, &files, Agreement::default()).unwrap();
    }
}

#[test]
fn predictions_are_evaluated_without_label_maps() {
    let folder = tempfile::tempdir().unwrap();
    store_without_maps(folder.path());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("lists.json", r#"{"c/0.jpg": [0], "c/1.jpg": [1, 7], "c/2.jpg": [9], "c/3.jpg": [4], "c/4.jpg": []}"#);
    let args = ["--truth", "lists.json", "-o", "evaluation.json", "--charts", "charts"];
    let evaluation = evaluate(folder.path(), &[&args[..], &["--json"]].concat()).expect(0).json();
    let classes = &evaluation["truths"][0]["classes"];
    assert!(close(&classes["prediction"]["top1"]["value"], 0.5), "{classes}");
    assert!(close(&classes["prediction"]["top5"]["value"], 0.75), "{classes}");
    assert_eq!((&classes["pooled"], &classes["censored"]), (&Value::Null, &Value::Null));
    assert_eq!(
        classes["by_class"][0],
        json!({
            "class": 0, "name": "", "images": 1, "prediction_top1": 1.0, "pooled_top1": null
        })
    );
    let text = evaluate(folder.path(), &args).expect(0).stdout;
    assert!(text.contains("not evaluated: the store has no label maps") && !text.contains("censored"), "{text}");
    for file in ["charts/reliability-lists.png", "charts/classes-lists.png"] {
        assert!(folder.path().join(file).metadata().unwrap().len() > 500, "{file}");
    }
    // The document is read again.
    let read = Evaluation::read(&folder.path().join("evaluation.json")).unwrap();
    assert_eq!(json!(read), evaluation);

    // Boxes with classes have figures of classes. Boxes alone need maps.
    std::fs::create_dir(folder.path().join("boxes")).unwrap();
    write("boxes/localization.txt", "c/0.jpg,10,10,40,40\n");
    write("boxes/image_sizes.txt", "c/0.jpg,96,64\n");
    let refused = evaluate(folder.path(), &["--truth", "boxes"]).expect(1).stderr;
    assert!(
        refused.contains("cannot evaluate boxes: store labels has predictions only, and no label maps"),
        "{refused}"
    );
    write("boxes/class_labels.txt", "c/0.jpg,0\n");
    let evaluation = evaluate(folder.path(), &["--truth", "boxes", "--json"]).expect(0).json();
    let truth = &evaluation["truths"][0];
    assert_eq!((&truth["localization"], &truth["classes"]["images"]), (&Value::Null, &json!(1)));
}

#[test]
fn crops_are_compared_with_the_teacher_of_the_store_only() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    let teacher = lite0().display().to_string();
    let crops = ["--crops", "4", "--images", "3", "--teacher", &teacher, "--in", "in", "--input-size", "224"];
    let files = ["-o", "crops.parquet", "-o", "evaluation.json", "--charts", "charts", "--json"];
    let evaluation = evaluate(folder.path(), &[&crops[..], &files].concat()).expect(0).json();
    let fidelity = &evaluation["crop_fidelity"];
    assert_eq!((&fidelity["images"], &fidelity["crops"], &fidelity["seed"]), (&json!(3), &json!(12), &json!(0)));
    for kind in ["pooled", "image", "folder", "swapped"] {
        assert!(fidelity[kind]["tv"].as_f64().is_some_and(|tv| (0.0..=1.0).contains(&tv)), "{kind}: {fidelity}");
    }
    assert!(fidelity["rest"].is_null() && fidelity["folder"]["kl"].is_null());
    assert!(fidelity["tiles"].is_null() && fidelity["calibrated"].is_null() && fidelity["coverings"] == json!({}));
    for file in ["crops.parquet", "evaluation.json", "charts/crop-fidelity.png", "charts/reliability-folder.png"] {
        assert!(folder.path().join(file).metadata().unwrap().len() > 500, "{file}");
    }
    assert_eq!(evaluate(folder.path(), &[&crops[..], &["--json"]].concat()).expect(0).json(), evaluation);

    let other = [&crops[..], &["--mean", "0.4,0.5,0.6"]].concat();
    let refused = evaluate(folder.path(), &other).expect(2).stderr;
    for part in ["card, mean: [0.5,0.5,0.5] in the store, [0.4,0.5,0.6]", "--other-teacher"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let accepted = evaluate(folder.path(), &[&other[..], &["--other-teacher"]].concat()).expect(0);
    assert!(accepted.stderr.contains("--other-teacher is given") && accepted.stdout.contains("target, swapped"));
}

#[test]
fn unusable_requests_are_refused_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    labelled_store(folder.path());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("other.json", r#"{"coffee": [1000]}"#);
    write("elsewhere.json", r#"{"x/y.JPEG": [1]}"#);
    write("empty.json", r#"{"coffee": []}"#);
    for (args, code, part) in [
        (&["--truth", "other.json"][..], 2, "class id 1000"),
        (&["--truth", "elsewhere.json"], 2, "no image in common"),
        (&["--truth", "empty.json"], 2, "1 have an empty one"),
        (&["--truth", "absent.json"], 2, "absent.json"),
        (&["-o", "crops.parquet"], 2, "no crops are evaluated"),
        (&["-o", "evaluation.txt"], 2, "unknown extension"),
        (&["-o", "a.json", "-o", "b.json"], 2, "two files for the evaluation"),
        (&["-o", "labels/evaluation.json"], 2, "cannot write into the store"),
        (&["--charts", "labels/charts"], 2, "cannot write into the store"),
        (&["-o", "absent/evaluation.json"], 1, "absent"),
        (&["--crops", "4"], 2, "--teacher"),
    ] {
        let refused = evaluate(folder.path(), args).expect(code).stderr;
        assert!(refused.contains(part), "{args:?}: {refused}");
    }
    let refused = Ran::of(relabel(folder.path()).args(["evaluate", "in"])).expect(1).stderr;
    assert!(refused.contains("store in"), "{refused}");
}
