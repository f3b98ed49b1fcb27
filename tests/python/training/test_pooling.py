"""LabelPooling against torchvision, with the maps as zarr-python reads them."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
import zarr
from conftest import GOLDEN
from torchvision.ops import roi_align

import relabel


def dense_map(store, row, fill=0.0) -> torch.Tensor:
    """``[1, class, y, x]`` of a row."""
    group = zarr.open_group(store, mode="r")
    scores = torch.from_numpy(group["scores"][row].astype(np.float32))
    classes = torch.from_numpy(group["classes"][row].astype(np.int64))
    full = torch.full((1000, *scores.shape[1:]), float(fill)) if np.isscalar(fill) else fill.expand(1000, -1, -1).clone()
    return full.scatter_(0, classes, scores)[None]


def reference(dense, box, output_size=(1, 1), temperature=1.0):
    """As docs/label-pooling.md says it, in the box's own numbers."""
    height, width = dense.shape[-2:]
    x0, y0, x1, y1 = box
    roi = [0, x0 * width - 0.5, y0 * height - 0.5, x1 * width - 0.5, y1 * height - 0.5]
    pooled = roi_align(dense, torch.tensor([roi], dtype=torch.float32), output_size, 1.0, -1, False)
    # In float64: a float32 softmax adds a thousand small numbers to one of about 1, which costs up to 5e-5 by itself.
    return (pooled[0].double() / temperature).softmax(0).numpy()


def golden():
    return np.load(GOLDEN / "lite0.npz")


def golden_rows(labels, arrays):
    """Row of each golden image; an id keeps its extension where two files would share it."""
    names = [str(name) for name in arrays["ids"]]
    rows = labels.find_rows([name.rsplit(".", 1)[0] for name in names])
    return np.where(rows < 0, labels.find_rows(names), rows)


def random_boxes(generator, count):
    low = generator.uniform(-0.5, 1.0, (count, 2))
    return np.concatenate([low, low + generator.uniform(0.001, 1.2, (count, 2))], axis=1)


def test_every_golden_box_in_float64_and_float32(golden_labels, golden_store):
    arrays = golden()
    worst = 0.0
    for row, boxes in zip(golden_rows(golden_labels, arrays), arrays["boxes"], strict=True):
        dense = dense_map(golden_store, row)
        for given in (boxes, boxes.astype(np.float32)):
            found = golden_labels.pool([row] * len(given), given)
            wanted = np.stack([reference(dense, box)[:, 0, 0] for box in given])
            worst = max(worst, np.abs(found - wanted).max())
    assert worst <= 1e-5


def test_random_boxes_and_those_at_the_edge(golden_labels, golden_store):
    generator = np.random.default_rng(4)
    edges = np.array([[0, 0, 1, 1], [0, 0, 0.01, 0.01], [0.99, 0.99, 1, 1], [-0.2, 0.5, 1.3, 0.6], [1.2, 1.2, 1.5, 1.4]])
    boxes = np.concatenate([edges, random_boxes(generator, 200)]).astype(np.float32)
    dense = dense_map(golden_store, 24)
    found = golden_labels.pool([24] * len(boxes), boxes)
    assert np.abs(found - np.stack([reference(dense, box)[:, 0, 0] for box in boxes])).max() <= 1e-5
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_token_labels_and_flip(golden_labels, golden_store):
    dense = dense_map(golden_store, 23)
    box = np.float32([0.1, 0.2, 0.9, 0.7])
    wanted = reference(dense, box, (3, 2))
    straight, flipped = golden_labels.pool([23, 23], [box, box], output_size=(3, 2), flip=[False, True])
    assert straight.shape == (1000, 3, 2)
    # The list of float32 boxes became an array of float32, so that both are scaled alike.
    assert np.abs(straight - wanted).max() <= 1e-5
    assert np.abs(flipped - wanted[..., ::-1]).max() <= 1e-5


def test_temperature_fill_and_dtype(golden_labels, golden_store):
    box = np.float32([[0.0, 0.1, 0.8, 0.9]])
    wanted = reference(dense_map(golden_store, 24, fill=-4.0), box[0], temperature=2.5)[:, 0, 0]
    found = golden_labels.pool([24], box, fill=-4, temperature=2.5)
    assert np.abs(found[0] - wanted).max() <= 1e-5
    half = golden_labels.pool([24], box, dtype=np.float16)
    assert half.dtype == np.float16 and np.abs(half.astype(np.float32) - golden_labels.pool([24], box)).max() < 1e-3


def test_rest_fill_gives_absent_classes_their_true_mass(golden_labels, golden_store):
    group = zarr.open_group(golden_store, mode="r")
    scores, lse = group["scores"][24].astype(np.float64), group["lse"][24].astype(np.float64)
    rest = np.maximum(1 - np.exp(scores - lse).sum(axis=0, keepdims=True), 1e-3) / 995
    fill = torch.from_numpy((lse + np.log(rest)).astype(np.float32))
    box = np.float32([0.1, 0.0, 0.7, 0.8])
    wanted = reference(dense_map(golden_store, 24, fill=fill), box)[:, 0, 0]
    assert np.abs(golden_labels.pool([24], box, fill="rest")[0] - wanted).max() <= 1e-5


