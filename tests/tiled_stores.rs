use std::path::Path;

use relabel::shared::store::{ClassesInfo, StoreInfo};
use relabel::shared::tiles::Covering;
use serde_json::{Value, json};

use crate::common::{Ran, relabel};
use crate::synthetic_store::{calibration, create, info, mapless_info, tiled_info};

fn named(info: StoreInfo) -> StoreInfo {
    let names = (0..info.classes.count).map(|class| format!("class {class}")).collect();
    StoreInfo { classes: ClassesInfo { names, ..info.classes.clone() }, ..info }
}

/// Creates the stores `tiled`, which is calibrated, `mapless` and `plain`.
fn stores() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tiled = named(tiled_info(Covering::Five, true));
    create(&folder.path().join("tiled"), tiled.clone());
    calibration(&tiled, 1).write(&folder.path().join("tiled")).unwrap();
    create(&folder.path().join("mapless"), named(mapless_info()));
    create(&folder.path().join("plain"), named(info()));
    folder
}

fn run(folder: &tempfile::TempDir, args: &[&str]) -> Ran {
    Ran::of(relabel(folder.path()).args(args))
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Probabilities of classes, and their sum with the rest.
fn total(target: &Value) -> f64 {
    let probs = target["pooled"].as_array().unwrap().iter().map(|class| class["probability"].as_f64().unwrap());
    probs.sum::<f64>() + target["rest"].as_f64().unwrap()
}

#[test]
fn inspect_lists_tiles_and_calibrated_targets() {
    let folder = stores();
    let text = run(&folder, &["inspect", "tiled", "0", "--crop", "0,0,0.5,0.5"]).expect(0).stdout;
    for part in [
        "Largest region",
        "prediction for each of 5 tiles (covering 5)\n   0  0.00,0.00,0.50,0.50   50.0 %  class 0",
        "   4  0.25,0.25,0.75,0.75   50.0 %  class 4",
        "\ntarget of the crop 0.000,0.000,0.500,0.500\n",
        "\ntarget of the crop 0.000,0.000,0.500,0.500, calibrated\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let found = run(&folder, &["inspect", "tiled", "0", "--crop", "0,0,0.5,0.5", "--json"]).expect(0).json();
    assert_eq!((&found["covering"], found["tiles"].as_array().unwrap().len()), (&json!("5"), 5));
    assert_eq!(found["tiles"][4]["box"], json!([0.25, 0.25, 0.75, 0.75]));
    assert_eq!(found["tiles"][4]["prediction"][0]["class"], 4);
    assert_eq!(found["tiles"][4]["has_map"], true);
    let crop = &found["crop"];
    assert_eq!((&crop["pooling"], &crop["pooled"]), (&json!("paper"), &crop["targets"][0]["pooled"]));
    assert_eq!(crop["targets"][1]["pooling"], "calibrated");
    assert!((total(&crop["targets"][1]) - 1.0).abs() < 1e-5, "{crop}");
    // The tile has most of the target.
    let tiles = run(&folder, &["inspect", "tiled", "0", "--crop", "0.5,0,1,0.5", "--pooling", "tiles", "--json"]);
    let crop = &tiles.expect(0).json()["crop"];
    assert_eq!((&crop["pooling"], &crop["pooled"][0]["class"]), (&json!("tiles"), &json!(1)));
    assert_eq!(crop["targets"].as_array().unwrap().len(), 1);
    let plain = run(&folder, &["inspect", "plain", "0", "--crop", "0,0,0.5,0.5", "--json"]).expect(0).json();
    assert_eq!((&plain["tiles"], &plain["covering"]), (&json!([]), &Value::Null));
    assert_eq!(plain["crop"]["targets"].as_array().unwrap().len(), 1);
}

#[test]
fn inspect_shows_a_store_without_label_maps() {
    let folder = stores();
    let args = ["inspect", "mapless", "3", "--crop", "0,0,0.5,0.5", "-o", "three.png", "--html", "three"];
    let text = run(&folder, &args).expect(0).stdout;
    for part in [
        "Prediction: class 3 (75 %), the best class of 1 of 5 tiles. The store has predictions only.\n",
        "\ntarget of the crop 0.000,0.000,0.500,0.500, by tiles\n",
        "picture  three.png",
        "page     three/index.html",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("top class of each"), "{text}");
    assert!(std::fs::read(folder.path().join("three.png")).unwrap().len() > 5000);
    let found = run(&folder, &["inspect", "mapless", "3", "--json"]).expect(0).json();
    assert_eq!((&found["map_size"], &found["regions"], &found["objects"]), (&Value::Null, &json!([]), &json!([])));
    assert_eq!((&found["verdict"], &found["pooled"][0]["class"]), (&json!("not-compared"), &json!(3)));
}

#[test]
fn poolings_that_a_store_cannot_have_are_refused() {
    let folder = stores();
    let crop =
        |store: &'static str, kind: &'static str| ["inspect", store, "0", "--crop", "0,0,1,1", "--pooling", kind];
    let paper = run(&folder, &crop("mapless", "paper")).expect(1).stderr;
    assert!(paper.contains("mapless has predictions only, and no label maps"), "{paper}");
    for (store, kind, text) in [
        ("plain", "tiles", "store plain has no tiles"),
        ("plain", "calibrated", "store plain has no pooling.json\n  help: run `relabel calibrate`"),
        ("plain", "best", "possible values: paper, tiles, calibrated"),
    ] {
        let refused = run(
            &folder,
            &["-o", "x.png"].into_iter().fold(crop(store, kind).to_vec(), |mut args, more| {
                args.push(more);
                args
            }),
        );
        let refused = refused.expect(2);
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
        assert!(!folder.path().join("x.png").exists());
    }
    run(&folder, &["inspect", "tiled", "0", "--pooling", "tiles"]).expect(2);
    // A damaged calibration is named, and so is that of another store.
    std::fs::copy(folder.path().join("tiled/pooling.json"), folder.path().join("mapless/pooling.json")).unwrap();
    let other = run(&folder, &["inspect", "mapless", "0", "--crop", "0,0,1,1"]).expect(1).stderr;
    assert!(other.contains("it was made for a store with other settings"), "{other}");
    let report = run(&folder, &["report", "mapless", "-o", "page"]).expect(1).stderr;
    assert!(report.contains("it was made for a store with other settings"), "{report}");
    assert!(!folder.path().join("page/index.html").exists());
}

#[test]
fn status_and_reports_have_tiles() {
    let folder = stores();
    let status = run(&folder, &["status", "tiled"]).expect(0).stdout;
    assert!(status.contains("top 2)\ntiles    5 (5 tiles with maps, top 2)\nlabelled 9 of 10"), "{status}");
    let status = run(&folder, &["status", "mapless"]).expect(0).stdout;
    assert!(status.starts_with("teacher  synthetic (no cells, top 2)\ntiles    5 (5 tiles, top 2)\n"), "{status}");
    assert_eq!(run(&folder, &["status", "mapless", "--json"]).expect(0).json()["tiles"]["covering"], "5");
    assert_eq!(run(&folder, &["status", "plain", "--json"]).expect(0).json()["tiles"], Value::Null);

    for store in ["tiled", "mapless", "plain"] {
        run(&folder, &["report", store, "-o", &format!("{store}.page"), "--all"]).expect(0);
    }
    let data = |file: &str| {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        let (start, end) = (text.find('(').unwrap(), text.rfind(')').unwrap());
        serde_json::from_str::<Value>(&text[start + 1..end]).unwrap()
    };
    let about = &data("tiled.page/data/rows.js")["about"];
    assert_eq!((&about["tiles"]["boxes"][1], &about["mapSize"]), (&json!([0.5, 0.0, 1.0, 0.5]), &json!([2, 3])));
    assert_eq!(
        (&about["pooling"]["calibrated"]["tile_bias"], &about["pooling"]["tiles"]["overlap_sharpness"]),
        (&json!(0.25), &json!(8.0))
    );
    let images = &data("tiled.page/data/block-00000.js")["images"];
    assert_eq!(images[0]["tiles"][4]["prediction"], json!([[4, 0.5], [5, 0.25]]));
    assert!(images[0]["tiles"][4]["scores"].is_string() && images[0]["scores"].is_string());
    let about = &data("mapless.page/data/rows.js")["about"];
    assert_eq!((&about["mapSize"], &about["pooling"]["calibrated"]), (&Value::Null, &Value::Null));
    let image = &data("mapless.page/data/block-00000.js")["images"][1];
    assert_eq!((image.get("scores"), &image["tiles"][0]), (None, &json!({ "prediction": [[1, 0.5], [2, 0.25]] })));
    assert_eq!(data("plain.page/data/rows.js")["about"]["tiles"], Value::Null);
}

#[test]
fn what_needs_label_maps_is_refused_before_work_begins() {
    let folder = stores();
    for (action, args) in [
        ("audit a store", &["audit", "mapless", "-o", "audit.csv"][..]),
        ("compare label maps", &["compare", "mapless", "plain", "-o", "compared.csv"]),
        ("compare label maps", &["compare", "plain", "mapless", "--picture", "x.png"]),
    ] {
        let refused = run(&folder, args).expect(1);
        let expected = format!(
            "relabel: cannot {action}: store mapless has predictions only, and no label maps\n  help: use the predictions of \
             images and tiles, or label with a teacher that has cells\n"
        );
        assert_eq!(refused.stderr, expected, "{args:?}");
        assert_eq!(refused.stdout, "");
    }
    let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["mapless", "plain", "tiled"], "nothing was written");
}

#[test]
fn predictions_for_common_tiles_are_compared() {
    let folder = stores();
    create(&folder.path().join("nine"), named(tiled_info(Covering::Nine, false)));
    create(&folder.path().join("four"), named(tiled_info(Covering::Four, false)));
    let same = run(&folder, &["compare", "tiled", "tiled", "--json"]).expect(0).json();
    assert_eq!((&same["identical"], &same["tiles"]["same_best"]), (&true.into(), &json!(1.0)));
    // The first of five tiles has the same position and class among the nine, the others have other classes.
    let other = run(&folder, &["compare", "tiled", "nine", "-o", "c.csv", "--json"]).expect(0).json();
    assert_eq!((&other["tiles"]["tiles"], &other["identical"]), (&json!(5), &false.into()));
    assert!((other["tiles"]["same_best"].as_f64().unwrap() - 0.4).abs() < 1e-6, "{}", other["tiles"]);
    let table = std::fs::read_to_string(folder.path().join("c.csv")).unwrap();
    assert!(
        table
            .lines()
            .next()
            .unwrap()
            .ends_with("max_target_distance,same_tiles,tile_distance,max_tile_distance,looks_like"),
        "{table}"
    );
    let text = run(&folder, &["compare", "tiled", "nine"]).expect(0).stdout;
    assert!(text.contains("tiles      40.0 % of predictions for 5 tiles in both have the same best class"), "{text}");
    // Labels of entire images are the same, and no tile is in both.
    for (store, has) in [("four", "4 (4 tiles, top 2)"), ("plain", "none")] {
        let text = run(&folder, &["compare", "tiled", store]).expect(0).stdout;
        assert!(text.contains("identical every score"), "{text}");
        assert!(
            text.contains(&format!("tiles     not compared: A has 5 (5 tiles with maps, top 2), B has {has}\n")),
            "{text}"
        );
    }
}

fn publish(folder: &tempfile::TempDir, store: &str) {
    let to = format!("{store}.release");
    run(folder, &["publish", store, "--to", &to, "--license", "CC-BY-4.0", "--source-terms", "none"]).expect(0);
    run(folder, &["verify", &to, "--full"]).expect(0);
}

#[test]
fn a_release_describes_tiles_and_calibration() {
    let folder = stores();
    publish(&folder, "tiled");
    let release = folder.path().join("tiled.release");
    assert_eq!(
        std::fs::read(release.join("pooling.json")).unwrap(),
        std::fs::read(folder.path().join("tiled/pooling.json")).unwrap()
    );
    let card = std::fs::read_to_string(release.join("README.md")).unwrap();
    for part in [
        "| `tile_probs/`, `tile_classes/` |",
        "| `tile_map_scores/`, `tile_map_classes/` |",
        "| `pooling.json` |",
        "## Tiles\n\nThe teacher was also run on 5 tiles of each image",
        "| 4 | 0.25, 0.25, 0.75, 0.75 |",
        "| tiles per image | 5 |",
        "## Calibrated pooling",
        "| Target of the crop | 0.750 ± 0.050 | 0.250 | 1.860 ± 0.020 |",
        "Prediction for the entire image\"\\) has 0.812 ± 0.020: calibrated targets are closer by 0.312 ± 0.030",
        "pooling=\"calibrated\")",
        "store[\"tile_probs\"][0]",
    ] {
        assert!(card.contains(part), "{part} in {card}");
    }
    let provenance = read_json(&release.join("provenance.json"));
    assert_eq!(provenance["settings"]["tiles"]["covering"], "5");
    assert_eq!(provenance["settings"]["tiles"]["maps"], true);
    assert_eq!(provenance["pooling"]["figures"][2]["label"], "calibrated");
    assert_eq!(provenance["pooling"]["parameters"]["tile_bias"], 0.25);
    let croissant = read_json(&release.join("croissant.json"));
    let described = |id: &str| {
        let found = croissant["distribution"].as_array().unwrap().iter().find(|entry| entry["@id"] == id);
        found.unwrap_or_else(|| panic!("{id}"))["description"].as_str().unwrap().to_owned()
    };
    assert!(described("tile_probs").contains("tiles of the covering 5, in order"), "{}", described("tile_probs"));
    assert!(described("pooling.json").contains("calibrated pooling"));
    assert!(croissant["rai:dataAnnotationAnalysis"][0].as_str().unwrap().starts_with("Calibrated targets of 32"));
}

#[test]
fn a_release_without_label_maps_describes_predictions() {
    let folder = stores();
    publish(&folder, "mapless");
    let release = folder.path().join("mapless.release");
    assert!(!release.join("scores").exists() && release.join("overview.png").is_file());
    let card = std::fs::read_to_string(release.join("README.md")).unwrap();
    for part in [
        "# Predictions of synthetic by synthetic",
        "The store has predictions only, and no label maps.",
        "no prediction contains the folder class",
        "The best classes of a few images and their tiles",
        "store[\"image_probs\"][0]",
        "contain 0 in `image_probs` and 65535 in `image_classes`",
    ] {
        assert!(card.contains(part) || part.starts_with("no pred"), "{part} in {card}");
    }
    for absent in ["`scores", "label-maps", "LabelPooling", "Calibrated", "location of the cells"] {
        assert!(!card.contains(absent), "{absent} in {card}");
    }
    let croissant = read_json(&release.join("croissant.json")).to_string();
    assert!(
        croissant.contains("The store has no label maps.")
            && croissant.contains("some prediction of the image or a tile")
    );
    assert_eq!(read_json(&release.join("provenance.json"))["settings"]["map_size"], Value::Null);
}

#[test]
fn a_release_with_the_calibration_of_another_store_is_reported() {
    let folder = stores();
    publish(&folder, "plain");
    let release = folder.path().join("plain.release");
    let there = folder.path().join("tiled/pooling.json");
    std::fs::copy(there, release.join("pooling.json")).unwrap();
    let found = run(&folder, &["verify", "plain.release"]).expect(3).stdout;
    let expected = "pooling.json: it was made for a store with other settings (ask the publisher)";
    assert!(found.contains(expected), "{found}");
    // A store with it is not published.
    let info: StoreInfo = tiled_info(Covering::Four, false);
    create(&folder.path().join("four"), info);
    std::fs::copy(folder.path().join("tiled/pooling.json"), folder.path().join("four/pooling.json")).unwrap();
    let refused = run(&folder, &["publish", "four", "--to", "four.release", "--license", "MIT"]).expect(1).stderr;
    assert!(refused.contains("pooling.json: it was made for a store with other settings"), "{refused}");
    assert!(!folder.path().join("four.release").exists());
}
