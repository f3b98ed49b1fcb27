"""The figures of `relabel evaluate` on the page of `relabel report`."""

from evaluation_document import write_evaluation
from pages import fragment, make_store, opened, report

HOSTILE = "<img src=x onerror=alert(1)> \u2028 \"'&amp; </" + "script>"


def test_figures_are_shown_in_a_tab_of_their_own(chrome, tmp_path):
    store = make_store(tmp_path / "labels", 40)
    evaluation = write_evaluation(store, tmp_path / "evaluation.json", truth=HOSTILE)
    assert report(store, tmp_path / "report", "--evaluation", evaluation)["charts"] == 3
    for is_dark in [False, True]:
        with opened(chrome, tmp_path / "report", dark=is_dark) as page:
            page.click("#tab-figures")
            assert page.locator("#figures").is_visible() and not page.locator("#images").is_visible()
            assert "tab=figures" in fragment(page)
            text = page.locator("#figures").inner_text()
            assert "relabel evaluate 1.2.3" in text and "81.2 ± 1.2 %" in text and "infinite" in text
            rows = page.locator("table[aria-label=Accuracy] tbody tr")
            assert rows.count() == 2 and "<img src=x onerror=alert(1)>" in rows.first.inner_text()
            assert page.locator("table[aria-label='Crop fidelity'] tbody th").all_inner_texts()[0] == "Target of the crop"
            # Only the charts are pictures, and all of them can be loaded.
            assert page.locator("#figures img").count() == 3
            for chart in page.locator("#figures img").all():
                chart.scroll_into_view_if_needed()
                assert chart.get_attribute("src").startswith("data/chart-")
                assert len(chart.get_attribute("alt")) > 80
            page.wait_for_function("[...document.querySelectorAll('#figures img')].every((image) => image.naturalWidth > 600)")
            page.focus("#tab-figures")
            page.keyboard.press("ArrowRight")
            assert page.locator("#images").is_visible() and page.evaluate("document.activeElement.id") == "tab-images"
            page.keyboard.press("ArrowLeft")
            assert page.locator("#figures").is_visible()
    with opened(chrome, tmp_path / "report", "#tab=figures", width=400) as page:
        assert page.locator("#figures").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "tables scroll by themselves"


def test_a_page_without_figures_has_no_such_tab(chrome, tmp_path):
    store = make_store(tmp_path / "labels", 10)
    report(store, tmp_path / "report")
    with opened(chrome, tmp_path / "report", "#tab=figures") as page:
        assert page.locator("#images").is_visible() and not page.locator("#tab-figures").is_visible()
        page.focus("#tab-charts")
        page.keyboard.press("ArrowRight")
        assert page.locator("#images").is_visible()
