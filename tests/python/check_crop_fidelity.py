"""Recomputes crop fidelity with PIL, ONNX Runtime and NumPy, and compares it with what relabel computed.

``check_crop_fidelity.py FOLDER TEACHER [BOXES]``. The folder has the images in ``in``, the store in ``out``, the table
in ``crops.parquet`` and the figures in ``figures.json``. Uses no code of relabel.
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import zarr
from check_audit import iou, roi_mean, softmax
from PIL import Image

FIGURES = ("top1", "kl", "tv")
KINDS = ("pooled", "image", "folder", "swapped", "rest", "calibrated", "calibrated_without_tiles", "tile", "tiles", "tile_map")
# Numbers of tiles among the 13 of `--tiles 4+9`.
COVERINGS = {"4": (0, 1, 2, 3), "5": (4, 6, 10, 12, 8), "9": (4, 5, 6, 7, 8, 9, 10, 11, 12)}
# Parameters of calibrated pooling that only weight predictions by their overlap.
BY_OVERLAP = {
    "map_temperature": 1, "map_temperature_exponent": 0, "prediction_temperature": 1, "prediction_temperature_exponent": 0,
    "map_share_bias": -40, "map_share_slope": 0, "overlap_sharpness": 8, "tile_bias": 0, "tile_map_bias": 0,
}  # fmt: skip
WHOLE = (0.0, 0.0, 1.0, 1.0)
# Of a single crop and of means, relative to 1 or to a larger value: for crops of the teacher's input size, and for others.
# Pixels that are resized may differ by 1 of 255 from PIL's.
TOLERANCES_AS_CUT = (1e-4, 1e-4)
TOLERANCES_RESIZED = (2e-2, 1e-3)
SIDE = 224
AREAS = (0.0, 0.08, 0.15, 0.25, 0.5, 0.75, 1.0)


def pixels(path: Path, box: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    """Decodes an image, and cuts out and resizes a box: ``[channel, y, x]``."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    assert size == (rgb.height, rgb.width), path
    return np.asarray(rgb.crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def predictions(session, inputs: list[np.ndarray]) -> np.ndarray:
    """Returns the teacher's probabilities, ``[crop, class]``."""
    name = session.get_inputs()[0].name
    batches = [np.stack(inputs[first : first + 16]) for first in range(0, len(inputs), 16)]
    scores = [session.run(None, {name: ((batch / 255 - 0.5) / 0.5).astype(np.float32)})[0] for batch in batches]
    return np.stack([softmax(row) for row in np.concatenate(scores).astype(np.float64)])


def dense_scores(scores: np.ndarray, kept: np.ndarray, count: int) -> np.ndarray:
    """Returns the scores of all classes in all cells, ``[class, y, x]``; 0 for classes that a cell does not keep."""
    dense = np.zeros((count, *scores.shape[1:]))
    np.put_along_axis(dense, kept.astype(int), scores.astype(np.float64), axis=0)
    return dense


def dense_prediction(probs: np.ndarray, kept: np.ndarray, count: int) -> np.ndarray:
    """Returns the probabilities of all classes of a stored prediction."""
    probs = np.maximum(probs.astype(np.float64), 2.0**-24)
    dense = np.full(count, max(1 - probs.sum(), 2.0**-12) / (count - len(probs)))
    dense[kept.astype(int)] = probs
    return dense / dense.sum()


def area(box: tuple[float, ...]) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def common(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))


def inside(crop: tuple[float, ...], tile: tuple[float, ...]) -> tuple[float, ...]:
    """Returns the part of a crop that is in a tile, in 0..1 of the tile."""
    x0, y0, x1, y1 = common(crop, tile)
    width, height = tile[2] - tile[0], tile[3] - tile[1]
    return ((x0 - tile[0]) / width, (y0 - tile[1]) / height, (x1 - tile[0]) / width, (y1 - tile[1]) / height)


