"""Pooling under masks, compared with the definition of MultiLabel-ImageNet, and with masks of pycocotools and OpenCV."""

import json
import re

import numpy as np
import pytest
import torch
import zarr
from harness import GOLDEN

import relabel

GOLDEN_MASKS = np.load(GOLDEN / "masks.npz")
COUNT = sum(name.startswith("pixels_") for name in GOLDEN_MASKS.files)


def golden_mask(number) -> np.ndarray:
    height, width = GOLDEN_MASKS[f"size_{number}"]
    return np.unpackbits(GOLDEN_MASKS[f"pixels_{number}"], count=height * width).reshape(height, width).astype(bool)


def golden_rle(number) -> dict:
    return {"size": GOLDEN_MASKS[f"size_{number}"].tolist(), "counts": GOLDEN_MASKS[f"compressed_{number}"].tobytes()}


def stored_map(store, row, fill=0.0) -> torch.Tensor:
    """Returns the dense map of a row, ``[class, y, x]``, in float64."""
    group = zarr.open_group(store, mode="r")
    scores = torch.from_numpy(group["scores"][row].astype(np.float64))
    classes = torch.from_numpy(group["classes"][row].astype(np.int64))
    return torch.full((1000, *scores.shape[1:]), fill, dtype=torch.float64).scatter_(0, classes, scores)


def published(dense, resized, temperature=1.0) -> np.ndarray:
    """The definition: mean of the dense map with the weights of a resized mask, then softmax."""
    weights = torch.from_numpy(resized.astype(np.float64))
    return ((dense * weights).sum((1, 2)) / weights.sum() / temperature).softmax(0).numpy()


def random_masks(count, seed) -> list[np.ndarray]:
    """Returns half planes and stripes of various sizes."""
    generator = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        y, x = np.mgrid[: generator.integers(8, 300), : generator.integers(8, 300)]
        angle, at = generator.uniform(0, np.pi), generator.uniform(0.2, 0.8)
        mask = np.cos(angle) * x / x.shape[1] + np.sin(angle) * y / y.shape[0] > at * (np.cos(angle) + np.sin(angle))
        masks.append(mask if mask.any() else ~mask)
    return masks


def test_targets_equal_the_published_function_with_resizes_of_opencv(golden_labels, golden_store):
    size = "{}x{}".format(*golden_labels.map_size)
    rows = [21, 23, 24]
    dense = {row: stored_map(golden_store, row) for row in rows}
    worst, compared = 0.0, {"linear": 0, "area": 0}
    for number in range(COUNT):
        for resize in compared:
            resized = GOLDEN_MASKS.get(f"{resize}_{number}_{size}")
            if resized is None or resized.sum() == 0:
                continue
            row = rows[number % 3]
            found = golden_labels.pool_masks([row], [golden_mask(number)], resize=resize)[0]
            worst = max(worst, np.abs(found - published(dense[row], resized)).max())
            compared[resize] += 1
    assert worst <= 1e-5
    assert compared["linear"] > 35 and compared["area"] > 25


def test_masks_of_pycocotools_are_those_of_their_pixels(golden_labels):
    rows = [24] * COUNT
    for resize in ("linear", "area"):
        pixels = golden_labels.pool_masks(rows, [golden_mask(number) for number in range(COUNT)], resize=resize, dtype=np.float64)
        compressed = [golden_rle(number) for number in range(COUNT)]
        assert np.array_equal(golden_labels.pool_masks(rows, compressed, resize=resize, dtype=np.float64), pixels)
        as_text = [rle | {"counts": rle["counts"].decode()} for rle in compressed]
        assert np.array_equal(golden_labels.pool_masks(rows, as_text, resize=resize, dtype=np.float64), pixels)
        counts = [{"size": rle["size"], "counts": GOLDEN_MASKS[f"counts_{number}"].tolist()} for number, rle in enumerate(compressed)]
        assert np.array_equal(golden_labels.pool_masks(rows, counts, resize=resize, dtype=np.float64), pixels)


