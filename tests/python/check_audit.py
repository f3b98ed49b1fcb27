"""Recomputes an audit from dense maps with zarr-python and NumPy, and compares it with the files that relabel wrote.

``check_audit.py STORE FOLDER CROPS SEED``. Uses no code of relabel.
"""

import csv
import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import zarr

TOLERANCE = 2e-6


def random_numbers(seed: int):
    """Yields the numbers of SplitMix64, scaled to 0..1."""
    state, mask = seed, (1 << 64) - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        yield ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def random_crops(count: int, seed: int) -> list[tuple[float, float, float, float]]:
    numbers = random_numbers(seed)

    def uniform(low, high):
        return low + next(numbers) * (high - low)

    def crop():
        for _ in range(10):
            area = uniform(0.08, 1.0)
            ratio = math.exp(uniform(math.log(3 / 4), math.log(4 / 3)))
            width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
            if width <= 1 and height <= 1:
                x0, y0 = uniform(0, 1 - width), uniform(0, 1 - height)
                return x0, y0, x0 + width, y0 + height
        return 0.0, 0.0, 1.0, 1.0

    return [crop() for _ in range(count)]


def roi_mean(dense: np.ndarray, box) -> np.ndarray:
    """Computes ``roi_align`` of ``[class, y, x]`` to 1x1 from its definition."""
    _, height, width = dense.shape
    x0, y0, x1, y1 = (np.float32(side * cells - 0.5) for side, cells in zip(box, (width, height) * 2, strict=True))

    def samples(low, high, cells):
        length = max(high - low, np.float32(1))
        count = math.ceil(length)
        at = low + (np.arange(count, dtype=np.float32) + np.float32(0.5)) * length / np.float32(count)
        at = np.clip(at.astype(np.float64), 0, cells - 1)
        below = np.minimum(at.astype(int), max(cells - 2, 0))
        weights = np.zeros((count, cells))
        for sample, (cell, position) in enumerate(zip(below, at, strict=True)):
            weights[sample, cell] += 1 - (position - cell)
            weights[sample, min(cell + 1, cells - 1)] += position - cell
        return weights.mean(axis=0)

    return dense @ samples(x0, x1, width) @ samples(y0, y1, height)


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def pooled(dense, box) -> np.ndarray:
    return softmax(roi_mean(dense, box))


def iou(one, other) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)

    def area(box):
        return (box[2] - box[0]) * (box[3] - box[1])

    return shared / (area(one) + area(other) - shared)


def objects(winners: np.ndarray, is_confident: np.ndarray) -> int:
    """Counts the connected regions of confident cells of one class."""
    remaining = {tuple(cell) for cell in np.argwhere(is_confident)}
    count = 0
    while remaining:
        count += 1
        waiting = [remaining.pop()]
        while waiting:
            y, x = waiting.pop()
            for neighbour in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if neighbour in remaining and winners[neighbour] == winners[y, x]:
                    remaining.remove(neighbour)
                    waiting.append(neighbour)
    return count


def image(group, row: int, entry: dict, classes: dict, crops) -> tuple[dict, np.ndarray]:
    """Returns the columns of one image, and its pooled probabilities."""
    names, folders = classes["names"], classes["ids"]

    def name(number):
        return names[number].split(",")[0].strip()

    scores = group["scores"][row].astype(np.float64)
    kept = group["classes"][row].astype(int)
    height, width = scores.shape[1:]
    dense = np.zeros((classes["count"], height, width))
    np.put_along_axis(dense, kept, scores, axis=0)
    cells = np.apply_along_axis(softmax, 0, dense)
    target = pooled(dense, (0.0, 0.0, 1.0, 1.0))
    best = int(target.argmax())
    teacher = int(group["image_classes"][row, 0])
    label = entry["label"]
    number = folders.index(label) if label in folders else None
    columns = {
        "row": row,
        "id": entry["id"],
        "label": label,
        "folder_class": number,
        "folder_class_name": None,
        "folder_class_prob": None,
        "best_class": best,
        "best_name": name(best),
        "best_prob": target[best],
        "contradiction": None,
        "verdict": "not-compared",
        "teacher_class": teacher,
        "teacher_name": name(teacher),
        "teacher_prob": float(group["image_probs"][row, 0]),
        "folder_class_cells": None,
        "classes": len(np.unique(kept[0])),
        "objects": objects(kept[0], cells.max(axis=0) >= 0.5),
        "entropy": -(target * np.log(target)).sum(),
        "crop_folder_class_prob": None,
        "crop_wrong": None,
        "crop_miss": None,
        "crop_iou": None,
        "crop_iou_folder_class_prob": None,
    }
    if number is None:
        return columns, target
    others = np.delete(np.arange(classes["count"]), number)
    others = others[np.isin(others, kept)]
    is_absent = number not in kept
    won = kept[0] == number
    ys, xs = np.where(won)
    region = (xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height) if won.any() else None
    of_crops = [pooled(dense, crop) for crop in crops]
    probs = np.array([probs[number] for probs in of_crops])
    overlaps = np.array([iou(crop, region) if region else 0.0 for crop in crops])
    columns |= {
        "folder_class_name": name(number),
        "folder_class_prob": target[number],
        "contradiction": target[others].max() - target[number],
        "verdict": "agrees" if best == number else "absent" if is_absent else "differs",
        "folder_class_cells": won.mean(),
        "crop_folder_class_prob": probs.mean(),
        "crop_wrong": np.mean([probs.argmax() != number for probs in of_crops]),
        "crop_miss": (overlaps == 0).mean(),
        "crop_iou": overlaps.mean(),
        "crop_iou_folder_class_prob": (overlaps * probs).sum() / overlaps.sum() if overlaps.any() else None,
    }
    return columns, target