class TiledLabels:
    """Dense labels of an image and its tiles."""

    def __init__(self, group, row: int, image_map: np.ndarray, image: np.ndarray, boxes: list, count: int) -> None:
        self.boxes = [tuple(box) for box in boxes]
        arrays = [group[name][row] for name in ("tile_probs", "tile_classes", "tile_map_scores", "tile_map_classes")] if boxes else []
        self.image_map, self.image = image_map, image
        self.predictions = [dense_prediction(arrays[0][at], arrays[1][at], count) for at in range(len(boxes))]
        self.maps = [dense_scores(arrays[2][at], arrays[3][at], count) for at in range(len(boxes))]

    def closest(self, crop: tuple[float, ...]) -> int | None:
        overlaps = [iou(crop, WHOLE), *(iou(crop, box) for box in self.boxes)]
        best = int(np.argmax(overlaps))
        return None if best == 0 else best - 1

    def mix(self, crop: tuple[float, ...], parameters: dict[str, float], tiles: tuple[int, ...]) -> np.ndarray:
        """Mixes labels as docs/calibrated-pooling.md defines it."""
        log_area = np.log(max(area(crop), 1 / 1024))
        temperature = {
            kind: parameters[f"{kind}_temperature"] * np.exp(parameters[f"{kind}_temperature_exponent"] * log_area) for kind in ("map", "prediction")
        }
        sharpness = parameters["overlap_sharpness"]
        touched = [tile for tile in tiles if area(common(crop, self.boxes[tile])) > 0]
        maps = [softmax(roi_mean(self.image_map, crop) / temperature["map"])]
        maps += [softmax(roi_mean(self.maps[tile], inside(crop, self.boxes[tile])) / temperature["map"]) for tile in touched]
        tempered = [p ** (1 / temperature["prediction"]) for p in (self.image, *(self.predictions[tile] for tile in tiles))]

        def weights(chosen: tuple[int, ...] | list[int], bias: float) -> np.ndarray:
            image = sharpness * iou(crop, WHOLE)
            return softmax(np.array([image, *(sharpness * iou(crop, self.boxes[tile]) + bias for tile in chosen)]))

        share = 1 / (1 + np.exp(-(parameters["map_share_bias"] + parameters["map_share_slope"] * log_area)))
        from_maps = weights(touched, parameters["tile_map_bias"]) @ np.stack(maps)
        from_predictions = weights(tiles, parameters["tile_bias"]) @ np.stack([p / p.sum() for p in tempered])
        return share * from_maps + (1 - share) * from_predictions


def labels(group, row: int, box: tuple[float, ...], folder_class: int | None, count: int, boxes: list, pooling: dict | None) -> dict:
    """Returns the probabilities of all classes of each kind of label, and of each covering."""
    scores, kept = group["scores"][row].astype(np.float64), group["classes"][row].astype(int)
    x0, y0, x1, y1 = box
    dense = dense_scores(scores, kept, count)
    lse = group["lse"][row].astype(np.float64).reshape(scores.shape[1:])
    rest = np.maximum(1 - np.exp(scores - lse).sum(axis=0), 1e-3)
    filled = np.repeat((lse + np.log(rest / (count - len(scores))))[None], count, axis=0)
    np.put_along_axis(filled, kept, scores, axis=0)
    image = dense_prediction(group["image_probs"][row], group["image_classes"][row], count)
    found = dict.fromkeys(KINDS) | {
        "pooled": softmax(roi_mean(dense, box)),
        "image": image,
        "folder": None if folder_class is None else np.eye(count)[folder_class],
        "swapped": softmax(roi_mean(dense, (y0, x0, y1, x1))),
        "rest": softmax(roi_mean(filled, box)),
    }
    tiled = TiledLabels(group, row, dense, image, boxes, count)
    every = tuple(range(len(boxes)))
    if pooling is not None:
        found["calibrated"] = tiled.mix(box, pooling["parameters"], every)
        found["calibrated_without_tiles"] = tiled.mix(box, pooling["parameters_without_tiles"], ())
    if boxes:
        closest = tiled.closest(box)
        found["tile"] = image if closest is None else tiled.predictions[closest]
        found["tile_map"] = found["pooled"]
        if closest is not None:
            found["tile_map"] = softmax(roi_mean(tiled.maps[closest], inside(box, tiled.boxes[closest])))
        found["tiles"] = tiled.mix(box, BY_OVERLAP, every)
        found |= {f"covering_{name}": tiled.mix(box, BY_OVERLAP, tiles) for name, tiles in COVERINGS.items()}
    return found


