"""The page of a store without label maps: predictions of images and tiles replace cells."""

import pytest
from pages import opened

import relabel


def test_the_full_view_has_targets_and_tiles_but_no_cells(chrome, mapless):
    labels = relabel.open(mapless / "labels")
    with opened(chrome, mapless / "report", "#image=8&crop=0.5,0,1,0.5") as page:
        page.wait_for_selector("#tiles li")
        for name, pooling, box in [
            ("crop", "tiles", [0.5, 0, 1, 0.5]), ("calibrated", "calibrated", [0.5, 0, 1, 0.5]), ("full", "tiles", [0, 0, 1, 1]),
        ]:  # fmt: skip
            best = page.locator(f"[data-bars={name}] li").first.get_attribute("data-prob")
            assert float(best) == pytest.approx(labels.pool([8], [box], pooling=pooling).max(), abs=1e-5), name
        assert page.locator("#tiles li").count() == 5
        assert page.evaluate("document.querySelectorAll('#stage canvas, #stage .lines, #stage .letters').length") == 0
        for hidden in ("#legend-title", ".legend", "#overlay", "#view-overlay"):
            assert page.is_hidden(hidden), hidden
        assert "no cells" in page.inner_text("#about") and "5 tiles (covering 5)" in page.inner_text("#about")
        page.hover("#stage")
        assert page.inner_text("#cell") == "Drag the box to pool another crop."
        page.focus("#stage")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Escape")
        assert page.is_hidden("#view")


def test_filters_and_charts_count_predictions(chrome, mapless):
    with opened(chrome, mapless / "report", "#tab=charts") as page:
        assert page.inner_text("#title").startswith("Predictions of ")
        page.wait_for_selector("#chart-classes")
        assert page.inner_text("#chart-classes h3") == "Best classes of image and tiles"
        assert page.locator("#chart-scores, #chart-bytes").count() == 0
        winners = page.evaluate("relabel.table.winnerCount.reduce((counts, count, at) => ({ ...counts, [at]: count }), {})")
        assert all(1 <= count <= 6 for row, count in winners.items() if not page.evaluate(f"relabel.table.hasFailed({row})"))
        assert page.inner_text("#filter-in option >> nth=2") == "the best class of the image or any tile"


def test_the_page_without_photographs_shows_the_colour_of_the_best_class(chrome, mapless):
    with opened(chrome, mapless / "plain", "#image=8") as page:
        page.wait_for_selector("#stage .picture")
        color = page.evaluate("getComputedStyle(document.querySelector('#stage .picture')).backgroundColor")
        assert color not in ("rgba(0, 0, 0, 0)", "")
        box = page.locator("#stage .picture").bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=1)
