"""The programs of the documentation, run as printed there."""

import contextlib
import io
import re

import numpy as np
import pytest
from harness import REPOSITORY, label

import relabel


def programs(page):
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", [0, 1], ids=["zarr-python", "TensorStore"])
def test_plain_readers_equal_the_package(golden_labels, golden_store, number):
    code = programs("reading.md")[number]
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 10
    names = {"path": str(golden_store), "row": 24}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    scores, classes = golden_labels.map(24)
    assert np.array_equal(names["scores"], scores) and np.array_equal(names["classes"], classes)
    dense = np.zeros((1000, 7, 7), np.float32)
    np.put_along_axis(dense, classes, scores.astype(np.float32), axis=0)
    assert np.array_equal(names["dense"], dense)
    assert printed.getvalue().startswith("espresso")
    with pytest.raises(AssertionError, match="no labels"):
        exec(code, {"path": str(golden_store), "row": 1})


def test_tiles_are_read_as_by_the_package(photographs, tmp_path):
    store = label(photographs, tmp_path / "tiles", "--tiles", "5")
    printed = io.StringIO()
    names = {"path": str(store), "row": 7}
    with contextlib.redirect_stdout(printed):
        exec(programs("reading.md")[2], names)
    labels = relabel.open(store)
    probs, classes = labels.tile_predictions(7)
    assert np.array_equal(names["probs"], probs) and np.array_equal(names["classes"], classes)
    lines = printed.getvalue().splitlines()
    assert len(lines) == 5 and lines[0].startswith(str(labels.tiles[0].tolist()))