def test_a_full_mask_is_the_mean_of_the_map_and_a_box_of_cells_that_of_the_cells(golden_labels, golden_store):
    dense = stored_map(golden_store, 24)
    height, width = golden_labels.map_size
    full = golden_labels.pool_masks([24], [np.ones((33, 47), bool)])[0]
    assert np.abs(full - dense.mean((1, 2)).softmax(0).numpy()).max() <= 1e-6
    assert np.abs(full - golden_labels.pool([24], [[0, 0, 1, 1]])[0]).max() <= 1e-6
    box = np.zeros((height * 6, width * 9), bool)
    box[6:18, 27:45] = True
    found = golden_labels.pool_masks([24], [box])[0]
    assert np.abs(found - dense[:, 1:3, 3:5].mean((1, 2)).softmax(0).numpy()).max() <= 1e-6
    assert np.abs(found - full).max() > 1e-3


def test_a_thin_mask_is_weighted_by_area(golden_labels, golden_store):
    mask = np.zeros((700, 700), bool)
    mask[195:205, 320:330] = True
    found = golden_labels.pool_masks([24, 24], [mask, mask.T])
    dense = stored_map(golden_store, 24)
    assert np.abs(found[0] - dense[:, 1:3, 3].mean(1).softmax(0).numpy()).max() <= 1e-6
    assert np.abs(found[1] - dense[:, 3, 1:3].mean(1).softmax(0).numpy()).max() <= 1e-6


def test_options(golden_labels, golden_store):
    masks = random_masks(40, seed=5)
    rows = np.arange(40) % 3 + 22
    found = golden_labels.pool_masks(rows, masks, fill=-3.0, temperature=2.0, dtype=np.float64, resize="area", threads=3)
    assert found.dtype == np.float64 and np.allclose(found.sum(axis=1), 1)
    height, width = golden_labels.map_size
    for at, mask in enumerate(masks):
        # Every pixel as many pixels that lie in one cell each.
        resized = np.kron(mask, np.ones((height, width))).reshape(height, mask.shape[0], width, mask.shape[1]).mean((1, 3))
        assert np.abs(found[at] - published(stored_map(golden_store, rows[at], fill=-3.0), resized, temperature=2.0)).max() < 1e-9
    alone = golden_labels.pool_masks(rows, masks, fill=-3.0, temperature=2.0, dtype=np.float64, resize="area", threads=1)
    assert np.array_equal(found, alone)
    assert golden_labels.pool_masks(rows, masks, fill="rest", dtype=np.float16).dtype == np.float16


def test_masks_of_every_type(golden_labels):
    masks = np.stack([np.arange(60).reshape(6, 10) % 7 < 3, np.arange(60).reshape(6, 10) > 20])
    expected = golden_labels.pool_masks([23, 24], list(masks))
    ids = golden_labels.ids()
    for same in (
        masks,
        masks.astype(np.uint8) * 255,
        masks.astype(np.int64) * 7,
        np.asfortranarray(masks),
        [np.asfortranarray(mask) for mask in masks],
        np.repeat(masks, 2, axis=2)[:, :, ::2],
        torch.from_numpy(masks),
        list(torch.from_numpy(masks)),
        masks.tolist(),
    ):
        assert np.array_equal(golden_labels.pool_masks([23, 24], same), expected)
    assert np.array_equal(golden_labels.pool_masks([ids[23], ids[24]], masks), expected)
    assert np.array_equal(golden_labels.pool_masks(23, masks[0]), expected[:1])
    assert np.array_equal(golden_labels.pool_masks(ids[24], {"size": [6, 10], "counts": masks_counts(masks[1])}), expected[1:])
    assert golden_labels.pool_masks([], []).shape == (0, 1000)


def masks_counts(mask) -> list[int]:
    flat = mask.T.ravel().tolist()
    counts, inside = [0], False
    for value in flat:
        if value != inside:
            counts.append(0)
            inside = value
        counts[-1] += 1
    return counts


