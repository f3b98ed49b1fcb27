use std::path::PathBuf;

use half::f16;
use ndarray::{Array2, Array4, Axis};
use relabel::inspection::inspect::{CropRequest, ImageView, ImageViewer};
use relabel::inspection::picture::{Scene, draw_image, draw_predictions};
use relabel::labelling::pixels::{ExifOrientation, RgbImage, decode};
use relabel::shared::classes::ClassList;
use relabel::shared::geometry::{MapSize, UnitBox};
use relabel::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, TileLabels};
use relabel::shared::manifest::{Manifest, ManifestEntry};
use relabel::shared::pooling_parameters::PoolingParameters;
use relabel::shared::store::StoreInfo;
use relabel::shared::tiles::{Covering, Tiles};
use relabel::training::labels::{CropPooling, PoolingKind};

use crate::common::{Ran, data, lite0, relabel, repository, run};
use crate::golden::{golden, ids};
use crate::synthetic_store;

/// The labels of PyTorch for a golden photograph, as a store contains them.
fn labels(id: &str) -> ImageLabels {
    let at = ids().iter().position(|known| known == id).unwrap();
    let (scores, classes): (Array4<f32>, Array4<i32>) = (golden("scores"), golden("classes"));
    let scores: Vec<f16> = scores.index_axis(Axis(0), at).iter().map(|score| f16::from_f32(*score)).collect();
    let classes: Vec<u32> = classes.index_axis(Axis(0), at).iter().map(|class| *class as u32).collect();
    let map = LabelMap::from_rank_planes(&scores, &classes, 5, MapSize::new(7, 7).unwrap()).unwrap();
    let logits: Array2<f32> = golden("logits");
    let logits = logits.index_axis(Axis(0), at);
    let mut order: Vec<usize> = (0..1000).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let total: f32 = logits.iter().map(|logit| logit.exp()).sum();
    let probs: Vec<f32> = order[..5].iter().map(|&class| logits[class].exp() / total).collect();
    let best: Vec<i32> = order[..5].iter().map(|&class| class as i32).collect();
    ImageLabels::new(map, ImagePrediction::from_ranks(&probs, &best).unwrap())
}

fn manifest(id: &str, label: Option<&str>) -> Manifest {
    let entry =
        ManifestEntry { path: id.to_owned(), folder_class: label.map(str::to_owned), ..ManifestEntry::default() };
    Manifest::from_entries(vec![entry]).unwrap()
}

fn view(id: &str, label: Option<&str>, crop: Option<UnitBox>) -> ImageView {
    let crop =
        crop.map(|unit_box| CropRequest { unit_box, poolings: vec![(PoolingKind::Paper, CropPooling::default())] });
    let classes = ClassList::imagenet_1k();
    let info = store_info(&classes, true, None);
    ImageViewer::new(&info, &manifest(id, label), &classes).view(0, labels(id), crop.as_ref()).unwrap()
}

fn store_info(classes: &ClassList, has_maps: bool, tiles: Option<Tiles>) -> StoreInfo {
    let map_size = has_maps.then(|| MapSize::new(7, 7).unwrap());
    StoreInfo { map_size, classes: classes.into(), tiles, ..synthetic_store::info() }
}

/// A photograph of a store with tiles, for which the predictions of other photographs are used.
fn tiled_view(id: &str, covering: Covering, has_maps: bool) -> ImageView {
    let tiles = Tiles::new(covering.name().into(), covering.boxes(), 5, false).unwrap();
    let classes = ClassList::imagenet_1k();
    let info = store_info(&classes, has_maps, Some(tiles.clone()));
    let others: Vec<String> = ids().into_iter().filter(|id| id.starts_with("photos/")).collect();
    let of_tile =
        |tile: usize| TileLabels { prediction: labels(&others[tile * 3 % others.len()]).prediction, map: None };
    let mut labels = labels(id);
    labels.map = labels.map.filter(|_| has_maps);
    labels.tiles = (0..tiles.count()).map(of_tile).collect();
    let by_overlap = CropPooling::Mixed(PoolingParameters::PREDICTIONS_BY_OVERLAP);
    let first = if has_maps { (PoolingKind::Paper, CropPooling::default()) } else { (PoolingKind::Tiles, by_overlap) };
    let crop = CropRequest {
        unit_box: UnitBox::new(0.4, 0.3, 0.9, 0.8).unwrap(),
        poolings: vec![first, (PoolingKind::Calibrated, by_overlap)],
    };
    ImageViewer::new(&info, &manifest(id, Some("n07920052")), &classes).view(0, labels, Some(&crop)).unwrap()
}

fn photo(id: &str) -> RgbImage {
    decode(&std::fs::read(data("golden/images").join(id)).unwrap(), ExifOrientation::Ignore).unwrap()
}

fn drawn(view: &ImageView, photo: Option<&RgbImage>) -> Vec<u8> {
    draw_image(&Scene { view, classes: &ClassList::imagenet_1k(), teacher: "efficientnet-lite0", photo }).unwrap()
}

