"""Writes tests/data/evaluation: labels and maps, and what public evaluators compute from them.

    python make_evaluation_golden.py --wsolevaluation DIR --torchray DIR --temperature-scaling DIR --store STORE -o OUT

The directories are checkouts of github.com/clovaai/wsolevaluation, github.com/facebookresearch/TorchRay and
github.com/gpleiss/temperature_scaling; their code is imported, not copied. STORE contains the labels of
`tests/data/golden/images`, made with `models/efficientnet-lite0.onnx`. Needs NumPy, SciPy, scikit-learn, torchmetrics,
PyTorch, OpenCV and zarr.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import scipy
import sklearn
import sklearn.metrics
import torch
import torchmetrics
import zarr
from torchmetrics.functional.classification import binary_calibration_error

SIDE = 224
IOU_PERCENT = [30, 50, 70]


def rounded(values, digits: int = 9) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values]


# Classes


def dense(label: dict, class_count: int) -> np.ndarray:
    absent = class_count - len(label["classes"])
    share = np.float32(label["rest"]) / np.float32(absent) if absent else np.float32(0)
    probs = np.full(class_count, share, np.float32)
    probs[label["classes"]] = np.float32(label["probs"])
    return probs


def sparse(classes: np.ndarray, probs: np.ndarray, rest: float, true: list[int]) -> dict:
    order = np.lexsort((classes, -probs))
    return {
        "classes": classes[order].tolist(),
        "probs": rounded(probs[order].astype(np.float32)),
        "rest": rounded([np.float32(rest)])[0],
        "true": sorted(true),
    }


def random_labels(rng: np.random.Generator, images: int, class_count: int) -> list[dict]:
    """Probabilities are multiples of 1/128, so that many are equal, also to the share of the absent classes."""
    labels = []
    for _ in range(images):
        listed = int(rng.integers(1, 9))
        classes = rng.choice(class_count, listed, replace=False)
        probs = rng.integers(0, 128 // listed + 1, listed) / 128
        if rng.random() < 0.3:
            probs[:] = np.minimum(probs, 1 / 128)
            probs[0] = 1 - probs[1:].sum() - (class_count - listed) / 128
        true = rng.choice(class_count, int(rng.integers(1, 5)), replace=False).tolist()
        if rng.random() < 0.6:
            true.append(int(classes[probs.argmax()]))
        labels.append(sparse(classes, probs, 1 - probs.sum(), sorted(set(true))))
    return labels


def true_classes(rng: np.random.Generator, best: int, listed: np.ndarray, class_count: int) -> list[int]:
    true = {best} if rng.random() < 0.7 else {int(rng.integers(class_count))}
    true |= set(rng.choice(listed, int(rng.integers(0, 3))).tolist())
    return sorted(true)


def pooled_label(scores: np.ndarray, classes: np.ndarray, class_count: int, rng: np.random.Generator) -> dict:
    """The target of the full image: the softmax of the mean over cells of the densified map."""
    cells = scores.shape[1] * scores.shape[2]
    mean = np.zeros(class_count)
    np.add.at(mean, classes.ravel(), scores.ravel().astype(float) / cells)
    probs = np.exp(mean - mean.max())
    probs = (probs / probs.sum()).astype(np.float32)
    listed = np.unique(classes)
    rest = np.delete(probs, listed).sum(dtype=float)
    return sparse(listed, probs[listed], rest, true_classes(rng, int(probs.argmax()), listed, class_count))


def predicted_label(probs: np.ndarray, classes: np.ndarray, class_count: int, rng: np.random.Generator) -> dict:
    probs = probs.astype(np.float32)
    rest = max(0.0, 1 - probs.sum(dtype=float))
    return sparse(classes.astype(int), probs, rest, true_classes(rng, int(classes[0]), classes, class_count))


def class_metrics(labels: list[dict], class_count: int, ece_loss: type) -> dict:
    scores = np.stack([dense(label, class_count) for label in labels])
    truth = np.zeros(scores.shape, int)
    for row, label in zip(truth, labels, strict=True):
        row[label["true"]] = 1
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(truth, order, axis=1)
    top1, top5 = hits[:, 0], hits[:, :5].max(axis=1)
    confidence = torch.tensor(scores.max(axis=1)).double()
    assert (confidence < 1).all(), "torchmetrics gives 1 a bin of its own"
    ece = float(binary_calibration_error(confidence, torch.tensor(top1), n_bins=15, norm="l1"))
    # The loss compares with one class: the best one after a hit, any other after a miss.
    target = np.where(top1, order[:, 0], order[:, 1])
    loss = float(ece_loss(n_bins=15)(torch.tensor(scores).double().log(), torch.tensor(target)))
    assert abs(loss - ece) < 1e-6, (loss, ece)
    positive = truth.any(axis=0)
    average_precision = sklearn.metrics.average_precision_score
    return {
        "top1": [float(top1.mean()), float(scipy.stats.sem(top1, ddof=1))],
        "top5": [float(top5.mean()), float(scipy.stats.sem(top5, ddof=1))],
        "mean_average_precision_by_image": float(average_precision(truth, scores, average="samples")),
        "mean_average_precision_by_class": float(average_precision(truth[:, positive], scores[:, positive], average="macro")),
        "expected_calibration_error": ece,
        "entropy_nats": float(np.mean([scipy.stats.entropy(row.astype(float)) for row in scores])),
    }


# Boxes


def field(rng: np.random.Generator, rows: int, columns: int, kind: str) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    scores = np.zeros((rows, columns))
    for _ in range(int(rng.integers(1, 4))):
        cy, cx = rng.uniform(0, rows), rng.uniform(0, columns)
        spread = rng.uniform(0.08, 0.35) * max(rows, columns)
        scores += rng.uniform(3, 12) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * spread**2))
    if kind == "ring":
        distance = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2)
        scores = 8 * np.exp(-((distance - rows / 3) ** 2)) + 0.2 * scores
    if kind == "noise":
        scores = rng.normal(6, 3, (rows, columns))
    if kind == "steps":
        scores = np.round(scores * 0.7) / 0.7
    if kind == "flat":
        scores[:] = rng.normal()
    if kind in ("censored", "steps"):
        scores[scores < np.quantile(scores, 0.6)] = 0
    return scores.astype(np.float16).astype(np.float32)


def random_boxes(rng: np.random.Generator, width: int, height: int) -> list[list[int]]:
    boxes = []
    for _ in range(int(rng.integers(1, 4))):
        w, h = rng.integers(1, width + 1), rng.integers(1, height + 1)
        x, y = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
        boxes.append([int(x), int(y), int(x + w), int(y + h)])
    return boxes


def random_cases(rng: np.random.Generator) -> list[dict]:
    shapes = [(7, 7), (15, 15), (12, 16), (7, 7), (3, 2), (9, 9)]
    kinds = ["smooth", "censored", "ring", "noise", "steps", "smooth", "censored"]
    cases = []
    for number in range(42):
        rows, columns = shapes[number % len(shapes)]
        scores = field(rng, rows, columns, "flat" if number == 20 else kinds[number % len(kinds)])
        cases.append({"columns": columns, "scores": scores.ravel().tolist()})
    cases.append({"columns": 1, "scores": [3.5]})
    return cases


def photograph_cases(group: zarr.Group, rows: list[int]) -> list[dict]:
    cases = []
    for row in rows:
        scores, classes = group["scores"][row], group["classes"][row]
        best = np.unique(classes[0], return_counts=True)
        frequent = best[0][np.argsort(-best[1], kind="stable")][:2]
        for class_id in [*frequent.tolist(), int(classes[-1, 3, 3])]:
            kept = classes == class_id
            floor = min(0.0, float(scores[kept].min()))
            cell_scores = np.where(kept.any(axis=0), np.where(kept, scores, -np.inf).max(axis=0), floor)
            cases.append(
                {
                    "columns": scores.shape[2],
                    "k": scores.shape[0],
                    "map_scores": [float(score) for score in scores.transpose(1, 2, 0).ravel()],
                    "map_classes": classes.transpose(1, 2, 0).ravel().tolist(),
                    "map_class": class_id,
                    "scores": [float(score) for score in cell_scores.ravel()],
                }
            )
    return cases


def level_of_threshold() -> dict[int, list[int]]:
    levels: dict[int, list[int]] = {}
    for at, threshold in enumerate(np.arange(0, 1, 0.001)):
        levels.setdefault(int(threshold * 255), []).append(at)
    return levels


class Evaluators:
    """wsolevaluation and TorchRay, on one list of cases."""

    def __init__(self, wsol: Path, torchray: Path) -> None:
        # Both were written for older NumPy and PyTorch.
        np.float, np.int = float, int
        sys.path[:0] = [str(wsol), str(torchray)]
        import evaluation
        import inference
        from examples.attribution_benchmark import _saliency_to_point
        from torchray.attribution.common import resize_saliency
        from torchray.benchmark.datasets import voc_as_mask
        from torchray.benchmark.pointing_game import PointingGame

        self.wsol, self.inference = evaluation, inference
        self.to_point, self.resize_saliency = _saliency_to_point, resize_saliency
        self.voc_as_mask, self.game = voc_as_mask, PointingGame

    def box_evaluator(self, folder: Path, cases: list[dict]) -> object:
        lines: dict[str, list[str]] = {"image_ids": [], "class_labels": [], "image_sizes": [], "localization": []}
        for number, case in enumerate(cases):
            width, height = case["image"]
            lines["image_ids"].append(f"{number}")
            lines["class_labels"].append(f"{number},{case['class']}")
            lines["image_sizes"].append(f"{number},{width},{height}")
            # The last pixels.
            lines["localization"] += [f"{number},{x0},{y0},{x1 - 1},{y1 - 1}" for x0, y0, x1, y1 in case["boxes"]]
        for name, content in lines.items():
            (folder / f"{name}.txt").write_text("\n".join(content) + "\n")
        return self.wsol.BoxEvaluator(
            metadata=self.wsol.configure_metadata(str(folder)),
            dataset_name="ILSVRC",
            split="test",
            cam_threshold_list=list(np.arange(0, 1, 0.001)),
            iou_threshold_list=IOU_PERCENT,
            mask_root="",
            multi_contour_eval=True,
        )

    def overlaps(self, evaluator: object, scoremap: np.ndarray, number: int) -> list[float]:
        """The best overlap at each level of a map with levels 0 to 255."""
        thresholds = evaluator.cam_threshold_list
        boxes, counts = self.wsol.compute_bboxes_from_scoremaps(scoremap, thresholds, multi_contour_eval=True)
        true_boxes = np.array(evaluator.gt_bboxes[str(number)])
        best = [float(self.wsol.calculate_multiple_iou(np.array(found), true_boxes).max()) for found in boxes]
        levels = level_of_threshold()
        assert sorted(levels) == list(range(255)) and len(counts) == 1000
        assert all(len({best[at] for at in group}) == 1 for group in levels.values())
        return [best[levels[level][0]] for level in range(255)]

    def evaluate_boxes(self, cases: list[dict]) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            of_map, of_centre = (self.box_evaluator(Path(folder), cases) for _ in range(2))
        at = np.arange(SIDE) - (SIDE - 1) / 2
        gaussian = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * (SIDE / 4) ** 2))
        gaussian = self.inference.normalize_scoremap(gaussian)
        for number, case in enumerate(cases):
            cam = np.float64(case["scores"]).reshape(-1, case["columns"])
            resized = cv2.resize(cam, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
            scoremap = self.inference.normalize_scoremap(resized)
            of_map.accumulate(scoremap, str(number))
            of_centre.accumulate(gaussian, str(number))
            case["overlaps"] = rounded(self.overlaps(of_map, scoremap, number)[::6])
            case["centre_overlaps"] = rounded(self.overlaps(of_centre, gaussian, number)[::30])
        return {
            "max_box_acc_v2": [percent / 100 for percent in of_map.compute()],
            "centre_box": [percent / 100 for percent in of_centre.compute()],
        }

    def evaluate_points(self, cases: list[dict]) -> dict:
        class_count = 1 + max(case["class"] for case in cases)
        of_map, of_centre = self.game(class_count), self.game(class_count)
        for case in cases:
            width, height = case["image"]
            saliency = torch.tensor(case["scores"]).reshape(1, 1, -1, case["columns"])
            resized = self.resize_saliency(None, saliency, (width, height), "bilinear")
            point = self.to_point(resized)[0]
            names = ("xmin", "ymin", "xmax", "ymax")
            objects = [{"name": "dog", "bndbox": dict(zip(names, (x0 + 1, y0 + 1, x1, y1), strict=True))} for x0, y0, x1, y1 in case["boxes"]]
            label = {"annotation": {"size": {"width": width, "height": height}, "object": objects}}
            mask = self.voc_as_mask(label, 11)
            assert mask.any()
            hit = of_map.evaluate(mask, point)
            # A flat map points nowhere. TorchRay would evaluate its first pixel.
            case["point"] = None if len(set(case["scores"])) == 1 else point.tolist()
            case["hit"] = hit == 1 and case["point"] is not None
            of_map.aggregate(1 if case["hit"] else -1, case["class"])
            centre_hit = of_centre.evaluate(mask, torch.tensor([width / 2, height / 2]))
            of_centre.aggregate(centre_hit, case["class"])
            case["centre_hit"] = centre_hit == 1
        return {"pointing_game": float(of_map.accuracy), "pointing_game_centre": float(of_centre.accuracy)}


def commit(folder: Path) -> str:
    return subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--wsolevaluation", "--torchray", "--temperature-scaling", "--store"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(args.temperature_scaling))
    from temperature_scaling import _ECELoss

    group = zarr.open_group(args.store, mode="r")
    ids = pyarrow.parquet.read_table(args.store / "manifest.parquet")["id"].to_pylist()
    labelled = [row for row in range(len(ids)) if np.isfinite(group["image_probs"][row][0])]
    labelled = [row for row in labelled if group["image_probs"][row][0] > 0]
    rng = np.random.default_rng(20)
    class_count = 1000
    sets = [
        {"name": "random", "class_count": 24, "labels": random_labels(rng, 150, 24)},
        {
            "name": "targets of the photographs",
            "class_count": class_count,
            "labels": [pooled_label(group["scores"][row], group["classes"][row], class_count, rng) for row in labelled],
        },
        {
            "name": "predictions of the photographs",
            "class_count": class_count,
            "labels": [predicted_label(group["image_probs"][row], group["image_classes"][row], class_count, rng) for row in labelled],
        },
    ]
    for labels in sets:
        labels["expected"] = class_metrics(labels["labels"], labels["class_count"], _ECELoss)

    photographs = [row for row in labelled if ids[row].startswith("photos/")]
    cases = random_cases(rng) + photograph_cases(group, photographs)
    for number, case in enumerate(cases):
        width, height = (int(side) for side in rng.integers(60, 520, 2))
        case.update({"class": number % 5, "image": [width, height], "boxes": random_boxes(rng, width, height)})
    evaluators = Evaluators(args.wsolevaluation, args.torchray)
    expected = evaluators.evaluate_boxes(cases) | evaluators.evaluate_points(cases)

    versions = {module.__name__: module.__version__ for module in (np, scipy, sklearn, torch, torchmetrics, cv2)}
    checkouts = {"wsolevaluation": args.wsolevaluation, "TorchRay": args.torchray}
    checkouts["temperature_scaling"] = args.temperature_scaling
    versions |= {name: commit(folder) for name, folder in checkouts.items()}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("classes.json", {"versions": versions, "sets": sets}),
        ("boxes.json", {"versions": versions, "cases": cases, "expected": expected}),
    ):
        (args.out / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(json.dumps({"classes": [labels["expected"] for labels in sets], "boxes": expected, "cases": len(cases)}, indent=1))


if __name__ == "__main__":
    main()
