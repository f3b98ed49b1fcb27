"""LabelPooling compared with torchvision, with label maps read by zarr-python."""

import math

import numpy as np
import pytest
import torch
import zarr
from harness import GOLDEN
from torchvision.ops import roi_align


def dense_map(store, row, fill=0.0) -> torch.Tensor:
    """Returns the dense map of a row, ``[1, class, y, x]``."""
    group = zarr.open_group(store, mode="r")
    scores = torch.from_numpy(group["scores"][row].astype(np.float32))
    classes = torch.from_numpy(group["classes"][row].astype(np.int64))
    full = torch.full((1000, *scores.shape[1:]), float(fill)) if np.isscalar(fill) else fill.expand(1000, -1, -1).clone()
    return full.scatter_(0, classes, scores)[None]


def reference(dense, box, output_size=(1, 1), temperature=1.0):
    """Pools as docs/label-pooling.md defines it, in the dtype of the box."""
    height, width = dense.shape[-2:]
    x0, y0, x1, y1 = box
    roi = [0, x0 * width - 0.5, y0 * height - 0.5, x1 * width - 0.5, y1 * height - 0.5]
    pooled = roi_align(dense, torch.tensor([roi], dtype=torch.float32), output_size, 1.0, -1, False)
    # In float64: adding a thousand small numbers to one near 1 costs a float32 softmax up to 5e-5.
    return (pooled[0].double() / temperature).softmax(0).numpy()


def golden():
    return np.load(GOLDEN / "lite0.npz")


def golden_rows(labels, arrays):
    """Returns the row of each golden image. An id keeps its extension if two files would share it."""
    names = [str(name) for name in arrays["ids"]]
    rows = labels.find_rows([name.rsplit(".", 1)[0] for name in names])
    return np.where(rows < 0, labels.find_rows(names), rows)


def random_boxes(generator, count):
    """Draws boxes of which a part is inside the image."""
    low = generator.uniform(-0.5, 1.0, (4 * count, 2))
    boxes = np.concatenate([low, low + generator.uniform(0.001, 1.2, (4 * count, 2))], axis=1)
    return boxes[(boxes[:, 2:] > 0.001).all(axis=1)][:count]


def test_golden_boxes_in_float64_and_float32(golden_labels, golden_store):
    arrays = golden()
    worst = 0.0
    for row, boxes in zip(golden_rows(golden_labels, arrays), arrays["boxes"], strict=True):
        dense = dense_map(golden_store, row)
        for given in (boxes, boxes.astype(np.float32)):
            found = golden_labels.pool([row] * len(given), given)
            expected = np.stack([reference(dense, box)[:, 0, 0] for box in given])
            worst = max(worst, np.abs(found - expected).max())
    assert worst <= 1e-5


def test_random_boxes_and_boxes_at_the_edge(golden_labels, golden_store):
    generator = np.random.default_rng(4)
    edges = np.array([[0, 0, 1, 1], [0, 0, 0.01, 0.01], [0.99, 0.99, 1, 1], [-0.2, 0.5, 1.3, 0.6], [0.999, 0.999, 1.5, 1.4]])
    boxes = np.concatenate([edges, random_boxes(generator, 200)]).astype(np.float32)
    dense = dense_map(golden_store, 24)
    found = golden_labels.pool([24] * len(boxes), boxes)
    assert np.abs(found - np.stack([reference(dense, box)[:, 0, 0] for box in boxes])).max() <= 1e-5
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_token_labels_and_flip(golden_labels, golden_store):
    dense = dense_map(golden_store, 23)
    box = np.float32([0.1, 0.2, 0.9, 0.7])
    expected = reference(dense, box, (3, 2))
    straight, flipped = golden_labels.pool([23, 23], [box, box], output_size=(3, 2), flip=[False, True])
    assert straight.shape == (1000, 3, 2)
    # A list of float32 boxes becomes a float32 array, so both sides scale in float32.
    assert np.abs(straight - expected).max() <= 1e-5
    assert np.abs(flipped - expected[..., ::-1]).max() <= 1e-5


def test_temperature_fill_and_dtype(golden_labels, golden_store):
    box = np.float32([[0.0, 0.1, 0.8, 0.9]])
    expected = reference(dense_map(golden_store, 24, fill=-4.0), box[0], temperature=2.5)[:, 0, 0]
    found = golden_labels.pool([24], box, fill=-4, temperature=2.5)
    assert np.abs(found[0] - expected).max() <= 1e-5
    half = golden_labels.pool([24], box, dtype=np.float16)
    assert half.dtype == np.float16 and np.abs(half.astype(np.float32) - golden_labels.pool([24], box)).max() < 1e-3


def test_rest_fill_gives_absent_classes_their_probability(golden_labels, golden_store):
    group = zarr.open_group(golden_store, mode="r")
    scores, lse = group["scores"][24].astype(np.float64), group["lse"][24].astype(np.float64)
    rest = np.maximum(1 - np.exp(scores - lse).sum(axis=0, keepdims=True), 1e-3) / 995
    fill = torch.from_numpy((lse + np.log(rest)).astype(np.float32))
    box = np.float32([0.1, 0.0, 0.7, 0.8])
    expected = reference(dense_map(golden_store, 24, fill=fill), box)[:, 0, 0]
    assert np.abs(golden_labels.pool([24], box, fill="rest")[0] - expected).max() <= 1e-5


def test_the_naver_convention_equals_the_public_reader_and_warns(golden_labels, golden_store):
    dense = dense_map(golden_store, 24)
    top, left, bottom, right = 0.1, 0.5, 0.4, 0.9
    coordinates = torch.tensor([[0, top, left, bottom, right]])
    coordinates[:, 1:] = coordinates[:, 1:] * dense.shape[3] - 0.5
    expected = roi_align(dense, coordinates, (1, 1)).flatten().softmax(0).numpy()
    with pytest.warns(UserWarning, match="swapped"):
        found = golden_labels.pool([24], np.float32([[left, top, right, bottom]]), convention="naver")
    assert np.abs(found[0] - expected).max() <= 1e-5


def test_sparse_targets(golden_labels):
    rows, boxes = [21, 24, 23], np.float32([[0, 0, 1, 1], [0.2, 0.2, 0.4, 0.4], [0, 0, 0.5, 1]])
    for size in (None, 2):
        sparse = golden_labels.pool_sparse(rows, boxes, output_size=size)
        assert np.abs(sparse.dense(1000) - golden_labels.pool(rows, boxes, output_size=size)).max() < 1e-6
    top = golden_labels.pool_sparse(rows, boxes, top=3)
    assert top.ids.shape == (3, 3)
    assert np.allclose(top.probs.sum(axis=1) + top.rest, 1, atol=1e-5)
    assert (np.diff(top.probs, axis=1) <= 0).all()


def test_image_targets_are_the_teachers_prediction(golden_labels, golden_store):
    group = zarr.open_group(golden_store, mode="r")
    (target,) = golden_labels.image_targets([24])
    assert np.allclose(target[group["image_classes"][24]], group["image_probs"][24], atol=1e-6)
    assert math.isclose(target.sum(), 1, abs_tol=1e-5)
    assert golden_labels.class_names[target.argmax()].startswith("espresso")
