"""Frozen stores of every format version: zarr-python, TensorStore and the package read what was recorded."""

import json
from pathlib import Path

import freeze_store
import numpy as np
import pytest
import read_store
from harness import REPOSITORY

import relabel

VERSIONS = sorted((REPOSITORY / "tests/data/stores").iterdir())
STORES = [(version, name) for version in VERSIONS for name in freeze_store.names(version)]


@pytest.fixture(params=STORES, ids=lambda store: f"{store[0].name}-{store[1]}")
def frozen(request):
    """Yields the path of a frozen store, its description and its arrays."""
    version, name = request.param
    recorded = version / "expected" / name
    with freeze_store.opened(version, name) as store, np.load(recorded.with_suffix(".npz")) as arrays:
        yield store, json.loads(recorded.with_suffix(".json").read_text(encoding="utf-8")), dict(arrays)


def test_other_readers_read_what_was_recorded(frozen):
    store, description, arrays = frozen
    found, values = freeze_store.expected(store)
    assert json.loads(json.dumps(found)) == description
    assert values.keys() == arrays.keys()
    tensorstore = {name: freeze_store.widened(array) for name, array in read_store.by_tensorstore(str(store)).items()}
    for name, array in arrays.items():
        if name.endswith("targets"):
            assert np.abs(values[name] - array).max() <= 1e-6, name
        else:
            assert np.array_equal(values[name], array), name
            assert np.array_equal(tensorstore[name], array), name


def test_the_package_reads_what_was_recorded(frozen):
    store, description, arrays = frozen
    labels = relabel.open(store)
    rows = description["rows"]
    assert labels.ids() == [row["id"] for row in rows]
    assert labels.labelled().tolist() == [row["state"] == "labelled" for row in rows]
    failed = {number: row for number, row in enumerate(rows) if row["state"] == "failed"}
    assert labels.failed().keys() == failed.keys()
    assert all(row["reason"] in labels.failed()[number] for number, row in failed.items())
    for row in np.flatnonzero(labels.labelled()):
        scores, classes = labels.map(int(row))
        assert np.array_equal(scores, arrays["scores"][row])
        assert np.array_equal(classes, arrays["classes"][row])


def test_the_package_pools_to_the_recorded_targets(frozen):
    store, description, arrays = frozen
    labels = relabel.open(store)
    boxes, cutmix = description["boxes"], description["cutmix"]
    for row, targets in zip(description["target_rows"], arrays["targets"], strict=True):
        for dtype in (np.float32, np.float64):
            assert np.abs(labels.pool([row] * len(boxes), np.array(boxes, dtype)) - targets).max() <= 1e-5
    rows, rectangles, size = description["target_rows"], cutmix["rectangles"], tuple(cutmix["input_size"])
    mixed = labels.cutmix_targets(rows, cutmix["boxes"], [1, 0], rectangles, size, flip=cutmix["mirrored"])
    assert np.abs(mixed - arrays["cutmix_targets"]).max() <= 1e-5


def test_sums_list_every_frozen_file():
    for version in VERSIONS:
        lines = Path(version / "SHA256SUMS").read_text().splitlines()
        assert dict(line.split("  ")[::-1] for line in lines) == freeze_store.digests(version)
