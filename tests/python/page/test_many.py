"""A page of 50,000 rows stays usable. The limits are generous, for slow and busy machines."""

import time

import pytest
from pages import make_store, opened, report, rows

COUNT = 50_000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    store = make_store(folder / "labels", COUNT, size=(3, 4), k=3)
    report(store, folder / "report", "--all")
    return folder / "report"


def milliseconds(page, action):
    """Returns the time from the action until the page has drawn again."""
    return page.evaluate(
        "(action) => new Promise((done) => { const from = performance.now(); (0, eval)(action);"
        " requestAnimationFrame(() => setTimeout(() => done(performance.now() - from))); })",
        action,
    )


def test_fifty_thousand_rows_stay_usable(chrome, many):
    from_start = time.monotonic()
    with opened(chrome, many) as page:
        page.wait_for_selector(".tile canvas")
        first_tile = time.monotonic() - from_start
        assert first_tile < 15, f"the first tile took {first_tile:.1f} s"
        assert page.locator("#count").inner_text() == "50,000 images"
        slow = {}
        for name, action in {
            "search": "relabel.filter.set({ id: '_0' })",
            "class": "relabel.filter.set({ id: '', class: 'shark', in: 'cell' })",
            "verdict": "relabel.filter.set({ class: '', verdict: 'differs' })",
            "sort": "relabel.filter.set({ verdict: '', sort: 'entropy' })",
            "charts": "document.getElementById('tab-charts').click()",
        }.items():
            slow[name] = milliseconds(page, action)
        assert max(slow.values()) < 3000, slow
        page.click("#tab-images")
        # The document contains only the visible tiles, at any scroll position.
        for share in [0.1, 0.5, 0.99, 0]:
            slow[f"scroll {share}"] = milliseconds(page, f"document.getElementById('grid').scrollTop = {share} * document.getElementById('lines').clientHeight")
            page.wait_for_function("[...document.querySelectorAll('.tile')].every((tile) => tile.querySelector('canvas'))", timeout=15_000)
            assert 0 < page.locator(".tile").count() < 200
        assert max(slow.values()) < 3000, slow
        page.focus(".tile[tabindex='0']")
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.closest('.slot').dataset.row") == str(rows(page)[-1])
        print({"first tile, s": round(first_tile, 2), **{name: round(value) for name, value in slow.items()}})


def test_unused_blocks_are_evicted(chrome, many):
    with opened(chrome, many) as page:
        loaded = page.evaluate("""(async () => { for (let at = 0; at < 4000; at += 16) await relabel.blocks.image(at); return relabel.blocks.loaded; })()""")
        assert loaded >= 250
        before = page.evaluate("relabel.blocks.loaded")
        page.evaluate("relabel.blocks.image(3984)")
        assert page.evaluate("relabel.blocks.loaded") == before, "a recent block is cached"
        page.evaluate("relabel.blocks.image(16 * 40)")
        assert page.evaluate("relabel.blocks.loaded") == before + 1, "an old block is loaded again"
