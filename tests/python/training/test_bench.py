"""`scripts/bench`: statistics, numbers, rows and programs of the benchmarks."""

import json
import math
import random
import sys

import numpy as np
import pytest
from harness import PROGRAM, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "scripts"))

from bench import command, estimates, images, machine, programs, tables
from bench.cpu import pooling
from bench.gpu import measure_knobs, steps
from bench.results import Report, Row, at_least, at_most, line_of


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of all generated files."""
    monkeypatch.setenv("RELABEL_BENCH_FOLDER", str(tmp_path))
    monkeypatch.setenv("RELABEL", str(PROGRAM))
    return tmp_path


def test_pairs_are_measured_in_turns():
    calls = []
    measured = estimates.pairs(2, lambda: calls.append("a") or 1.0, lambda: calls.append("b") or 2.0)
    assert measured == [(1.0, 2.0)] * 2
    assert calls == ["a", "b", "a", "b"]


def test_the_median_of_ratios_is_not_the_ratio_of_medians():
    assert estimates.median_ratio([(1, 1), (9, 3), (4, 2)]) == 2
    assert estimates.median_ratio([(10, 1), (2, 2), (3, 4)]) == 1


def test_the_slope_excludes_what_all_runs_have_in_common():
    startup, each = 7.5, 0.25
    runs = [(images, startup + each * images) for images in (16, 64)]
    assert estimates.slope(*runs) == each
    assert math.isnan(estimates.slope(runs[1], runs[0]))


def test_spread_and_middle():
    assert estimates.spread([2.0, 5.0, 4.0]) == 2.5
    assert estimates.middle(["aaa", "b", "cc"], key=len) == "cc"
    assert estimates.middle(["b", "cc"], key=len) == "cc"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0, "0"), (3.0, "3"), (0.97, "0.97"), (2.469, "2.47"), (99.94, "99.9"), (533.4, "533"),
        (1_281_167, "1,281,167"), (123_456.7, "123,457"), (0.00123, "0.0012"), (-0.5, "-0.5"), (float("nan"), "nan"),
        ("failed", "failed"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert tables.number(value) == text


def test_tables_are_markdown():
    assert tables.table(("what", "value:"), [("a | b", "1"), ("two\nlines", "2")]) == [
        "| what | value |", "| --- | ---: |", "| a \\| b | 1 |", "| two lines | 2 |",
    ]  # fmt: skip


def test_targets_include_their_bound():
    assert at_most("memory", 1024, "MiB", 1024).verdict == "met"
    assert at_least("speed", 0.969, "×", 0.97) == Row("speed", 0.969, "×", "≥ 0.97", False)
    assert at_least("speed", float("nan"), "×", 1).met is False
    assert line_of(at_most("bytes", 3000, "bytes per image", 2900)) == "bytes: 3,000 bytes per image (target ≤ 2,900) MISSED"
    assert line_of(Row("rate", 5.0, "images/s", note="batch 4")) == "rate: 5 images/s - batch 4"


def test_a_report_keeps_rows_failures_and_skipped_measurements(folder):
    def raise_(problem: Exception):
        raise problem

    report = Report("some-part", {"threads": "2"})
    report.add(Row("rate", 5.0, "images/s"))
    assert report.attempt("works", lambda: None)
    assert not report.attempt("bare session", lambda: raise_(machine.NoBare("not built")))
    assert not report.has_failures, "what needs the bare session is skipped"
    for _ in range(2):
        assert not report.attempt("batch 256", lambda: raise_(programs.Failed("out of memory")))
    assert report.has_failures
    saved = json.loads((folder / "results/some-part.json").read_text())
    assert [(row["what"], row["value"]) for row in saved["rows"]] == [
        ("rate", 5.0), ("bare session", "not measured"), ("batch 256", "failed"),
    ]  # fmt: skip
    assert saved["machine"]["threads"] == "2"
    assert str(REPOSITORY) not in json.dumps(saved)


def test_programs_are_measured_and_limited():
    work = "import json; sum(range(3_000_000)); x = bytearray(50_000_000); print('noise'); print(json.dumps({'images': 3}))"
    finished = programs.run(sys.executable, "-c", work)
    assert finished.document == {"images": 3}
    assert 0.01 < finished.core_seconds < 60
    assert 50e6 < finished.peak_bytes < 500e6
    with pytest.raises(programs.Failed, match=r"ended with 2: .*nope"):
        programs.run(sys.executable, "-c", "import sys; print('nope', file=sys.stderr); sys.exit(2)")
    with pytest.raises(programs.Failed, match=r"did not end within 0\.2 s"):
        programs.run("sleep", 60, limit_s=0.2)
    with pytest.raises(programs.Failed, match="did not print `ready`"):
        programs.run_until("ready", sys.executable, "-c", "")


def test_pooled_targets_are_means_of_cells():
    scores = np.array([[[1.0, 3.0], [5.0, 7.0]]])
    target = pooling.pooled_target(scores, np.full((1, 2, 2), 9), (0.25, 0.25, 0.75, 0.75))
    assert np.log(target[9] / target[0]) == pytest.approx(4.0)
    assert target.sum() == pytest.approx(1.0)
    draw = random.Random(3)
    for _ in range(50):
        x0, y0, x1, y1 = pooling.random_box(draw)
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1


def test_crops_are_made_once_and_reproducibly(folder):
    first = {file.name: file.read_bytes() for file in images.crops(3, (40, 30)).iterdir()}
    assert len(first) == 3
    (folder / "data").rename(folder / "before")
    assert {file.name: file.read_bytes() for file in images.crops(3, (40, 30)).iterdir()} == first


def test_useful_options_are_combined():
    gains = {"pinned": 1.05, "graph": 1.20, "nhwc": 1.03, "exhaustive": 1.01, "tf32": 2.0}
    assert measure_knobs.best(gains) == "graph,nhwc"


def test_steps_have_limits_and_do_not_stop_each_other(folder, capfd):
    assert steps.code_of([sys.executable, "-c", "import time; time.sleep(60)"], folder / "log", 0.5) is None
    assert steps.run(steps.Step("table", ("table",)), 60) is False
    assert steps.run(steps.Step("help", ("check", "--help")), 60) is True
    printed = capfd.readouterr().out
    assert "FAILED (1) table" in printed
    assert "no results in" in printed
    assert "done       help" in printed


def test_unknown_names_are_refused(capsys):
    assert command.main(["nope"]) == 2
    assert "unknown command nope" in capsys.readouterr().err
    for words, problem in ((["--only", "a,z"], "unknown part z"), (["gpu", "nope"], "unknown step nope")):
        with pytest.raises(SystemExit):
            command.main(words)
        assert problem in capsys.readouterr().err
    assert command.main(["gpu", "--device", "cpu", "--list"]) == 0
    listed = capsys.readouterr().out.split()
    assert (listed[0], listed[-1]) == ("photos", "table")