def compare(teacher: np.ndarray, label: np.ndarray | None) -> dict[str, float | None]:
    if label is None:
        return dict.fromkeys(FIGURES)
    positive = teacher > 0
    ratio = teacher[positive] / np.maximum(label[positive], np.finfo(np.float32).tiny)
    return {
        "top1": float(teacher.argmax() == label.argmax()),
        "kl": float((teacher[positive] * np.log(ratio)).sum()),
        "tv": float(np.abs(teacher - label).sum() / 2),
    }


def mean_and_error(rows: list[int], values: list[float | None]) -> tuple[float | None, float | None]:
    """Returns the mean over crops and its standard error, with images as clusters."""
    of_image = defaultdict(list)
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            of_image[row].append(value)
    if not of_image:
        return None, None
    sums = np.array([sum(values) for values in of_image.values()])
    counts = np.array([len(values) for values in of_image.values()])
    mean, n = sums.sum() / counts.sum(), len(counts)
    if n < 2:
        return mean, None
    return mean, np.sqrt(n / (n - 1) * ((sums - mean * counts) ** 2).sum()) / counts.sum()


def assert_close(found: float | None, expected: float | None, tolerance: float, *what: object) -> None:
    same = found is None if expected is None else found is not None and abs(found - expected) <= tolerance * max(1, expected)
    assert same, (what, found, expected)