/// Width, height and RGB pixels of a PNG.
fn pixels(png: &[u8]) -> RgbImage {
    decode(png, ExifOrientation::Ignore).unwrap()
}

/// Compares with the reviewed picture in `tests/data/pictures`. A different picture is written to the build folder;
/// `RELABEL_NEW_PICTURES=1` replaces the reviewed one.
pub fn compare(name: &str, png: &[u8]) {
    let known: PathBuf = data("pictures").join(name);
    if std::env::var_os("RELABEL_NEW_PICTURES").is_some() {
        std::fs::write(&known, png).unwrap();
    }
    let wanted = pixels(&std::fs::read(&known).unwrap());
    let given = pixels(png);
    let sides = |image: &RgbImage| (image.height_pixels(), image.width_pixels());
    let differing = wanted.data().iter().zip(given.data()).filter(|(a, b)| a.abs_diff(**b) > 24).count();
    let share = differing as f64 / wanted.data().len() as f64;
    if sides(&wanted) != sides(&given) || share > 0.002 {
        let new = repository("target").join(name);
        std::fs::write(&new, png).unwrap();
        panic!(
            "{name}: {:?} and {:?}, {:.2} % of the values differ; see {}",
            sides(&wanted),
            sides(&given),
            share * 100.0,
            new.display()
        );
    }
}

#[test]
fn the_picture_of_a_cup_is_unchanged() {
    let crop = UnitBox::new(0.4, 0.3, 0.9, 0.8).unwrap();
    let view = view("photos/coffee.JPEG", Some("n07920052"), Some(crop));
    compare("coffee.png", &drawn(&view, Some(&photo("photos/coffee.JPEG"))));
}

#[test]
fn the_picture_of_a_cat_is_unchanged() {
    let view = view("photos/chelsea.JPEG", Some("n02123045"), None);
    compare("chelsea.png", &drawn(&view, Some(&photo("photos/chelsea.JPEG"))));
}

#[test]
fn a_map_is_drawn_without_a_photograph() {
    compare("rocket_without_photograph.png", &drawn(&view("photos/rocket.JPEG", None, None), None));
}

#[test]
fn tiles_are_drawn_with_and_without_label_maps() {
    let photo = photo("photos/coffee.JPEG");
    for (covering, has_maps, has_photo) in [
        (Covering::Five, true, true),
        (Covering::FourAndNine, false, true),
        (Covering::Nine, true, false),
        (Covering::Four, false, false),
    ] {
        let maps = if has_maps { "maps" } else { "mapless" };
        let photograph = if has_photo { "" } else { "_without_photograph" };
        let view = tiled_view("photos/coffee.JPEG", covering, has_maps);
        let name = format!("tiles_{}_{maps}{photograph}.png", covering.name());
        compare(&name, &drawn(&view, has_photo.then_some(&photo)));
    }
}

#[test]
fn predictions_are_drawn_without_photographs() {
    let views = ["photos/coffee.JPEG", "photos/chelsea.JPEG", "photos/rocket.JPEG"]
        .map(|id| tiled_view(id, Covering::Nine, false));
    let classes = ClassList::imagenet_1k();
    compare("predictions.png", &draw_predictions(&views, &classes, "a teacher").unwrap());
}

#[test]
fn letters_and_borders_are_legible_on_any_background() {
    let view = view("photos/rocket.JPEG", None, None);
    // Badges of the legend and borders: dark lines on a colour, inside white ones.
    for level in [0, 128, 255] {
        let ground = image::RgbImage::from_pixel(300, 200, image::Rgb([level; 3]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        ground.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let picture = pixels(&drawn(&view, Some(&pixels(bytes.get_ref()))));
        let count = |wanted: [u8; 3]| {
            picture
                .data()
                .as_chunks::<3>()
                .0
                .iter()
                .filter(|pixel| pixel.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 8))
                .count()
        };
        assert!(count([28, 32, 38]) > 1500, "dark lines on {level}: {}", count([28, 32, 38]));
        assert!(count([255, 255, 255]) > 1500, "white lines on {level}");
    }
}

#[test]
fn photographs_of_any_shape_are_drawn() {
    let of_map = view("photos/rocket.JPEG", Some("n04266014"), Some(UnitBox::new(-0.5, 0.2, 1.5, 3.0).unwrap()));
    let of_tiles = tiled_view("photos/rocket.JPEG", Covering::Five, false);
    let shapes = [(1, 1), (3, 2000), (2000, 3), (40, 30)];
    for ((width, height), view) in shapes.into_iter().flat_map(|shape| [(shape, &of_map), (shape, &of_tiles)]) {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(width, height, image::Rgb([90, 140, 60]))
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        let picture = pixels(&drawn(view, Some(&pixels(bytes.get_ref()))));
        assert!((500..2000).contains(&picture.width_pixels()), "{width}x{height}: {}", picture.width_pixels());
        assert!((500..2000).contains(&picture.height_pixels()), "{width}x{height}: {}", picture.height_pixels());
    }
}

/// Golden photographs in class folders, and their labels.
struct Labelled {
    folder: tempfile::TempDir,
}

impl Labelled {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (class, name) in [("n07920052", "coffee"), ("n02123045", "chelsea"), ("n02123045", "rocket")] {
            std::fs::create_dir_all(folder.path().join("in").join(class)).unwrap();
            let from = data("golden/images/photos").join(format!("{name}.JPEG"));
            std::fs::copy(from, folder.path().join("in").join(class).join(format!("{name}.JPEG"))).unwrap();
        }
        std::fs::write(folder.path().join("in/n02123045/broken.JPEG"), "none").unwrap();
        let teacher = lite0();
        let args = ["run", "--in", "in", "--out", "labels", "--teacher", teacher.to_str().unwrap()];
        Ran::of(relabel(folder.path()).args(args)).expect(3);
        Self { folder }
    }

    fn inspect(&self, args: &[&str]) -> Ran {
        Ran::of(relabel(self.folder.path()).args(["inspect", "labels"]).args(args))
    }
}

