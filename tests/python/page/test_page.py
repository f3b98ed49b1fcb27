"""The page of `relabel report` in headless Chromium: values, filters, sorting and links."""

import numpy as np
import pytest
from pages import CLASSES, COUNT, FAILED, TO_DO, fragment, matching, opened, rows

import relabel


def test_the_header_describes_the_page(page):
    about = page.locator("header").inner_text()
    assert "Label maps of made up" in about and "all 1,000 images" in about and "teacher synthetic" in about
    assert "3 × 5 cells, top 4 of 20 classes" in about and "250 images not labelled yet" in about
    assert page.locator("#count").inner_text() == "1,000 images"


def test_the_values_of_every_row_equal_the_package(page, made):
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
        assert rows(page) == matching(made, lambda of, verdict=verdict: of["verdict"] == verdict) != []
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
            "folder": lambda of, meant=meant: of["label"] in meant,
            "best": lambda of, meant=meant: of["best"] in meant,
            "cell": lambda of, meant=meant: bool(of["winners"] & set(meant)),
        }.items():
            page.select_option("#filter-in", kind)
            found = [row for row in rows(page) if row not in FAILED]
            assert found == matching(made, test), (text, kind)
    assert page.locator("#no-matches").is_visible()
    page.click("#clear-empty")
    assert len(rows(page)) == 1000 and page.input_value("#filter-class") == ""


def test_ids_numbers_of_classes_and_entropy_are_filtered(page, made):
    page.fill("#filter-id", "C03_009")
    assert rows(page) == [row for row, text in enumerate(relabel.open(made[0]).ids()[:1000]) if "c03_009" in text] != []
    page.fill("#filter-id", "")
    page.fill("#filter-classes-from", "5")
    page.fill("#filter-classes-to", "8")
    assert rows(page) == matching(made, lambda of: 5 <= len(of["winners"]) <= 8) != []
    middle = sorted(of["entropy"] for of in made[2].values())
    low, high = round(middle[300], 2), round(middle[600], 2)
    page.fill("#filter-entropy-from", str(low))
    page.fill("#filter-entropy-to", str(high))
    assert rows(page) == matching(made, lambda of: 5 <= len(of["winners"]) <= 8 and low <= of["entropy"] <= high) != []
    page.click("#clear")
    assert len(rows(page)) == 1000


def test_rows_are_sorted_by_each_column_in_both_directions(page, made):
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
    found, link = rows(page), fragment(page)
    assert "verdict=differs" in link and "class=c05" in link
    page.reload()
    assert rows(page) == found and page.input_value("#filter-class") == "c05"
    assert page.locator("#order").inner_text() == "↑ lowest first"
    with opened(chrome, made[1], link + f"&image={found[1]}&crop=0.1,0.2,0.5,0.9") as again:
        assert rows(again) == found
        assert again.locator("#view").is_visible()
        assert again.locator("#view-position").inner_text().startswith(f"2 of {len(found)} · row {found[1]}")
        assert [again.input_value(f"#crop-{side}") for side in ("x0", "y0", "x1", "y1")] == ["0.1", "0.2", "0.5", "0.9"]
    absent = matching(made, lambda of: of["verdict"] == "absent")
    page.evaluate(f"location.hash = '#verdict=absent&image={absent[3]}'")
    page.wait_for_function("document.getElementById('filter-verdict').value === 'absent'")
    assert rows(page) == absent
    assert page.locator("#view-position").inner_text() == f"4 of {len(absent)} · row {absent[3]}"
    page.evaluate("location.hash = ''")
    page.wait_for_function("relabel.filter.matches.length === 1000")
    assert not page.locator("#view").is_visible()


def test_bytes_are_those_of_the_store(page):
    """The chunks of the maps are the largest part of a store."""
    total = page.evaluate("relabel.table.bytes.reduce((total, bytes) => total + bytes, 0)")
    assert 1000 * 60 < total < 1000 * 400
