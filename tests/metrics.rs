use relabel::evaluation::metrics::{
    AccuracyAccumulator, BoxEvaluator, BoxHits, CellScores, LocalizationAccumulator, ObjectBoxes, OverlapScratch,
    PointingGame, bilinear_maximum, class_scores, hits_boxes, localize, resized_box,
};
use relabel::shared::geometry::MapSize;
use relabel::shared::label_map::{LabelMap, ScoreRounding};
use relabel::training::pool::SparseTarget;
use serde::Deserialize;

use crate::common::data;

/// Labels, and what scikit-learn, `SciPy` and torchmetrics compute from them.
#[derive(Deserialize)]
struct ClassesFile {
    sets: Vec<LabelSet>,
}

#[derive(Deserialize)]
struct LabelSet {
    name: String,
    class_count: usize,
    labels: Vec<GoldenLabel>,
    expected: ExpectedAccuracy,
}

#[derive(Deserialize)]
struct GoldenLabel {
    classes: Vec<u32>,
    probs: Vec<f32>,
    rest: f32,
    #[serde(rename = "true")]
    true_classes: Vec<u32>,
}

#[derive(Deserialize)]
struct ExpectedAccuracy {
    top1: [f64; 2],
    top5: [f64; 2],
    mean_average_precision_by_image: f64,
    mean_average_precision_by_class: f64,
    expected_calibration_error: f64,
    entropy_nats: f64,
}

/// Maps and boxes, and what wsolevaluation and `TorchRay` compute from them.
#[derive(Deserialize)]
struct BoxesFile {
    cases: Vec<MapCase>,
    expected: ExpectedLocalization,
}

#[derive(Deserialize)]
struct MapCase {
    columns: usize,
    scores: Vec<f32>,
    class: u32,
    image: [usize; 2],
    boxes: Vec<[f64; 4]>,
    point: Option<[usize; 2]>,
    hit: bool,
    centre_hit: bool,
    /// At every sixth threshold.
    overlaps: Vec<f64>,
    /// At every thirtieth threshold.
    centre_overlaps: Vec<f64>,
    #[serde(flatten)]
    label_map: Option<GoldenMap>,
}

/// Values of a label map, `[y, x, k]`.
#[derive(Deserialize)]
struct GoldenMap {
    k: usize,
    map_scores: Vec<f32>,
    map_classes: Vec<i32>,
    map_class: u32,
}

#[derive(Deserialize)]
struct ExpectedLocalization {
    max_box_acc_v2: [f64; 3],
    centre_box: [f64; 3],
    pointing_game: f64,
    pointing_game_centre: f64,
}

impl MapCase {
    fn size(&self) -> MapSize {
        MapSize::new(self.scores.len() / self.columns, self.columns).unwrap()
    }

    fn cell_scores(&self) -> CellScores {
        CellScores { scores: self.scores.clone(), size: self.size(), censored: 0, floor: 0.0 }
    }

    /// True boxes in the pixels of the resized map.
    fn true_boxes(&self) -> Vec<[i32; 4]> {
        let resized = |&[x0, y0, x1, y1]: &[f64; 4]| resized_box([x0, y0, x1 - 1.0, y1 - 1.0], self.image);
        self.boxes.iter().map(resized).collect()
    }
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(data("evaluation").join(name)).unwrap()).unwrap()
}

fn assert_near(what: &str, value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-6, "{what}: {value} instead of {expected}");
}

#[test]
fn accuracy_equals_that_of_scikit_learn_and_torchmetrics() {
    for LabelSet { name, class_count, labels, expected } in read::<ClassesFile>("classes.json").sets {
        let mut accumulator = AccuracyAccumulator::new(class_count);
        for GoldenLabel { classes, probs, rest, true_classes } in labels {
            accumulator.add(&SparseTarget { classes, probs, rest }, &true_classes);
        }
        let accuracy = accumulator.finish();
        for (what, estimate, [value, standard_error]) in
            [("top-1", accuracy.top1, expected.top1), ("top-5", accuracy.top5, expected.top5)]
        {
            assert_near(&format!("{what} of {name}"), estimate.value, value);
            assert_near(&format!("error of {what} of {name}"), estimate.standard_error.unwrap(), standard_error);
        }
        let by_image = accuracy.mean_average_precision_by_image;
        assert_near(&format!("precision by image of {name}"), by_image, expected.mean_average_precision_by_image);
        let by_class = accuracy.mean_average_precision_by_class;
        assert_near(&format!("precision by class of {name}"), by_class, expected.mean_average_precision_by_class);
        let error = accuracy.expected_calibration_error;
        assert_near(&format!("calibration error of {name}"), error, expected.expected_calibration_error);
        assert_near(&format!("entropy of {name}"), accuracy.entropy_nats, expected.entropy_nats);
    }
}

