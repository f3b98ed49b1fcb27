"""The charts of the page: counts, and clicks that set filters."""

from collections import Counter

import numpy as np
from pages import CLASSES, FAILED, matching, rows


def test_charts_count_the_rows_that_match_the_filters(page, made):
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
        # This chart ignores the filters.
        scores, top = found["scores"], np.concatenate([one["top"] for one in made[2].values()])
        edges = scores["first"] + scores["step"] * np.arange(len(scores["counts"]) + 1)
        assert scores["counts"] == np.histogram(top, edges)[0].tolist() and scores["n"] == top.size


def test_a_click_on_a_chart_sets_the_filter(page, made):
    page.click("#tab-charts")
    pair = page.locator("#chart-pairs button").nth(2)
    label, best = map(int, pair.get_attribute("data-pair").split("-"))
    pair.click()
    assert page.locator("#images").is_visible()
    assert rows(page) == matching(made, lambda of: (of["label"], of["best"]) == (label, best)) != []
    page.click("#pair-clear")
    assert len(rows(page)) == 1000
    page.click("#tab-charts")
    lowest = page.locator("#chart-agreement button").first
    name = int(lowest.get_attribute("data-class"))
    lowest.click()
    assert rows(page) == matching(made, lambda of: of["label"] == name)