#[test]
fn inspect_shows_one_image_as_text_json_and_picture() {
    let labelled = Labelled::new();
    let ran =
        labelled.inspect(&["coffee", "--image-root", "in", "--crop", "240,120,540,320", "-o", "cup.png"]).expect(0);
    for part in ["folder n07920052 (espresso): the map agrees", "target of the crop 0.400,0.300,0.900,0.800", "A A A"] {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'), "no colours without a terminal");
    assert!(ran.stdout.ends_with("\npicture  cup.png\n") && ran.stderr.is_empty(), "{}", ran.stderr);
    let picture = pixels(&std::fs::read(labelled.folder.path().join("cup.png")).unwrap());
    assert!(picture.width_pixels() > 900);
    let page = labelled.inspect(&["coffee", "--image-root", "in", "--html", "cup"]).expect(0).stdout;
    assert!(page.ends_with("\npage     cup/index.html\n"), "{page}");
    assert!(labelled.folder.path().join("cup/index.html").is_file());
    let rocket = labelled.inspect(&["rocket", "--json"]).expect(0).json();
    assert_eq!(rocket["verdict"], "absent");
    let pixels =
        labelled.inspect(&["coffee", "--image-root", "in", "--crop", "240,120,540,320", "--json"]).expect(0).json();
    let unit = labelled.inspect(&["coffee", "--crop", "0.4,0.3,0.9,0.8", "--json"]).expect(0).json();
    assert_eq!(pixels["crop"]["pooled"], unit["crop"]["pooled"]);
    let total: f64 =
        unit["crop"]["pooled"].as_array().unwrap().iter().map(|c| c["probability"].as_f64().unwrap()).sum();
    assert!((total + unit["crop"]["rest"].as_f64().unwrap() - 1.0).abs() < 1e-4);
    let colored = labelled.inspect(&["coffee", "--color", "always"]).expect(0).stdout;
    assert!(colored.contains("\u{1b}[") && colored.contains('█'));
}

#[test]
fn inspect_reports_what_cannot_be_shown() {
    let labelled = Labelled::new();
    let at = labelled.folder.path();
    let broken = labelled.inspect(&["broken", "-o", "broken.png"]).expect(3);
    assert!(broken.stdout.contains("could not be labelled: not-an-image"), "{}", broken.stdout);
    assert!(broken.stdout.contains("broken.png was not written") && !at.join("broken.png").exists());
    // A different photograph with the same name.
    std::fs::create_dir_all(at.join("other/n07920052")).unwrap();
    std::fs::copy(data("golden/images/photos/rocket.JPEG"), at.join("other/n07920052/coffee.JPEG")).unwrap();
    std::fs::create_dir(at.join("empty")).unwrap();
    for (args, code, text) in [
        (&["coffee", "--image-root", "nowhere", "-o", "x.png"][..], 1, "nowhere"),
        (&["coffee", "--image-root", "empty", "-o", "x.png"], 1, "empty"),
        (&["coffee", "--image-root", "other", "-o", "x.png"], 1, "--any-size"),
        (&["coffee", "--crop", "10,20,200,100"], 2, "--image-root"),
        (&["coffee", "--image-root", "in", "--crop", "200,20,10,100"], 2, "reversed"),
        (&["coffee", "--crop", "0.5,0.2,0.1,1"], 2, "reversed"),
        (&["coffee", "-o", "x.jpg"], 2, ".png"),
        (&["coffee", "-o", "nowhere/x.png"], 1, "nowhere"),
        (&["coffee", "-o", "/proc/x.png"], 1, "/proc"),
        (&["coffe", "-o", "x.png"], 1, "coffee"),
    ] {
        let ran = labelled.inspect(args).expect(code);
        assert!(ran.stderr.contains(text), "{args:?}: {}", ran.stderr);
        assert!(!at.join("x.png").exists(), "{args:?}");
    }
    labelled.inspect(&["coffee", "--image-root", "other", "--any-size", "-o", "x.png"]).expect(0);
    let left = std::fs::read_dir(at)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(".relabel"));
    assert_eq!(left.count(), 0, "no drafts are left");
    assert!(run(&["inspect", "--help"]).expect(0).stdout.contains("Exit codes"));
}