def ranked(images: list[dict]) -> list[dict]:
    def key(image):
        return (image["contradiction"] is None, -(image["contradiction"] or 0), image["row"])

    return [{"rank": rank} | image for rank, image in enumerate(sorted(images, key=key))]


def class_rows(images: list[dict], classes: dict) -> list[dict]:
    rows = []
    for number in sorted({image["folder_class"] for image in images if image["folder_class"] is not None}):
        members = [image for image in images if image["folder_class"] == number]
        wrong = Counter(image["best_class"] for image in members if image["best_class"] != number)
        taken = min(wrong, key=lambda other: (-wrong[other], other)) if wrong else None

        def mean(of, members=members):
            return sum(map(of, members)) / len(members)

        rows.append({
            "class": number,
            "folder": classes["ids"][number],
            "name": members[0]["folder_class_name"],
            "images": len(members),
            "agreement": mean(lambda image: image["verdict"] == "agrees"),
            "absent": mean(lambda image: image["verdict"] == "absent"),
            "folder_class_prob": mean(lambda image: image["folder_class_prob"]),
            "crop_wrong": mean(lambda image: image["crop_wrong"]),
            "confused_class": taken,
            "confused_name": None if taken is None else classes["names"][taken].split(",")[0].strip(),
            "confused_images": wrong.get(taken),
        })
    return rows


def assert_same(found: list[dict], expected: list[dict], what: str) -> None:
    assert len(found) == len(expected), what
    for found_row, expected_row in zip(found, expected, strict=True):
        assert list(found_row) == list(expected_row), f"{what}: {list(found_row)}"
        for column, value in expected_row.items():
            other = found_row[column]
            if isinstance(value, (float, np.floating)):
                assert other is not None and abs(other - value) <= TOLERANCE * max(1, abs(value)), (what, column, other, value)
            else:
                assert other == value, (what, column, other, value)


def from_csv(path: Path, like: list[dict]) -> list[dict]:
    """Reads the rows of a CSV file. Empty fields become None."""
    kinds = {column: next((type(row[column]) for row in like if row[column] is not None), str) for column in like[0]}

    def value(column, text):
        kind = kinds[column]
        return None if text == "" else int(text) if kind is int else text if kind is str else float(np.float32(text))

    with path.open(newline="", encoding="utf-8") as file:
        return [{column: value(column, text) for column, text in row.items()} for row in csv.DictReader(file)]


def main(store: str, folder: str, crop_count: str, seed: str) -> None:
    group = zarr.open_group(store, mode="r")
    classes = dict(group.attrs)["relabel"]["classes"]
    entries = pq.read_table(f"{store}/manifest.parquet").to_pylist()
    crops = random_crops(int(crop_count), int(seed))
    rows = [entry["row"] for entry in entries if np.isfinite(group["scores"][entry["row"]]).all()]
    computed = [image(group, row, entries[row], classes, crops) for row in rows]
    probs = {columns["row"]: target for columns, target in computed}
    images = ranked([columns for columns, _ in computed])
    of_classes = class_rows(images, classes)

    audit = Path(folder) / "audit"
    parquet = pq.read_table(audit.with_suffix(".parquet")).to_pylist()
    document = json.loads(audit.with_suffix(".json").read_text(encoding="utf-8"))
    assert list(document) == ["summary", "images", "classes"]
    assert_same(parquet, images, "parquet")
    assert_same(document["images"], images, "json")
    assert_same(from_csv(audit.with_suffix(".csv"), images), images, "csv")
    # All formats have the same values to the last bit.
    assert [{k: np.float32(v) if isinstance(v, float) else v for k, v in row.items()} for row in document["images"]] == parquet
    assert from_csv(audit.with_suffix(".csv"), images) == parquet

    parquet_classes = pq.read_table(audit.with_suffix(".classes.parquet")).to_pylist()
    assert_same(parquet_classes, of_classes, "classes, parquet")
    assert_same(document["classes"], of_classes, "classes, json")
    assert_same(from_csv(audit.with_suffix(".classes.csv"), of_classes), of_classes, "classes, csv")

    table = pq.read_table(Path(folder) / "probs.parquet")
    assert str(table.schema.field("pred_probs").type).startswith("list<") and "float" in str(table.schema.field("pred_probs").type)
    found = np.stack(table["pred_probs"].to_numpy())
    assert found.dtype == np.float32 and found.shape == (len(rows), classes["count"])
    expected = np.stack([probs[row] for row in table["row"].to_pylist()])
    assert np.abs(found - expected).max() <= 1e-6 and np.abs(found.sum(axis=1, dtype=np.float64) - 1).max() <= 1e-6
    by_json = json.loads((Path(folder) / "probs.json").read_text(encoding="utf-8"))["images"]
    assert (np.array([row["pred_probs"] for row in by_json], dtype=np.float32) == found).all()
    assert [column for column in table.column_names if column.startswith("crop")] == []
    print(json.dumps({"images": len(images), "classes": len(of_classes)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
