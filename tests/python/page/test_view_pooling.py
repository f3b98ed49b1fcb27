"""Pooling in the page's JavaScript compared with the package."""

import numpy as np
import pytest
from pages import PARAMETERS, make_store, opened, report

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
    every = np.concatenate([inside, crossing, touching, cells, tenths, np.array(few)])
    # The package refuses boxes that do not overlap the image.
    overlapping = ((every[:, :2] < 1) & (every[:, 2:] > 0)).all(axis=1)
    assert overlapping.sum() > 250
    return every[overlapping]


POOLED = """async ([row, boxes]) => {
    const at = relabel.table.row.indexOf(row), image = await relabel.blocks.image(at);
    return boxes.map((box) => relabel.pool.pool(image.map, box));
}"""


MIXED = """async ([row, boxes, kind]) => {
    const { about, classes, row: rows } = relabel.table, image = await relabel.blocks.image(rows.indexOf(row));
    return boxes.map((box) => relabel.mix.pool(image, about.tiles.boxes, classes.count, box, about.pooling[kind]));
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


@pytest.mark.parametrize("kind", ["tiles", "calibrated"])
def test_mixed_pooling_in_javascript_equals_the_package(chrome, tiled, kind):
    labels = relabel.open(tiled / "labels")
    assert labels.pooling == PARAMETERS
    with opened(chrome, tiled / "report") as page:
        for row in (0, 8, 13, 19):
            targets = page.evaluate(MIXED, [row, boxes().tolist(), kind])
            found = np.stack([dense(target, labels.num_classes) for target in targets])
            assert np.allclose(found.sum(axis=1), 1, atol=1e-9)
            assert np.abs(found - labels.pool([row] * len(boxes()), boxes(), pooling=kind)).max() <= 1e-5


def test_the_page_lists_tiles_and_outlines_the_one_under_the_pointer(chrome, tiled):
    labels = relabel.open(tiled / "labels")
    with opened(chrome, tiled / "report", "#image=8&crop=0,0,0.5,0.5") as page:
        page.wait_for_selector("#tiles li")
        assert page.inner_text("#tiles-title") == "Predictions for 5 tiles (covering 5)"
        best = page.evaluate("[...document.querySelectorAll('#tiles li')].map((item) => item.innerText)")
        assert len(best) == 5
        expected = labels.pool([8], [[0, 0, 0.5, 0.5]], pooling="calibrated")[0]
        bar = page.locator("[data-bars=calibrated] li").first
        assert float(bar.get_attribute("data-prob")) == pytest.approx(expected.max(), abs=1e-5)
        assert page.is_hidden(".tile-outline")
        page.hover("#tiles li >> nth=3")
        outline, picture = (page.locator(place).bounding_box() for place in (".tile-outline", "#stage .picture"))
        assert outline["x"] == pytest.approx(picture["x"] + picture["width"] / 2, abs=1)
        assert outline["y"] == pytest.approx(picture["y"] + picture["height"] / 2, abs=1)
        page.focus("#tiles li >> nth=0")
        assert page.locator(".tile-outline").bounding_box()["x"] == pytest.approx(picture["x"], abs=1)


@pytest.mark.parametrize("kind", ["tiles", "calibrated"])
def test_pooling_without_label_maps_equals_the_package(chrome, mapless, kind):
    labels = relabel.open(mapless / "labels")
    with opened(chrome, mapless / "report") as page:
        targets = page.evaluate(MIXED, [8, boxes().tolist(), kind])
        found = np.stack([dense(target, labels.num_classes) for target in targets])
        assert np.abs(found - labels.pool([8] * len(boxes()), boxes(), pooling=kind)).max() <= 1e-5
