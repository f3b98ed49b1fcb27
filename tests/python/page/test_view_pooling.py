"""LabelPooling in the page's JavaScript compared with the package."""

import numpy as np
import pytest
from pages import make_store, opened, report

import relabel


def boxes():
    """Returns boxes inside the image, at, across and beyond its edge, aligned with cells, and thin ones."""
    numbers = np.random.default_rng(11)
    low = numbers.uniform(0, 0.8, (150, 2))
    inside = np.concatenate([low, low + numbers.uniform(0.01, 1 - low)], axis=1)
    low = numbers.uniform(-0.6, 1.0, (150, 2))
    crossing = np.concatenate([low, low + numbers.uniform(0.001, 1.2, (150, 2))], axis=1)
    touching = inside[:60].copy()
    touching[:30, :2], touching[30:, 2:] = 0, 1
    cells = np.concatenate([numbers.integers(0, 5, (60, 2)), numbers.integers(6, 14, (60, 2))], axis=1) / [14, 9, 14, 9]
    tenths = np.concatenate([numbers.integers(0, 5, (60, 2)), numbers.integers(6, 10, (60, 2))], axis=1) / 10
    few = [[0, 0, 1, 1], [0, 0, 0.001, 0.001], [0.999, 0.999, 1, 1], [-0.2, 0.5, 1.3, 0.6], [1.2, 1.2, 1.5, 1.4], [-3, -3, -2, -2]]
    return np.concatenate([inside, crossing, touching, cells, tenths, np.array(few)])


POOLED = """async ([row, boxes]) => {
    const at = relabel.table.row.indexOf(row), image = await relabel.blocks.image(at);
    return boxes.map((box) => relabel.pool.pool(image.map, box));
}"""


def dense(target, classes):
    """Returns the probabilities of all classes."""
    probs = np.full(classes, target["rest"] / max(target["absent"], 1))
    probs[target["classes"]] = target["probs"]
    return probs


def worst(page, store, rows):
    labels, worst = relabel.open(store), 0.0
    for row in rows:
        found = np.stack([dense(target, labels.num_classes) for target in page.evaluate(POOLED, [row, boxes().tolist()])])
        expected = labels.pool([row] * len(boxes()), boxes())
        assert np.allclose(found.sum(axis=1), 1, atol=1e-9)
        worst = max(worst, np.abs(found - expected).max())
    return worst


def test_pooling_in_javascript_equals_the_package(chrome, photos):
    with opened(chrome, photos / "report") as page:
        assert worst(page, photos / "labels", [0, 8, 13, 19]) <= 1e-5


@pytest.mark.parametrize(("size", "k", "names"), [((7, 7), 5, 20), ((3, 11), 2, 20), ((1, 1), 1, 20), ((4, 2), 4, 4)])
def test_pooling_on_maps_of_any_size(chrome, tmp_path, size, k, names):
    """In the last case every cell has all classes, so none is absent."""
    store = make_store(tmp_path / "labels", 12, size=size, k=k, names=[f"name {number}" for number in range(names)])
    report(store, tmp_path / "report")
    with opened(chrome, tmp_path / "report") as page:
        assert worst(page, store, [0, 5, 11]) <= 1e-5
