"""Stores with random label maps, their pages, and the system's Chromium. Expected values are computed from the maps."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from harness import PHOTOGRAPHS, run_relabel_json
from playwright.sync_api import sync_playwright

import relabel
from relabel import _relabel

SHARD = 500
# The page of most tests: its images, those that failed with their reasons, and the images of a pending shard.
COUNT, FAILED, TO_DO = 1250, {7: "it ends before its image does", 611: "no bytes"}, 250

CLASSES = ["tench", "gold fish", "great white shark, white shark", "tiger cat", "tabby, tabby cat", "lynx", "hen", "cock",
           "ostrich", "tiger shark", "espresso", "cup", "coffee mug", "rocket", "suit", "crutch", "tripod", "canoe", "paddle",
           "lakeside"]


# Parameters of a calibration in which labels of all kinds have shares.
PARAMETERS = {
    "map_temperature": 1.4, "map_temperature_exponent": -0.2, "prediction_temperature": 0.9,
    "prediction_temperature_exponent": 0.15, "map_share_bias": -0.4, "map_share_slope": -0.3, "overlap_sharpness": 6.5,
    "tile_bias": 0.3, "tile_map_bias": -0.2,
}  # fmt: skip


def report(store, out, *args, code=0):
    """Writes a page and returns the document of the command."""
    return run_relabel_json("report", store, "-o", out, *args, code=code)


def make_store(out, count, *, size=(3, 5), k=4, seed=0, names=CLASSES, ids=None, path=None, failed=(), shards_to_do=0):
    """Makes a store of random label maps that often agree with the folder class. Every ninth image has no folder class."""
    numbers = np.random.default_rng(seed)
    ids = ids or [f"c{number:02}" for number in range(len(names))]
    folder_class = numbers.integers(len(names), size=count)
    folder = ["elsewhere" if row % 9 == 4 else ids[folder_class[row]] for row in range(count)]
    path = path or (lambda row: f"{folder[row]}/{folder[row]}_{row:05}.pt")
    description = {
        "teacher_name": "synthetic", "fingerprint": f"{count} {seed}", "lengths": [k, *size], "rank_axis": "first",
        "orientation": "yx", "dtype": "float32", "origins": {}, "source": "made up", "shard_images": SHARD,
        "classes": {"list": "mine.txt", "count": len(names), "ids": ids, "names": names},
    }
    store = _relabel.Import(str(out), json.dumps(description), [path(row) for row in range(count)], [9] * count, "tests")
    to_do = store.to_do()
    for shard, first, end in to_do[: len(to_do) - shards_to_do]:
        rows = end - first
        # Classes in random order, the folder class first in most cells of most images.
        order = numbers.random((rows, len(names), *size))
        order[np.arange(rows), folder_class[first:end]] -= numbers.choice([-2, 0, 0.6, 1], size=(rows, 1, 1), p=[0.2, 0.1, 0.3, 0.4])
        classes = np.argsort(order, axis=1)[:, :k]
        scores = -np.sort(-numbers.normal(3, 4, (rows, k, *size)), axis=1)
        reasons = [(row, "truncated", reason) for row, reason in failed if first <= row < end]
        store.commit(shard, np.stack([scores, classes], axis=1).astype(np.float32).ravel(), reasons)
    return Path(out)


def save_photographs(root):
    """Saves 21 photographs in folders that are the right class, a wrong class and no class; one file is truncated."""
    folders = {"n02123045": ["chelsea"] * 6, "n07920052": ["coffee"] * 6, "n04552348": ["rocket", "chelsea", "coffee"], "more": ["camera"] * 5}
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True)
        for number, name in enumerate(names):
            shutil.copy(PHOTOGRAPHS / f"{name}.JPEG", root / folder / f"{folder}_{number}.JPEG")
    truncated = (PHOTOGRAPHS / "coffee.JPEG").read_bytes()[:3000]
    (root / "n07920052/n07920052_cut.JPEG").write_bytes(truncated)


def expected_rows(store):
    """Computes the values of every labelled row from the maps and `Labels.pool`."""
    labels = relabel.open(store)
    folder, found = labels.folder_classes(), {}
    for row in np.flatnonzero(labels.labelled()):
        scores, classes = labels.map(int(row))[:2]
        target = labels.pool([int(row)], [[0.0, 0.0, 1.0, 1.0]])[0].astype(np.float64)
        best, label = int(target.argmax()), int(folder[row])
        if label < 0:
            verdict = "not-compared"
        elif best == label:
            verdict = "agrees"
        else:
            verdict = "differs" if (classes == label).any() else "absent"
        others = np.delete(target, label) if label >= 0 else target
        found[int(row)] = {
            "best": best, "label": label, "verdict": verdict, "winners": set(classes[0].ravel().tolist()),
            "entropy": float(-(target * np.log(target)).sum()), "folder_class_prob": float(target[label]) if label >= 0 else None,
            "contradiction": float(others.max() - target[label]) if label >= 0 else None,
            "top": scores[0].astype(np.float64).ravel(),
        }
    return found


def chromium():
    """Returns the system's Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    assert found, "the tests of the page need Chromium; scripts/setup training installs it"
    return found


@contextmanager
def browser():
    """Starts Chromium."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def opened(browser, folder, fragment="", width=1280, height=800, dark=False):
    """Opens a page. Errors, warnings and requests outside of its folder fail the test when it is closed."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page, problems, requested = context.new_page(), [], []
    page.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: requested.append(request.url))
    home = f"file://{Path(folder).resolve()}/"
    page.goto(home + "index.html" + fragment)
    page.wait_for_function("relabel.filter.matches.length > 0 || !document.getElementById('no-matches').hidden")
    yield page
    context.close()
    assert not problems, problems
    assert all(url.startswith((home, "data:")) for url in requested), requested


def fragment(page):
    """Returns the fragment of the URL. The page writes it a moment after the last change."""
    page.wait_for_timeout(600)
    return page.evaluate("location.hash")


def rows(page):
    """Returns the rows that match the filters, in the order of the page."""
    return page.evaluate("[...relabel.filter.matches].map((at) => relabel.table.row[at])")


def matching(made, test):
    """Returns the rows whose expected values pass a test."""
    return [row for row, of in sorted(made[2].items()) if test(of)]