def assert_boxes(path: str, table: list[dict]) -> None:
    """Checks that the crops are the boxes of the file, in its order for each image."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        boxes = list(csv.DictReader(file))
    stem = lambda name: name.removesuffix(".JPEG")  # noqa: E731
    boxes.sort(key=lambda box: [row["id"] for row in table].index(stem(box["id"])))
    assert len(boxes) == len(table)
    for box, row in zip(boxes, table, strict=True):
        assert stem(box["id"]) == row["id"]
        for side, length in (("x0", "width"), ("y0", "height"), ("x1", "width"), ("y1", "height")):
            assert row[f"{side}_pixels"] == round(float(box[side]) * row[f"{length}_pixels"]), (box, row)


def main(folder: str, teacher: str, *boxes: str) -> None:
    root = Path(folder)
    group = zarr.open_group(root / "out", mode="r")
    info = dict(group.attrs)["relabel"]
    classes, tiles = info["classes"], info.get("tiles", {}).get("boxes", [])
    calibration = root / "out/pooling.json"
    pooling = json.loads(calibration.read_text()) if calibration.exists() else None
    paths = {entry["row"]: entry for entry in pq.read_table(root / "out/manifest.parquet").to_pylist()}
    table = pq.read_table(root / "crops.parquet").to_pylist()
    figures = json.loads((root / "figures.json").read_text(encoding="utf-8"))
    if boxes:
        assert_boxes(boxes[0], table)
    named = {f"covering_{name}": of_covering for name, of_covering in figures["coverings"].items()}
    assert figures["tile_count"] == len(tiles) and (set(named) == {f"covering_{name}" for name in COVERINGS} if tiles else not named)
    figures |= named
    compared = [*KINDS, *named]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(teacher, options, providers=["CPUExecutionProvider"])

    inputs = []
    for row in table:
        box = tuple(row[f"{side}_pixels"] for side in ("x0", "y0", "x1", "y1"))
        size = (row["height_pixels"], row["width_pixels"])
        unit = tuple(np.array(box) / np.array([size[1], size[0], size[1], size[0]]))
        assert np.allclose(unit, [row[side] for side in ("x0", "y0", "x1", "y1")], atol=1e-12)
        assert abs((unit[2] - unit[0]) * (unit[3] - unit[1]) - row["area"]) < 1e-12
        inputs.append(pixels(root / "in" / paths[row["row"]]["path"], box, size))
    sides = [(row["x1_pixels"] - row["x0_pixels"], row["y1_pixels"] - row["y0_pixels"]) for row in table]
    as_cut = all(pair == (SIDE, SIDE) for pair in sides)
    assert as_cut == bool(boxes), sides
    crop_tolerance, tolerance = TOLERANCES_AS_CUT if as_cut else TOLERANCES_RESIZED
    teacher_probs = predictions(session, inputs)

    computed = {kind: {figure: [] for figure in FIGURES} for kind in compared}
    for row, probs in zip(table, teacher_probs, strict=True):
        label = paths[row["row"]]["label"]
        folder_class = classes["ids"].index(label) if label in classes["ids"] else None
        assert row["folder_class"] == folder_class and row["id"] == paths[row["row"]]["id"]
        unit = tuple(row[side] for side in ("x0", "y0", "x1", "y1"))
        of_kinds = labels(group, row["row"], unit, folder_class, classes["count"], tiles, pooling)
        for kind, values in of_kinds.items():
            for figure, value in compare(probs, values).items():
                computed[kind][figure].append(value)
                if (kind, figure) != ("folder", "kl") and figure != "top1":
                    assert_close(row[f"{kind}_{figure}"], value, crop_tolerance, row["id"], kind, figure)
        for name, values in (("teacher", probs), ("pooled", of_kinds["pooled"])):
            listed = np.zeros(classes["count"])
            listed[row[f"{name}_classes"]] = row[f"{name}_probs"]
            count = len(row[f"{name}_classes"])
            assert count == 20 or (name == "pooled" and 0 < count < 20)
            assert row[f"{name}_probs"] == sorted(row[f"{name}_probs"], reverse=True)
            assert abs(listed.sum() + row[f"{name}_rest"] - 1) < 1e-5
            assert np.abs(listed - values)[row[f"{name}_classes"]].max() < crop_tolerance, (row["id"], name)

    rows = [row["row"] for row in table]
    largest = 0.0
    for kind in compared:
        if figures[kind] is None:
            assert not any(value is not None for values in computed[kind].values() for value in values), kind
            continue
        for figure in FIGURES:
            if (kind, figure) == ("folder", "kl"):
                assert figures[kind][figure] is None
                continue
            # The means of the table's columns are the figures; those of this computation are close to them.
            from_table = mean_and_error(rows, [row[f"{kind}_{figure}"] for row in table])
            independent = mean_and_error(rows, computed[kind][figure])
            written = (figures[kind][figure], figures[kind][f"{figure}_standard_error"])
            for found, exact, close in zip(written, from_table, independent, strict=True):
                assert_close(found, exact, 1e-9, kind, figure)
                assert_close(found, close, tolerance, kind, figure)
                largest = max(largest, abs(found - close))
        for of_area in figures[kind]["by_area"]:
            low, high = of_area["area"]
            first = 0.0 if low == 0.08 and not boxes else low
            chosen = [at for at, row in enumerate(table) if first <= row["area"] and (row["area"] < high or high == 1.0)]
            for figure in FIGURES if kind != "folder" else ("top1", "tv"):
                values = [table[at][f"{kind}_{figure}"] for at in chosen]
                mean, error = mean_and_error([rows[at] for at in chosen], values)
                assert_close(of_area[figure], mean, 1e-9, kind, figure, low)
                assert_close(of_area[f"{figure}_standard_error"], error, 1e-9, kind, figure, low)
            assert of_area["crops"] == sum(table[at][f"{kind}_tv"] is not None for at in chosen)
    print(json.dumps({"crops": len(table), "largest_difference": largest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