BAD = [
    (np.zeros((5, 5), bool), "no pixel is inside the mask"),
    (np.ones((0, 5), bool), "a mask of 0x5 pixels is out of range"),
    (np.ones((5, 5, 1), bool), r"must have shape \[height, width\], got \[5, 5, 1\]"),
    (np.ones((5, 5), np.float32), "must be bool or integer, got float32\n  help: pass scores > threshold"),
    (np.arange(6).reshape(2, 3), "several values other than 0"),
    (np.array([[-1, 0]]), "several values other than 0"),
    ([[1.5, 2.0, 3.0, 4.0, 5.0, 6.0]], "help: encode polygons"),
    ([[1, 2, 3, 4], [1, 2]], "help: encode polygons"),
    ("06", "help: encode polygons"),
    ({"size": [3, 2]}, "keys size and counts, got size"),
    ({"size": [3, 2, 1], "counts": b"06"}, "size must be height and width"),
    ({"size": [-3, 2], "counts": b"06"}, "size must be height and width"),
    ({"size": [2, 2], "counts": b"06"}, "count 1 of the run-length encoding is 6, expected 0 to 4"),
    ({"size": [4, 2], "counts": b"06"}, "cover 6 pixels, but a mask of 4x2 pixels has 8"),
    ({"size": [3, 2], "counts": b"6"}, "no pixel is inside the mask"),
    ({"size": [3, 2], "counts": b"0V"}, "end within count 1"),
    ({"size": [3, 2], "counts": "0\u00e9"}, "byte 1 of the compressed counts is 0xc3"),
    ({"size": [3, 2], "counts": [0, 7]}, "count 1 of the run-length encoding is 7"),
    ({"size": [3, 2], "counts": [1.5, 4.5]}, "list of integers"),
    ({"size": [3, 2], "counts": []}, "cover 0 pixels"),
    ({"size": [70_000, 1], "counts": [0, 70_000]}, "each side must be 1 to 65535"),
]


@pytest.mark.parametrize(("mask", "reason"), BAD, ids=[reason[:30] for _, reason in BAD])
def test_bad_masks_are_named(golden_labels, mask, reason):
    with pytest.raises(ValueError, match=f"(?s)^mask 1: .*{reason}"):
        golden_labels.pool_masks([23, 24], [np.ones((4, 4), bool), mask])


def test_bad_calls(golden_labels):
    mask = np.ones((4, 4), bool)
    with pytest.raises(ValueError, match="masks of 2 ids must be 2 masks, got 1"):
        golden_labels.pool_masks([23, 24], [mask])
    with pytest.raises(ValueError, match='resize is `cubic`\n  help: pass "linear" or "area"'):
        golden_labels.pool_masks([23], [mask], resize="cubic")
    for option, value in [("dtype", np.int64), ("temperature", 0), ("fill", True), ("fill", None), ("resize", None)]:
        with pytest.raises(ValueError, match=f"{option} is {re.escape(repr(value))}\n  help: pass "):
            golden_labels.pool_masks([23], [mask], **{option: value})
    half = golden_labels.pool_masks([23], [mask], dtype=torch.float16)
    assert half.dtype == np.float16 and golden_labels.pool_masks([23], [mask], dtype=None).dtype == np.float32
    with pytest.raises(KeyError, match="nowhere"):
        golden_labels.pool_masks(["nowhere"], [mask])
    failed = next(iter(golden_labels.failed()))
    with pytest.raises(relabel.NotLabelled):
        golden_labels.pool_masks([failed], [mask])


def test_the_example_of_json_files(golden_labels, tmp_path):
    """Masks of a COCO file pass through JSON."""
    (tmp_path / "masks.json").write_text(json.dumps(golden_rle(0) | {"counts": golden_rle(0)["counts"].decode()}))
    loaded = json.loads((tmp_path / "masks.json").read_text())
    assert np.array_equal(golden_labels.pool_masks([24], [loaded]), golden_labels.pool_masks([24], [golden_mask(0)]))
