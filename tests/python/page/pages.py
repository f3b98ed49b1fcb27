"""Stores without a teacher, their pages, and the system's Chromium. Figures are computed here anew, from the maps alone."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

import relabel
from relabel import _relabel

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / "target/release/relabel"
TEACHER = REPOSITORY / "models/efficientnet-lite0.onnx"
PHOTOS = REPOSITORY / "tests/data/golden/images/photos"
SHARD = 500
VERDICTS = ["agrees", "differs", "absent", "not-compared", "failed"]

CLASSES = ["tench", "gold fish", "great white shark, white shark", "tiger cat", "tabby, tabby cat", "lynx", "hen", "cock",
           "ostrich", "tiger shark", "espresso", "cup", "coffee mug", "rocket", "suit", "crutch", "tripod", "canoe", "paddle",
           "lakeside"]


def run_relabel(*words, code=0):
    """Runs the program and expects its exit code."""
    environment = os.environ | {"VIRTUAL_ENV": str(REPOSITORY / ".venv")}
    ran = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def report(store, out, *words, code=0):
    """Writes a page; gives what the program says of it."""
    return json.loads(run_relabel("report", store, "-o", out, "--json", *words, code=code).stdout)


def make_store(out, count, *, size=(3, 5), k=4, seed=0, names=CLASSES, ids=None, path=None, failed=(), shards_to_do=0):
    """Maps whose folders are often right and sometimes not; every ninth image is in no folder that is a class."""
    numbers = np.random.default_rng(seed)
    ids = ids or [f"c{number:02}" for number in range(len(names))]
    filed = numbers.integers(len(names), size=count)
    folder = ["elsewhere" if row % 9 == 4 else ids[filed[row]] for row in range(count)]
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
        # Classes by a random order, the folder's moved to the front in most cells of most images.
        order = numbers.random((rows, len(names), *size))
        order[np.arange(rows), filed[first:end]] -= numbers.choice([-2, 0, 0.6, 1], size=(rows, 1, 1), p=[0.2, 0.1, 0.3, 0.4])
        classes = np.argsort(order, axis=1)[:, :k]
        scores = -np.sort(-numbers.normal(3, 4, (rows, k, *size)), axis=1)
        reasons = [(row, "truncated", reason) for row, reason in failed if first <= row < end]
        store.commit(shard, np.stack([scores, classes], axis=1).astype(np.float32).ravel(), reasons)
    return Path(out)


def photographs(root):
    """Photographs in folders that are right, wrong and no class; one is cut off. 21 images in all."""
    folders = {"n02123045": ["chelsea"] * 6, "n07920052": ["coffee"] * 6, "n04552348": ["rocket", "chelsea", "coffee"], "more": ["camera"] * 5}
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True)
        for number, name in enumerate(names):
            shutil.copy(PHOTOS / f"{name}.JPEG", root / folder / f"{folder}_{number}.JPEG")
    cut = (PHOTOS / "coffee.JPEG").read_bytes()[:3000]
    (root / "n07920052/n07920052_cut.JPEG").write_bytes(cut)


def figures(store):
    """What the page should know of every labelled row, from the maps and `Labels.pool`."""
    labels = relabel.open(store)
    folder, found = labels.folder_classes(), {}
    for row in np.flatnonzero(labels.labelled()):
        scores, classes = labels.map(int(row))[:2]
        whole = labels.pool([int(row)], [[0.0, 0.0, 1.0, 1.0]])[0].astype(np.float64)
        best, label = int(whole.argmax()), int(folder[row])
        if label < 0:
            verdict = "not-compared"
        elif best == label:
            verdict = "agrees"
        else:
            verdict = "differs" if (classes == label).any() else "absent"
        others = np.delete(whole, label) if label >= 0 else whole
        found[int(row)] = {
            "best": best, "label": label, "verdict": verdict, "winners": set(classes[0].ravel().tolist()),
            "entropy": float(-(whole * np.log(whole)).sum()), "folder_class_prob": float(whole[label]) if label >= 0 else None,
            "contradiction": float(others.max() - whole[label]) if label >= 0 else None,
            "top": scores[0].astype(np.float64).ravel(),
        }
    return found


def chromium():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    assert found, "the tests of the page need Chromium; scripts/setup training installs it"
    return found


@contextmanager
def browser():
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def opened(browser, folder, address="", width=1280, height=800, dark=False):
    """A page that is open. What it complained of, or asked of anything but its own folder, fails the test at the end."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    home = f"file://{Path(folder).resolve()}/"
    page.goto(home + "index.html" + address)
    page.wait_for_function("relabel.filter.matches.length > 0 || !document.getElementById('no-matches').hidden")
    yield page
    context.close()
    assert not complaints, complaints
    assert all(url.startswith((home, "data:")) for url in asked), asked


def address(page):
    """What stands behind the page's name, once it was written: that waits until nothing changes any more."""
    page.wait_for_timeout(600)
    return page.evaluate("location.hash")


def rows(page):
    """Rows that the filters leave, in their order."""
    return page.evaluate("[...relabel.filter.matches].map((at) => relabel.table.row[at])")
