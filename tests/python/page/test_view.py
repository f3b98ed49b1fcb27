"""The full view: LabelPooling in JavaScript against the package's, a crop that is dragged, letters, cells."""

import numpy as np
import pytest

import relabel
from pages import address, browser, make_store, opened, photographs, report, run_relabel


@pytest.fixture(scope="module")
def chrome():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photographs with maps of 9x14 cells."""
    folder = tmp_path_factory.mktemp("photos")
    photographs(folder / "images")
    run_relabel("run", "--teacher", "models/efficientnet-lite0.onnx", "--in", folder / "images", "--out", folder / "labels",
                "--input-size", "288x448", code=3)
    report(folder / "labels", folder / "report", "--image-root", folder / "images")
    return folder


def boxes():
    """Inside, touching and crossing the edge, of whole numbers of cells, thin, and outside."""
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
    """All probabilities of one label."""
    probs = np.full(classes, target["rest"] / max(target["absent"], 1))
    probs[target["classes"]] = target["probs"]
    return probs


def worst(page, store, rows):
    labels, worst = relabel.open(store), 0.0
    for row in rows:
        found = np.stack([dense(target, labels.num_classes) for target in page.evaluate(POOLED, [row, boxes().tolist()])])
        wanted = labels.pool([row] * len(boxes()), boxes())
        assert np.allclose(found.sum(axis=1), 1, atol=1e-9)
        worst = max(worst, np.abs(found - wanted).max())
    return worst


def test_pooling_in_javascript_is_the_packages(chrome, photos):
    with opened(chrome, photos / "report") as page:
        assert worst(page, photos / "labels", [0, 8, 13, 19]) <= 1e-5


@pytest.mark.parametrize(("size", "k", "names"), [((7, 7), 5, 20), ((3, 11), 2, 20), ((1, 1), 1, 20), ((4, 2), 4, 4)])
def test_pooling_on_maps_of_any_size(chrome, tmp_path, size, k, names):
    """The last one keeps all classes of the teacher, so that none is absent."""
    store = make_store(tmp_path / "labels", 12, size=size, k=k, names=[f"name {number}" for number in range(names)])
    report(store, tmp_path / "report")
    with opened(chrome, tmp_path / "report") as page:
        assert worst(page, store, [0, 5, 11]) <= 1e-5


def shown(page, name):
    """Class and probability of the bars that are drawn."""
    bars = page.evaluate("(name) => [...document.querySelectorAll(`[data-bars=${name}] li[data-class]`)].map((bar) => [Number(bar.dataset.class), Number(bar.dataset.prob), bar.innerText])", name)
    assert bars and all(f"{100 * prob:.1f} %" in text for _, prob, text in bars)
    return {int(name): prob for name, prob, _ in bars}


def compare(page, photos, row):
    """The bars of the crop against the package's label of the box that the inputs show."""
    box = [float(page.input_value(f"#crop-{side}")) for side in ("x0", "y0", "x1", "y1")]
    wanted = relabel.open(photos / "labels").pool([row], [box])[0]
    found = shown(page, "crop")
    for name, prob in found.items():
        assert prob == pytest.approx(wanted[name], abs=1e-5)
    assert int(wanted.argmax()) == next(iter(found))
    return box, found


def test_a_dragged_crop_shows_the_label_of_its_box(chrome, photos):
    row = 1
    with opened(chrome, photos / "report", f"#image={row}") as page:
        page.wait_for_selector("#stage .crop")
        picture = page.locator("#stage .picture").bounding_box()

        def drag(start, end):
            place = [(picture["x"] + x * picture["width"], picture["y"] + y * picture["height"]) for x, y in (start, end)]
            page.mouse.move(*place[0])
            page.mouse.down()
            page.mouse.move((place[0][0] + place[1][0]) / 2, (place[0][1] + place[1][1]) / 2)
            page.mouse.move(*place[1])
            page.mouse.up()

        before = compare(page, photos, row)
        assert before[0] == [0.25, 0.25, 0.75, 0.75]
        drag((0.6, 0.6), (0.75, 0.45))
        box, moved = compare(page, photos, row)
        assert np.allclose(box, [0.4, 0.1, 0.9, 0.6], atol=0.004) and moved != before[1]
        drag((box[0], box[3]), (0.05, 0.95))
        box, _ = compare(page, photos, row)
        assert np.allclose(box, [0.05, 0.1, 0.9, 0.95], atol=0.004)
        drag((box[2], (box[1] + box[3]) / 2), (1.04, 0.5))
        box, _ = compare(page, photos, row)
        assert np.allclose(box, [0.05, 0.1, 1.04, 0.95], atol=0.004), "it crosses the edge"
        drag((box[0], (box[1] + box[3]) / 2), (0.6, 0.5))
        drag((0.02, 0.3), (0.4, 0.8))
        box, drawn = compare(page, photos, row)
        assert np.allclose(box, [0.02, 0.3, 0.4, 0.8], atol=0.004), "a new box is drawn"
        for side, value in {"x0": "0.61", "x1": "0.99", "y0": "-0.1", "y1": "0.4"}.items():
            page.fill(f"#crop-{side}", value)
        box, typed = compare(page, photos, row)
        assert box == [0.61, -0.1, 0.99, 0.4] and typed != drawn
        page.fill("#crop-x1", "0.5")
        assert "x1 must be larger than x0" in page.locator("#crop-note").inner_text()
        page.click("#crop-full")
        compare(page, photos, row)
        assert shown(page, "crop") == shown(page, "full")
        assert "crop=0%2C0%2C1%2C1" in address(page)