#[test]
fn boxes_and_max_box_acc_equal_those_of_wsolevaluation() {
    let BoxesFile { cases, expected } = read("boxes.json");
    let mut scratch = OverlapScratch::new();
    let (mut of_map, mut of_centre) = (BoxEvaluator::default(), BoxEvaluator::default());
    for (number, case) in cases.iter().enumerate() {
        let overlaps = scratch.overlaps(&case.cell_scores(), &case.true_boxes());
        for (at, &expected) in case.overlaps.iter().enumerate() {
            assert_near(&format!("map {number}, threshold {}", at * 6), overlaps.by_threshold()[at * 6], expected);
        }
        let centre = scratch.centre_overlaps(&case.true_boxes());
        for (at, &expected) in case.centre_overlaps.iter().enumerate() {
            assert_near(&format!("centre {number}, threshold {}", at * 30), centre.by_threshold()[at * 30], expected);
        }
        of_map.add(&BoxHits::from(&overlaps));
        of_centre.add(&BoxHits::from(&centre));
    }
    for (evaluator, expected) in [(of_map, expected.max_box_acc_v2), (of_centre, expected.centre_box)] {
        let accuracy = evaluator.accuracy();
        (0..3).for_each(|at| assert_near("MaxBoxAccV2", accuracy.at_iou[at], expected[at]));
        assert_near("mean", accuracy.mean, expected.iter().sum::<f64>() / 3.0);
    }
}

#[test]
fn points_and_their_hits_equal_those_of_torchray() {
    let BoxesFile { cases, expected } = read("boxes.json");
    let (mut of_map, mut of_centre) = (PointingGame::default(), PointingGame::default());
    for (number, case) in cases.iter().enumerate() {
        let is_flat = case.cell_scores().is_flat();
        let point = (!is_flat).then(|| bilinear_maximum(&case.scores, case.columns, case.image));
        assert_eq!(point, case.point, "map {number}");
        let hit = point.is_some_and(|point| hits_boxes(point.map(|at| at as f64), &case.boxes));
        assert_eq!(hit, case.hit, "map {number}");
        let centre_hit = hits_boxes(case.image.map(|side| side as f64 / 2.0), &case.boxes);
        assert_eq!(centre_hit, case.centre_hit, "centre {number}");
        of_map.add(case.class, hit);
        of_centre.add(case.class, centre_hit);
    }
    assert_near("pointing game", of_map.accuracy(), expected.pointing_game);
    assert_near("pointing game of the centre", of_centre.accuracy(), expected.pointing_game_centre);
}

#[test]
fn label_maps_give_the_class_maps_of_the_evaluators() {
    let BoxesFile { cases, .. } = read("boxes.json");
    let mut scratch = OverlapScratch::new();
    let mut compared = 0;
    for case in &cases {
        let Some(golden) = &case.label_map else { continue };
        let (size, rounding) = (case.size(), ScoreRounding::Float16);
        let map = LabelMap::from_cells(&golden.map_scores, &golden.map_classes, golden.k, size, rounding).unwrap();
        let scores = class_scores(&map, golden.map_class);
        assert_eq!(scores.scores, case.scores);
        let objects = ObjectBoxes { class: golden.map_class, image: case.image, boxes: case.boxes.clone() };
        let mut figures = LocalizationAccumulator::default();
        figures.add(&localize(&mut scratch, &map, &objects));
        let figures = figures.finish().unwrap();
        assert_near("point", figures.pointing_game, f64::from(u8::from(case.hit)));
        assert_near("censored", figures.censored_cells, scores.censored as f64 / size.cells() as f64);
        compared += 1;
    }
    assert_eq!(compared, 18);
}
