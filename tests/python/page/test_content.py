"""Content of the page that must not break it: hostile names, photographs, and photographs that have changed."""

import pytest
from harness import label
from pages import make_store, opened, report, rows, save_photographs

HOSTILE = "<script>alert(1)</" + "script>"
HOSTILE_NAMES = [HOSTILE, "\"><img src=x onerror=alert(2)>", "'`${alert(3)}`\\", "line\u2028and\u2029lines", "猫 🐈 ñ", "&lt;b&gt;&amp;", " ", "</style><b>"]


def test_hostile_names_are_shown_as_text(chrome, tmp_path):
    ids = [f"k{number}\"'<b>" for number in range(len(HOSTILE_NAMES))]

    def path(row):
        return f"{ids[row % len(ids)]}/<img src=x onerror=alert({row})>\u2028\"'&amp; {row}.pt"

    reason = "<img src=x onerror=alert(9)> \u2028 ended"
    store = make_store(tmp_path / "labels", 40, names=HOSTILE_NAMES, ids=ids, path=path, failed=[(3, reason)])
    report(store, tmp_path / "report", "--matching", "<img")
    with opened(chrome, tmp_path / "report") as page:
        page.wait_for_selector(".tile canvas")
        assert page.locator("main img, main b:not(.highlight b), main script").count() == 0
        assert "<img src=x onerror=alert(0)>" in page.locator(".tile").first.inner_text()
        assert "with “<img” in the id" in page.locator("#about").inner_text()
        page.evaluate("relabel.view.open(0)")
        page.wait_for_selector("#stage canvas")
        assert page.locator("#view-id").inner_text().replace("\u2028", " ") == path(0).removesuffix(".pt").replace("\u2028", " ")
        page.evaluate("relabel.view.openRow(3)")
        assert "onerror=alert(9)" in page.locator("#view-note").inner_text()
        page.keyboard.press("Escape")
        page.click("#tab-charts")
        assert HOSTILE in page.locator("#charts").inner_text()
        page.fill("#filter-class", HOSTILE)
        assert rows(page) == [row for row in range(40) if row % 8 == 0]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    save_photographs(folder / "images")
    label(folder / "images", folder / "labels", code=3)
    document = report(folder / "labels", folder / "report", "--image-root", folder / "images", "--photo-side", 200)
    assert (document["rows"], document["photographs"], document["photographs_missing"], document["failed"]) == (21, 20, 0, 1)
    return folder


def test_photographs_are_shown_below_their_maps(chrome, photos):
    with opened(chrome, photos / "report") as page:
        page.wait_for_function("document.querySelectorAll('.tile img').length > 4 && [...document.images].every((image) => image.complete)")
        sizes = page.evaluate("[...document.images].map((image) => [image.naturalWidth, image.naturalHeight])")
        assert all(max(size) == 200 for size in sizes), sizes
        # The map covers the photograph exactly.
        assert page.evaluate("""[...document.querySelectorAll('.tile .picture')].every((box) => {
            const [a, b] = [box.querySelector('img'), box.querySelector('canvas')].map((node) => node.getBoundingClientRect());
            return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height; })""")
        page.locator("#opacity").fill("80")
        assert page.evaluate("getComputedStyle(document.querySelector('.tile canvas')).opacity") == "0.8"
        page.uncheck("#overlay")
        assert not page.locator(".tile canvas").first.is_visible() and page.locator(".tile img").first.is_visible()
        page.evaluate("relabel.view.open(0)")
        page.wait_for_selector("#stage img")
        assert not page.locator("#stage canvas").is_visible() and not page.is_checked("#view-overlay")
        page.check("#view-overlay")
        page.locator("#view-opacity").fill("30")
        assert page.evaluate("getComputedStyle(document.querySelector('#stage canvas')).opacity") == "0.3"
        page.keyboard.press("Escape")
        assert page.is_checked("#overlay") and page.input_value("#opacity") == "30"
        words = page.locator(".tile").first.get_attribute("aria-label")
        assert words.startswith("more/more_0, folder more, best ") and words.endswith(", not compared")


def test_changed_photographs_are_listed_and_their_maps_shown(chrome, photos, tmp_path):
    images = tmp_path / "images"
    save_photographs(images)
    (images / "more/more_1.JPEG").unlink()
    (images / "more/more_2.JPEG").write_bytes(b"other bytes")
    document = report(photos / "labels", tmp_path / "report", "--image-root", images, code=3)
    assert (document["photographs"], document["photographs_missing"]) == (18, 2)
    with opened(chrome, tmp_path / "report", "#id=more_") as page:
        page.wait_for_function("document.querySelectorAll('.tile canvas').length === 5")
        assert "2 photographs cannot be shown" in page.locator("#missing").inner_text()
        assert page.locator(".tile img").count() == 3 and page.locator(".no-photograph").count() == 2
        page.evaluate("relabel.view.open(2)")
        assert "11 bytes now" in page.locator("#view-note").inner_text()
