"""Measures everything that `make bench` prints.

(a) Overhead of a run: core-seconds per image of `relabel run`, relative to the sum of ONNX Runtime alone (same rewritten
    graph, batch and threads) and of reading, decoding and resizing alone. The cost of a run is the slope between two runs
    of different length, which excludes loading the teacher and verifying the rewrite.
(b) Images per second of `relabel run` relative to the same job in Python (`peer`), at 224 and 480. The tuned peer uses the
    best of several batch sizes, numbers of workers and thread settings.
(c) Reading, decoding and resizing: images per core-second of one thread, relative to PIL in one process.
(d) Bytes per image of the store's files, by array, on photographs at 480; the same with rounded scores, and the effect of
    rounding on pooled targets (total variation over seeded random crops).
(e) Peak resident memory of a run at 1,000 and at 50,000 images.
(f) As many tiny images as ImageNet has: listing a folder of 1,000 folders and a tar of 1,000 tars (entries and headers are
    cached); resuming a store with all its records up to the first batch; `status`. The records have random labels
    (`benches/bare.rs records`). The images are deleted afterwards.
(g) Training: LabelPooling of random images of a store of 100,000, batch 256, warm, relative to the recipe of the paper's
    authors (a `.pt` file per image, dense maps, RoIAlign, softmax); labels of masks relative to MultiLabel-ImageNet's recipe (three
    masks of 375x500 pixels for each image; the recipe decodes them from uncompressed counts); the cost of targets in an epoch of a DataLoader that
    decodes and crops; opening a store of ImageNet's size; calibrated pooling relative to LabelPooling. The maps of 200 photographs at 480 (15x15 cells, top 5) are
    repeated.
(h) Inspection: `audit` of such a store on one thread, without crops and with 64 per image; `report` of 50,000 of its images,
    and that page in Chromium; `inspect` with a picture.
(i) Releases: `publish`, `verify`, and reading over HTTP.
(j) Crop fidelity: crops per second of `evaluate --crops` relative to ONNX Runtime alone (the unmodified graph, same batch and
    threads, random input); peak memory at few and at many images.

Compared programs run in turns (A B A B). Each ratio is that of one pair, and the median of the pairs is reported. Images
are the sample photographs and seeded crops and flips of them. All files are below `target/bench`: the report in `report.md`,
and each part with its individual measurements in `results`. Missed targets are reported, too. A part that fails does not
stop the others. All but b, d and e need `benches/bare.rs` (`cargo bench --bench bare --no-run`).

    .venv/bin/python scripts/bench [--quick] [--only a,c] [--repeats 3]

Exit codes: 0 measured (even if a target is missed), 1 something could not be measured, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from bench import machine
from bench.command import parser_of
from bench.cpu.fidelity import part_j
from bench.cpu.inspection import part_h, part_i
from bench.cpu.labelling import part_a, part_b, part_c, part_e
from bench.cpu.many_images import part_f
from bench.cpu.setup import Setup
from bench.cpu.sizes import part_d
from bench.cpu.training import part_g
from bench.results import Report
from bench.tables import facts_line, number, table

PARTS: dict[str, Callable[[Setup, Report], None]] = {
    "a": part_a, "b": part_b, "c": part_c, "d": part_d, "e": part_e, "f": part_f, "g": part_g, "h": part_h, "i": part_i,
    "j": part_j,
}  # fmt: skip


def main(words: list[str]) -> int:
    chosen = arguments(words)
    parts = chosen.only.split(",")
    machine.choose_programs(chosen)
    setup = Setup(chosen.teacher, chosen.threads, chosen.repeats or (1 if chosen.quick else 3), chosen.quick)
    about = {
        "load before": f"{os.getloadavg()[0]:.1f}", "teacher": setup.teacher.stem, "threads": str(setup.threads),
        "repeats": str(setup.repeats),
    } | ({"quick": "yes"} if setup.quick else {})  # fmt: skip
    reports = []
    for letter in parts:
        reports.append(report := Report(f"cpu-{letter}", about))
        report.attempt(f"part {letter}", lambda: PARTS[letter](setup, report))  # noqa: B023
        report.save()
    text = markdown(reports, machine.facts() | about, setup.quick)
    (machine.folder() / "report.md").write_text(text)
    print(text)
    return 1 if any(report.absent for report in reports) else 0


def markdown(reports: list[Report], facts: dict[str, str], quick: bool) -> str:
    """Returns the report of all parts."""
    lines = ["# Benchmark", "", facts_line(facts, machine.relabel_version()), ""]
    if quick:
        lines += ["A smoke test with `--quick`: not a measurement of speed.", ""]
    rows = [
        (report.part.removeprefix("cpu-"), row.what, f"{number(row.value)} {row.unit}".rstrip(), row.target, row.verdict)
        for report in reports
        for row in report.all_rows
    ]
    return "\n".join([*lines, *table(("part", "figure", "value:", "target", ""), rows)]) + "\n"


def arguments(words: list[str]) -> argparse.Namespace:
    parser = parser_of("cpu", __doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to measure, such as a,c")
    parser.add_argument("--quick", action="store_true", help="run a smoke test of all parts in under a minute")
    parser.add_argument("--repeats", type=int, help="pairs of each comparison (default: 3, with --quick 1)")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="threads of every program")
    parser.add_argument("--teacher", type=Path, default=machine.LITE0)
    machine.add_programs(parser)
    chosen = parser.parse_args(words)
    unknown = set(chosen.only.split(",")) - PARTS.keys()
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; expected {', '.join(PARTS)}")
    return chosen