def test_the_teachers_own_prediction_stands_beside(chrome, photos):
    import zarr
    group = zarr.open_group(photos / "labels", mode="r")
    with opened(chrome, photos / "report", "#image=8") as page:
        page.wait_for_selector("#stage .crop")
        found = shown(page, "prediction")
        assert list(found) == group["image_classes"][8].tolist()
        assert np.allclose(list(found.values()), group["image_probs"][8].astype(float), atol=1e-6)
        folder = page.locator("[data-bars=full] .is-folder-class")
        assert folder.count() == 1, "the folder's class is named among the bars"


def test_letters_follow_the_regions(chrome, photos):
    _, classes, *_ = relabel.open(photos / "labels").map(1)
    ids, cells = np.unique(classes[0], return_counts=True)
    ranked = sorted(zip(-cells, ids, strict=True))
    with opened(chrome, photos / "report", "#image=1") as page:
        page.wait_for_selector("#stage .letters span")
        legend = page.locator("#legend tr").evaluate_all("(lines) => lines.map((line) => [...line.cells].map((cell) => cell.innerText.trim()))")
        names = relabel.open(photos / "labels").class_names
        assert len(legend) == len(ranked)
        for at, (line, (negative, name)) in enumerate(zip(legend, ranked, strict=True)):
            assert line == [chr(65 + at) if at < 26 else "", names[name].split(",")[0].strip(), str(-negative)]
        # Each letter lies in a cell that its class wins.
        letters = page.evaluate("""(() => { const frame = document.querySelector('#stage .picture').getBoundingClientRect();
            return [...document.querySelectorAll('.letters span')].map((span) => { const at = span.getBoundingClientRect();
                return [span.textContent, (at.x + at.width / 2 - frame.x) / frame.width, (at.y + at.height / 2 - frame.y) / frame.height]; }); })()""")
        height, width = classes.shape[1:]
        for letter, x, y in letters:
            assert classes[0, int(y * height), int(x * width)] == ranked[ord(letter) - 65][1]
        assert {letter for letter, _, _ in letters} == {chr(65 + at) for at in range(min(26, len(ranked)))}


def test_a_cell_shows_its_classes_by_mouse_and_by_keyboard(chrome, photos):
    scores, classes, *_ = relabel.open(photos / "labels").map(1)
    names = relabel.open(photos / "labels").class_names
    height, width = classes.shape[1:]

    def check(page, y, x):
        for rank, text in enumerate(page.locator("#cell li").all_inner_texts()):
            name, score = text.rsplit(" ", 1)
            assert name == names[classes[rank, y, x]].split(",")[0].strip()
            assert float(score) == pytest.approx(float(scores[rank, y, x]), abs=0.0051)
        assert rank + 1 == len(classes)

    with opened(chrome, photos / "report", "#image=1") as page:
        page.wait_for_selector("#stage .crop")
        box = page.locator("#stage .picture").bounding_box()
        for y, x in [(0, 0), (4, 6), (height - 1, width - 1)]:
            page.mouse.move(box["x"] + (x + 0.5) / width * box["width"], box["y"] + (y + 0.5) / height * box["height"])
            check(page, y, x)
        page.mouse.move(2, 2)
        page.keyboard.press("Tab")
        for _ in range(8):
            if page.evaluate("document.activeElement.id") == "stage":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
        text = page.locator("#cell p").inner_text()
        y, x = [int(word.strip(",:")) - 1 for word in text.split() if word.strip(",:").isdigit()]
        check(page, y, x)
        assert "1 of" not in text and page.locator("#view-position").inner_text().endswith("row 1"), "the image stays"


def test_cells_fade_where_they_are_less_sure(chrome, photos):
    """Softmax over all classes in each cell, absent ones having score 0."""
    labels = relabel.open(photos / "labels")
    with opened(chrome, photos / "report") as page:
        row = int(np.flatnonzero(labels.labelled())[0])
        found = page.evaluate("""async (row) => {
            const { map } = await relabel.blocks.image(relabel.table.row.indexOf(row));
            return Array.from({ length: map.height * map.width }, (_, cell) => relabel.picture.bestProb(map, cell));
        }""", row)
    scores = labels.map(row)[0].astype(np.float64)
    kept = np.exp(scores)
    wanted = kept[0] / (kept.sum(axis=0) + labels.num_classes - len(scores))
    assert np.allclose(found, wanted.ravel(), atol=1e-9)


def test_a_page_of_one_image_opens_with_the_crop_that_was_asked_for(chrome, photos):
    labels = relabel.open(photos / "labels")
    run_relabel("inspect", photos / "labels", "n07920052_1", "--image-root", photos / "images", "--crop", "0.1,0.2,0.6,0.9",
                "--html", photos / "one")
    with opened(chrome, photos / "one") as page:
        page.wait_for_selector("[data-bars=crop] li[data-class]")
        assert [page.input_value(f"#crop-{side}") for side in ["x0", "y0", "x1", "y1"]] == ["0.1", "0.2", "0.6", "0.9"]
        best = page.locator("[data-bars=crop] li[data-class]").first
        wanted = labels.pool(["n07920052/n07920052_1"], [[0.1, 0.2, 0.6, 0.9]])[0]
        assert int(best.get_attribute("data-class")) == wanted.argmax()
        assert abs(float(best.get_attribute("data-prob")) - wanted.max()) < 1e-5
