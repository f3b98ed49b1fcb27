"""The page of `relabel report` in headless Chromium: grid, filters, charts, keyboard, hostile names."""

from collections import Counter

import numpy as np
import pytest

import relabel
from pages import CLASSES, address, browser, figures, make_store, opened, photographs, report, rows, run_relabel

COUNT, FAILED, TO_DO = 1250, {7: "it ends before its image does", 611: "no bytes"}, 250


@pytest.fixture(scope="module")
def chrome():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with failed images and a shard to do, its page, and what should stand on it."""
    folder = tmp_path_factory.mktemp("made")
    store = make_store(folder / "labels", COUNT, failed=FAILED.items(), shards_to_do=1)
    said = report(store, folder / "report", "--all")
    assert (said["rows"], said["failed"], said["to_do"]) == (COUNT - TO_DO, len(FAILED), TO_DO)
    return store, folder / "report", figures(store)


@pytest.fixture
def page(chrome, made):
    with opened(chrome, made[1]) as page:
        yield page


def wanted(made, test):
    return [row for row, of in sorted(made[2].items()) if test(of)]


def test_the_header_says_what_is_shown(page):
    about = page.locator("header").inner_text()
    assert "Label maps of made up" in about and "all 1,000 images" in about and "teacher synthetic" in about
    assert "3 × 5 cells, top 4 of 20 classes" in about and "250 images not labelled yet" in about
    assert page.locator("#count").inner_text() == "1,000 images"


def test_figures_of_every_row_are_those_of_the_package(page, made):
    columns = page.evaluate("""(() => { const t = relabel.table, all = (column) => [...column];
        return { row: all(t.row), id: t.id, verdict: all(t.verdict).map((v) => t.VERDICTS[v]), best: all(t.best), entropy: all(t.entropy),
          label: all(t.folderClass), folderClassProb: all(t.folderClassProb), contradiction: all(t.contradiction),
          winners: all(t.row).map((_, at) => all(t.winnersOf(at))) }; })()""")
    ids = relabel.open(made[0]).ids()
    assert columns["row"] == list(range(COUNT - TO_DO))
    for at, row in enumerate(columns["row"]):
        assert columns["id"][at] == ids[row]
        if row in FAILED:
            assert columns["verdict"][at] == "failed"
            continue
        of = made[2][row]
        assert (columns["verdict"][at], columns["best"][at], columns["label"][at]) == (of["verdict"], of["best"], of["label"])
        assert set(columns["winners"][at]) == of["winners"]
        assert columns["entropy"][at] == pytest.approx(of["entropy"], abs=1e-4)
        for name, mine in [("folderClassProb", "folder_class_prob"), ("contradiction", "contradiction")]:
            if of[mine] is not None:
                assert columns[name][at] == pytest.approx(of[mine], abs=1e-5)


def test_every_verdict_can_be_filtered(page, made):
    for verdict in ["agrees", "differs", "absent", "not-compared"]:
        page.select_option("#filter-verdict", verdict)
        assert rows(page) == wanted(made, lambda of: of["verdict"] == verdict) != []
        assert page.locator("#count").inner_text() == f"{len(rows(page))} of 1,000 images"
        badge = page.locator(".tile .badge").first
        assert badge.get_attribute("title") == verdict.replace("-", " ")
    page.select_option("#filter-verdict", "failed")
    assert rows(page) == sorted(FAILED)
    assert FAILED[7] in page.locator(".tile").first.inner_text()


def test_classes_are_filtered_by_folder_best_and_cell(page, made):
    shark = [name for name, text in enumerate(CLASSES) if "shark" in text]
    for text, meant in [("lynx", [5]), ("c05", [5]), ("5", [5]), ("LYNX (c05)", [5]), ("shark", shark), ("no such thing", [])]:
        page.fill("#filter-class", text)
        for kind, test in {
            "folder": lambda of: of["label"] in meant,
            "best": lambda of: of["best"] in meant,
            "cell": lambda of: bool(of["winners"] & set(meant)),
        }.items():
            page.select_option("#filter-in", kind)
            found = [row for row in rows(page) if row not in FAILED]
            assert found == wanted(made, test), (text, kind)
    assert page.locator("#no-matches").is_visible()
    page.click("#clear-empty")
    assert len(rows(page)) == 1000 and page.input_value("#filter-class") == ""


def test_ids_numbers_of_classes_and_entropy_are_filtered(page, made):
    page.fill("#filter-id", "C03_009")
    assert rows(page) == [row for row, text in enumerate(relabel.open(made[0]).ids()[:1000]) if "c03_009" in text] != []
    page.fill("#filter-id", "")
    page.fill("#filter-classes-from", "5")
    page.fill("#filter-classes-to", "8")
    assert rows(page) == wanted(made, lambda of: 5 <= len(of["winners"]) <= 8) != []
    middle = sorted(of["entropy"] for of in made[2].values())
    low, high = round(middle[300], 2), round(middle[600], 2)
    page.fill("#filter-entropy-from", str(low))
    page.fill("#filter-entropy-to", str(high))
    assert rows(page) == wanted(made, lambda of: 5 <= len(of["winners"]) <= 8 and low <= of["entropy"] <= high) != []
    page.click("#clear")
    assert len(rows(page)) == 1000


def test_sorting_follows_its_column_and_can_be_turned(page, made):
    of = made[2]
    columns = {
        "contradiction": lambda row: of[row]["contradiction"], "entropy": lambda row: of[row]["entropy"],
        "classes": lambda row: len(of[row]["winners"]), "label": lambda row: of[row]["folder_class_prob"],
    }
    falls = {"contradiction", "entropy", "classes"}
    for name, column in columns.items():
        page.select_option("#sort", name)
        for is_falling in [name in falls, name not in falls]:
            found = rows(page)
            assert sorted(found) == list(range(1000))
            values = [column(row) if row not in FAILED else None for row in found]
            known = [value for value in values if value is not None]
            assert values[len(known):] == [None] * (1000 - len(known)), "images without a value come last"
            steps = np.diff(known) * (-1 if is_falling else 1)
            assert steps.min() >= -1e-6, name
            page.click("#order")
    page.select_option("#sort", "row")
    page.click("#order")
    assert rows(page) == list(range(999, -1, -1))


def test_a_view_can_be_linked_and_reloaded(chrome, made, page):
    page.select_option("#filter-verdict", "differs")
    page.fill("#filter-class", "c05")
    page.select_option("#filter-in", "best")
    page.select_option("#sort", "entropy")
    page.click("#order")
    found, link = rows(page), address(page)
    assert "verdict=differs" in link and "class=c05" in link
    page.reload()
    assert rows(page) == found and page.input_value("#filter-class") == "c05"
    assert page.locator("#order").inner_text() == "↑ lowest first"
    with opened(chrome, made[1], link + f"&image={found[1]}&crop=0.1,0.2,0.5,0.9") as again:
        assert rows(again) == found
        assert again.locator("#view").is_visible()
        assert again.locator("#view-position").inner_text().startswith(f"2 of {len(found)} · row {found[1]}")
        assert [again.input_value(f"#crop-{side}") for side in ("x0", "y0", "x1", "y1")] == ["0.1", "0.2", "0.5", "0.9"]
    absent = wanted(made, lambda of: of["verdict"] == "absent")
    page.evaluate(f"location.hash = '#verdict=absent&image={absent[3]}'")
    page.wait_for_function("document.getElementById('filter-verdict').value === 'absent'")
    assert rows(page) == absent
    assert page.locator("#view-position").inner_text() == f"4 of {len(absent)} · row {absent[3]}"
    page.evaluate("location.hash = ''")
    page.wait_for_function("relabel.filter.matches.length === 1000")
    assert not page.locator("#view").is_visible()


def test_charts_count_what_the_filters_leave(page, made):
    page.click("#tab-charts")
    for verdict in ["", "differs"]:
        page.select_option("#filter-verdict", verdict)
        of = {row: of for row, of in made[2].items() if verdict in ("", of["verdict"])}
        found = page.evaluate("relabel.charts.data")
        compared = [one for one in of.values() if one["label"] >= 0]
        verdicts = Counter(one["verdict"] for one in of.values()) | ({"failed": len(FAILED)} if not verdict else {})
        assert found["verdicts"] == [verdicts.get(name, 0) for name in ["agrees", "differs", "absent", "not-compared", "failed"]]
        absent = f"{100 * verdicts.get('absent', 0) / len(compared):.1f} %"
        assert absent in page.locator("#chart-verdicts .highlight").inner_text()
        classes = Counter(len(one["winners"]) for one in of.values())
        assert found["classes"]["step"] == 1 and found["classes"]["n"] == len(of)
        assert {found["classes"]["first"] + at: n for at, n in enumerate(found["classes"]["counts"]) if n} == classes
        pairs = Counter((one["label"], one["best"]) for one in compared if one["label"] != one["best"])
        ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
        assert [((pair["folderClass"], pair["best"]), pair["count"]) for pair in found["pairs"]] == ranked
        by_class = {name: [one["verdict"] == "agrees" for one in compared if one["label"] == name] for name in range(len(CLASSES))}
        agreement = {name: (len(each), sum(each)) for name, each in by_class.items() if each}
        assert {one["id"]: (one["n"], one["agrees"]) for one in found["agreement"]} == agreement
        shares = [one["agrees"] / one["n"] for one in found["agreement"]]
        assert shares == sorted(shares)
        assert sum(found["bytes"]["counts"]) == found["bytes"]["n"] == len(of)
        # Of all rows, whatever the filters say.
        scores, top = found["scores"], np.concatenate([one["top"] for one in made[2].values()])
        edges = scores["first"] + scores["step"] * np.arange(len(scores["counts"]) + 1)
        assert scores["counts"] == np.histogram(top, edges)[0].tolist() and scores["n"] == top.size


def test_bytes_are_those_of_the_store(page):
    """The maps' chunks are the largest part of the store's files."""
    total = page.evaluate("relabel.table.bytes.reduce((total, bytes) => total + bytes, 0)")
    assert 1000 * 60 < total < 1000 * 400


def test_a_click_on_a_chart_sets_the_filter(page, made):
    page.click("#tab-charts")
    pair = page.locator("#chart-pairs button").nth(2)
    label, best = map(int, pair.get_attribute("data-pair").split("-"))
    pair.click()
    assert page.locator("#images").is_visible()
    assert rows(page) == wanted(made, lambda of: (of["label"], of["best"]) == (label, best)) != []
    page.click("#pair-clear")
    assert len(rows(page)) == 1000
    page.click("#tab-charts")
    lowest = page.locator("#chart-agreement button").first
    name = int(lowest.get_attribute("data-class"))
    lowest.click()
    assert rows(page) == wanted(made, lambda of: of["label"] == name)


def test_the_keyboard_reaches_everything(page):
    page.wait_for_selector(".tile canvas")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "filter-id"
    page.focus(".tile[tabindex='0']")
    columns = page.evaluate("""new Set([...document.querySelectorAll('.slot')].map((slot) => slot.getBoundingClientRect().left)).size""")

    def focused():
        return page.evaluate("document.activeElement.closest('.slot')?.dataset.row")

    for key, row in [("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowLeft", columns), ("End", 999), ("ArrowDown", 999), ("ArrowUp", 999 - columns)]:
        page.keyboard.press(key)
        assert focused() == str(row), key
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#view").is_visible() and page.locator("#view-position").inner_text() == "2 of 1,000 · row 1"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-position").inner_text() == "4 of 1,000 · row 3"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    assert not page.locator("#view").is_visible() and focused() == "2"


def test_every_control_has_a_name(page):
    nameless = """[...document.querySelectorAll('button, input, select')].filter((control) =>
        !(control.labels?.length || control.getAttribute('aria-label') || control.textContent.trim())).map((control) => control.outerHTML)"""
    page.wait_for_selector(".tile canvas")
    assert page.evaluate(nameless) == []


def test_a_failed_image_has_its_reason_in_the_full_view(page):
    page.evaluate("relabel.view.openRow(7)")
    assert FAILED[7] in page.locator("#view-note").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-note").is_hidden() and page.locator("#stage canvas").is_visible()


def test_nothing_is_wider_than_the_page(chrome, made):
    for width, dark in [(1280, False), (800, True)]:
        for tab in ["images", "charts"]:
            with opened(chrome, made[1], f"#tab={tab}", width=width, dark=dark) as page:
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.locator(f"#{tab}").is_visible()
                page.evaluate("relabel.view.open(0)")
                page.wait_for_selector("#stage canvas")
                assert page.evaluate("document.querySelector('#view').scrollWidth") <= width
                ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (int(ground.split("(")[1].split(",")[0]) < 100) == dark


HOSTILE = "<script>alert(1)</" + "script>"
HOSTILE_NAMES = [HOSTILE, "\"><img src=x onerror=alert(2)>", "'`${alert(3)}`\\", "line\u2028and\u2029lines", "猫 🐈 ñ", "&lt;b&gt;&amp;", " ", "</style><b>"]


def test_hostile_names_are_only_text(chrome, tmp_path):
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
    photographs(folder / "images")
    run_relabel("run", "--teacher", "models/efficientnet-lite0.onnx", "--in", folder / "images", "--out", folder / "labels", code=3)
    said = report(folder / "labels", folder / "report", "--image-root", folder / "images", "--photo-side", 200)
    assert (said["rows"], said["photographs"], said["without_photograph"], said["failed"]) == (21, 20, 0, 1)
    return folder


def test_photographs_lie_below_their_maps(chrome, photos):
    with opened(chrome, photos / "report") as page:
        page.wait_for_function("document.querySelectorAll('.tile img').length > 4 && [...document.images].every((image) => image.complete)")
        sizes = page.evaluate("[...document.images].map((image) => [image.naturalWidth, image.naturalHeight])")
        assert all(max(size) == 200 for size in sizes), sizes
        # The map lies over the photograph, edge to edge.
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


def test_a_photograph_that_changed_is_named_and_its_map_is_shown(chrome, photos, tmp_path):
    images = tmp_path / "images"
    photographs(images)
    (images / "more/more_1.JPEG").unlink()
    (images / "more/more_2.JPEG").write_bytes(b"other bytes")
    said = report(photos / "labels", tmp_path / "report", "--image-root", images, code=3)
    assert (said["photographs"], said["without_photograph"]) == (18, 2)
    with opened(chrome, tmp_path / "report", "#id=more_") as page:
        page.wait_for_function("document.querySelectorAll('.tile canvas').length === 5")
        assert "2 photographs cannot be shown" in page.locator("#missing").inner_text()
        assert page.locator(".tile img").count() == 3 and page.locator(".no-photograph").count() == 2
        page.evaluate("relabel.view.open(2)")
        assert "it has 11 bytes now" in page.locator("#view-note").inner_text()
