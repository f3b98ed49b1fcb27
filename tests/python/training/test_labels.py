"""The class `Labels`: lookup of rows, invalid arguments, images without labels, and damaged stores."""

import json
import shutil

import numpy as np
import pytest

import relabel


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.9]], "row 1 of boxes.*empty"),
        ([[0, 0, 1, 1], [0.5, 0.9, 0.7, 0.1]], "row 1 of boxes.*reversed"),
        ([[float("nan"), 0, 1, 1], [0, 0, 1, 1]], "row 0 of boxes.*finite"),
        ([[0, 0, 224, 224], [0, 0, 1, 1]], "row 0 of boxes.*outside"),
        ([[0, 0, 1, 1]], r"shape \[1, 4\]"),
        ([0, 0, 1, 1], r"shape \[4\]"),
    ],
)
def test_errors_of_invalid_boxes_name_the_row(golden_labels, boxes, message):
    with pytest.raises(ValueError, match=message):
        golden_labels.pool([21, 24], boxes)


def test_other_invalid_values(labels):
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


def test_errors_of_images_without_labels_have_the_reason(golden_labels):
    with pytest.raises(relabel.NotLabelled, match="row 1 has no labels.*empty"):
        golden_labels.pool([1], [[0, 0, 1, 1]])
    assert golden_labels.failed()[1].startswith("empty")
    assert golden_labels.labelled().sum() == 22


def test_ids_rows_and_folder_classes(labels, photographs):
    ids = labels.ids()
    assert ids[0] == "n02123045/n02123045_0" and len(ids) == len(labels) == 24
    assert labels.rows(ids).tolist() == list(range(24))
    assert (labels.folder_classes() == np.repeat([281, 967], 12)).all()
    assert np.array_equal(labels.pool(ids[3], [0, 0, 1, 1]), labels.pool([3], [[0, 0, 1, 1]]))


def test_targets_do_not_depend_on_the_number_of_threads(labels):
    generator = np.random.default_rng(0)
    # Each begins or ends inside the image.
    rows, corners = generator.integers(0, 24, 300), generator.uniform(0.001, 0.999, (300, 2))
    sides, before = generator.uniform(0.001, 1.2, (300, 2)), generator.integers(0, 2, (300, 1))
    boxes = np.concatenate([corners - before * sides, corners + (1 - before) * sides], axis=1)
    one = labels.pool(rows, boxes, threads=1)
    assert np.array_equal(one, labels.pool(rows, boxes, threads=7))


def test_damage_is_an_error(store, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(store, damaged)
    shutil.rmtree(damaged / ".seen", ignore_errors=True)
    shutil.copy(damaged / "scores/c.1.0.0.0", damaged / "scores/c.0.0.0.0")
    with pytest.raises(relabel.StoreError, match="shard 0 is damaged"):
        relabel.open(damaged).pool([0], [[0, 0, 1, 1]])
    assert relabel.open(damaged).pool([7], [[0, 0, 1, 1]]).shape == (1, 1000)
    description = json.loads((damaged / "zarr.json").read_text())
    description["attributes"]["relabel"]["format_version"] = 99
    (damaged / "zarr.json").write_text(json.dumps(description))
    with pytest.raises(relabel.StoreError, match="format version 99"):
        relabel.open(damaged)
