"""Measures the responsiveness of a page of many images in the system's Chromium. Prints one JSON document, in
milliseconds. Part h makes the page.

    scripts/bench page --page DIR
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.command import parser_of

# Time from the call until the page has drawn again.
TIMED = """(action) => new Promise((done) => {
    const from = performance.now();
    (0, eval)(action);
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - from)));
})"""

ACTIONS = {
    "search_ms": "relabel.filter.set({ id: '_7' })",
    "filter_ms": "relabel.filter.set({ id: '', verdict: 'absent' })",
    "sort_ms": "relabel.filter.set({ verdict: '', sort: 'entropy' })",
    "scroll_ms": "document.getElementById('grid').scrollTop = 0.5 * document.getElementById('lines').clientHeight",
    "charts_ms": "document.getElementById('tab-charts').click()",
}

ALL_DRAWN = "[...document.querySelectorAll('.tile')].every((tile) => tile.querySelector('canvas'))"


def first_tile_ms(page: Page, index: Path) -> float:
    started = time.perf_counter()
    page.goto(index.resolve().as_uri())
    page.wait_for_selector(".tile canvas", timeout=120_000)
    return (time.perf_counter() - started) * 1000


def main(words: list[str]) -> int:
    parser = parser_of("page", __doc__)
    parser.add_argument("--page", type=Path, required=True, help="folder that `relabel report` wrote")
    chosen = parser.parse_args(words)
    names = ["chromium", "chromium-browser", "google-chrome"]
    program = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        measured = {"first_tile_ms": first_tile_ms(page, chosen.page / "index.html")}
        for name, action in ACTIONS.items():
            measured[name] = page.evaluate(TIMED, action)
            if name == "scroll_ms":
                started = time.perf_counter()
                page.wait_for_function(ALL_DRAWN, timeout=120_000)
                measured["tiles_after_scroll_ms"] = (time.perf_counter() - started) * 1000
        browser.close()
    print(json.dumps(measured))
    return 0