def test_naver_convention_is_the_public_readers_and_says_so(golden_labels, golden_store):
    dense = dense_map(golden_store, 24)
    top, left, bottom, right = 0.1, 0.5, 0.4, 0.9
    coordinates = torch.tensor([[0, top, left, bottom, right]])
    coordinates[:, 1:] = coordinates[:, 1:] * dense.shape[3] - 0.5
    wanted = roi_align(dense, coordinates, (1, 1)).flatten().softmax(0).numpy()
    with pytest.warns(UserWarning, match="swapped"):
        found = golden_labels.pool([24], np.float32([[left, top, right, bottom]]), convention="naver")
    assert np.abs(found[0] - wanted).max() <= 1e-5


def test_sparse_targets(golden_labels):
    rows, boxes = [21, 24, 23], np.float32([[0, 0, 1, 1], [0.2, 0.2, 0.4, 0.4], [0, 0, 0.5, 1]])
    for size in (None, 2):
        sparse = golden_labels.pool_sparse(rows, boxes, output_size=size)
        assert np.abs(sparse.dense(1000) - golden_labels.pool(rows, boxes, output_size=size)).max() < 1e-6
    cut = golden_labels.pool_sparse(rows, boxes, top=3)
    assert cut.ids.shape == (3, 3)
    assert np.allclose(cut.probs.sum(axis=1) + cut.rest, 1, atol=1e-5)
    assert (np.diff(cut.probs, axis=1) <= 0).all()


def test_global_soft_labels_are_the_teachers_prediction(golden_labels, golden_store):
    group = zarr.open_group(golden_store, mode="r")
    (target,) = golden_labels.image_targets([24])
    assert np.allclose(target[group["image_classes"][24]], group["image_probs"][24], atol=1e-6)
    assert math.isclose(target.sum(), 1, abs_tol=1e-5)
    assert golden_labels.class_names[target.argmax()].startswith("espresso")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.9]], "row 1 of boxes.*empty"),
        ([[0, 0, 1, 1], [0.5, 0.9, 0.7, 0.1]], "row 1 of boxes.*reversed"),
        ([[float("nan"), 0, 1, 1], [0, 0, 1, 1]], "row 0 of boxes.*finite"),
        ([[0, 0, 224, 224], [0, 0, 1, 1]], "row 0 of boxes.*pixels"),
        ([[0, 0, 1, 1]], r"shape \[1, 4\]"),
        ([0, 0, 1, 1], r"shape \[4\]"),
    ],
)
def test_malformed_boxes_are_errors_that_name_the_row(golden_labels, boxes, message):
    with pytest.raises(ValueError, match=message):
        golden_labels.pool([21, 24], boxes)


def test_other_impossible_values(labels):
    box = [[0, 0, 1, 1]]
    for options in (
        {"temperature": 0}, {"fill": "zero"}, {"fill": float("nan")}, {"output_size": 0}, {"dtype": "int8"},
        {"convention": "yx"}, {"threads": 0}, {"fill": "rest"}, {"flip": [True, False]},
    ):
        with pytest.raises(ValueError):
            labels.pool([0], box, **options)
    for ids in ([10_000], [-1], [0.5], [[0]]):
        with pytest.raises(ValueError):
            labels.pool(ids, box)
    with pytest.raises(KeyError, match="no image `nobody`"):
        labels.pool(["nobody"], box)
    assert labels.pool([], np.zeros((0, 4))).shape == (0, 1000)


def test_images_without_labels_say_why(golden_labels):
    with pytest.raises(relabel.NotLabelled, match="row 1 has no labels.*empty"):
        golden_labels.pool([1], [[0, 0, 1, 1]])
    assert golden_labels.failed()[1].startswith("empty")
    assert golden_labels.labelled().sum() == 22


def test_ids_rows_and_folders(labels, photographs):
    ids = labels.ids()
    assert ids[0] == "n02123045/n02123045_0" and len(ids) == len(labels) == 24
    assert labels.rows(ids).tolist() == list(range(24))
    assert (labels.folder_classes() == np.repeat([281, 967], 12)).all()
    assert np.array_equal(labels.pool(ids[3], [0, 0, 1, 1]), labels.pool([3], [[0, 0, 1, 1]]))


def test_threads_do_not_change_anything(labels):
    generator = np.random.default_rng(0)
    rows, boxes = generator.integers(0, 24, 300), random_boxes(generator, 300)
    one = labels.pool(rows, boxes, threads=1)
    assert np.array_equal(one, labels.pool(rows, boxes, threads=7))


def test_damage_is_an_error_and_not_another_label(store, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(store, broken)
    shutil.rmtree(broken / ".seen", ignore_errors=True)
    shutil.copy(broken / "scores/c.1.0.0.0", broken / "scores/c.0.0.0.0")
    with pytest.raises(relabel.StoreError, match="shard 0 is damaged"):
        relabel.open(broken).pool([0], [[0, 0, 1, 1]])
    assert relabel.open(broken).pool([7], [[0, 0, 1, 1]]).shape == (1, 1000)
    description = json.loads((broken / "zarr.json").read_text())
    description["attributes"]["relabel"]["format_version"] = 99
    (broken / "zarr.json").write_text(json.dumps(description))
    with pytest.raises(relabel.StoreError, match="format version 99"):
        relabel.open(broken)
