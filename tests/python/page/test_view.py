"""The full view of an image: crops by mouse, and the teacher's prediction."""

import numpy as np
import pytest
import zarr
from harness import run_relabel
from pages import fragment, opened

import relabel


def shown(page, name):
    """Returns the probability of each drawn bar by class."""
    bars = page.evaluate("(name) => [...document.querySelectorAll(`[data-bars=${name}] li[data-class]`)].map((bar) => [Number(bar.dataset.class), Number(bar.dataset.prob), bar.innerText])", name)
    assert bars and all(f"{100 * prob:.1f} %" in text for _, prob, text in bars)
    return {int(name): prob for name, prob, _ in bars}


def compare(page, photos, row):
    """Compares the bars of the crop with the package's target for the box of the inputs."""
    box = [float(page.input_value(f"#crop-{side}")) for side in ("x0", "y0", "x1", "y1")]
    expected = relabel.open(photos / "labels").pool([row], [box])[0]
    found = shown(page, "crop")
    for name, prob in found.items():
        assert prob == pytest.approx(expected[name], abs=1e-5)
    assert int(expected.argmax()) == next(iter(found))
    return box, found


def test_a_dragged_crop_shows_the_target_of_its_box(chrome, photos):
    row = 1
    with opened(chrome, photos / "report", f"#image={row}") as page:
        page.wait_for_selector("#stage .crop")
        picture = page.locator("#stage .picture").bounding_box()

        def drag(start, end):
            points = [(picture["x"] + x * picture["width"], picture["y"] + y * picture["height"]) for x, y in (start, end)]
            page.mouse.move(*points[0])
            page.mouse.down()
            page.mouse.move((points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2)
            page.mouse.move(*points[1])
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
        assert np.allclose(box, [0.05, 0.1, 1.04, 0.95], atol=0.004), "it extends beyond the image"
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
        assert "crop=0%2C0%2C1%2C1" in fragment(page)


def test_the_view_shows_the_teachers_prediction(chrome, photos):
    group = zarr.open_group(photos / "labels", mode="r")
    with opened(chrome, photos / "report", "#image=8") as page:
        page.wait_for_selector("#stage .crop")
        found = shown(page, "prediction")
        assert list(found) == group["image_classes"][8].tolist()
        assert np.allclose(list(found.values()), group["image_probs"][8].astype(float), atol=1e-6)
        folder = page.locator("[data-bars=full] .is-folder-class")
        assert folder.count() == 1, "the folder class is marked among the bars"


def test_a_page_of_one_image_opens_with_the_requested_crop(chrome, photos):
    labels = relabel.open(photos / "labels")
    run_relabel("inspect", photos / "labels", "n07920052_1", "--image-root", photos / "images", "--crop", "0.1,0.2,0.6,0.9",
                "--html", photos / "one")
    with opened(chrome, photos / "one") as page:
        page.wait_for_selector("[data-bars=crop] li[data-class]")
        assert [page.input_value(f"#crop-{side}") for side in ["x0", "y0", "x1", "y1"]] == ["0.1", "0.2", "0.6", "0.9"]
        best = page.locator("[data-bars=crop] li[data-class]").first
        expected = labels.pool(["n07920052/n07920052_1"], [[0.1, 0.2, 0.6, 0.9]])[0]
        assert int(best.get_attribute("data-class")) == expected.argmax()
        assert abs(float(best.get_attribute("data-prob")) - expected.max()) < 1e-5
