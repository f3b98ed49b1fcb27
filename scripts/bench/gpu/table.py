"""Prints all GPU checks and measurements as Markdown, with an estimate for ImageNet.

    scripts/bench table --price 2.5 > table.md

Reads the results of all parts from target/bench/results. The estimate for ImageNet uses the parts whose name begins with
`end-to-end` and contains a teacher's name: their row of `relabel` in `images/s`, and the row in `bytes/image` for the
disk. Exit codes: 0 also if targets were missed, 1 if there are no results, 2 wrong usage.
"""

from __future__ import annotations

from bench import machine, results
from bench.command import parser_of
from bench.results import NOT_MEASURED, Result, Row
from bench.tables import facts_line, number, table

IMAGENET_IMAGES = 1_281_167
# The most important first.
TEACHERS = (
    "tf_efficientnet_l2_ns_475.fp16",
    "tf_efficientnet_l2_ns_475.fp32",
    "convnext_base.fp16",
    "resnet50.fp16",
    "resnet50.fp32",
)
CHECKS = ("golden", "fp16", "placement", "teachers", "refusals", "sessions", "kill")
MEASURES = ("end-to-end", "peer", "ceiling", "knobs", "sessions")


def machine_lines(found: list[Result]) -> list[str]:
    """Describes the machine of the results, or the machines if there are several."""
    machines = {(tuple(result.machine.items()), result.relabel) for result in found}
    lines = [facts_line(dict(facts), relabel) for facts, relabel in sorted(machines)]
    return [*lines, "The results come from several machines or programs."] if len(lines) > 1 else lines


def part_lines(result: Result) -> list[str]:
    cells = (
        (row.what, number(row.value), row.unit, row.target, "" if row.verdict == row.value else row.verdict, row.note)
        for row in result.rows
    )
    heads = ("what", "value:", "", "target", "", "note")
    return [f"## {result.part}", "", result.when, "", *table(heads, cells), ""]


def summary_lines(found: list[Result]) -> list[str]:
    """Lists the targets that were met, missed and not measured."""
    rows = [(result.part, row) for result in found for row in result.rows]
    missed = [
        f"{part}: {row.what}: {number(row.value)} {row.unit}, not {row.target}" for part, row in rows if is_missed(row)
    ]
    unknown = [f"{part}: {row.what} ({row.note})" for part, row in rows if row.value in NOT_MEASURED]
    expected = [f"check-{part}" for part in CHECKS] + list(MEASURES)
    absent = [part for part in expected if not any(result.part.startswith(part) for result in found)]
    met = sum(row.met is True for _, row in rows)
    lines = ["## Targets", "", f"{met} met, {len(missed)} missed, {len(unknown)} not measured."]
    if absent:
        lines.append(f"Parts without results: {', '.join(absent)}.")
    lines += ["", *(f"* missed: {text}" for text in missed), *(f"* not measured: {text}" for text in unknown), ""]
    return lines


def is_missed(row: Row) -> bool:
    return row.met is False and row.value not in NOT_MEASURED


def of_relabel(row: Row) -> bool:
    """Whether a row is the rate of the program, not of PyTorch or the bare session."""
    what = row.what.lower()
    others = ("pytorch", "peer", "bare", "per core", "resident")
    return row.unit == "images/s" and "relabel" in what and not any(word in what for word in others)


def imagenet_lines(found: list[Result], price: float | None) -> list[str]:
    """Estimates GPU-hours, cost and disk for ImageNet's training images by teacher."""
    lines = []
    for teacher in TEACHERS:
        parts = [result for result in found if result.part.startswith("end-to-end") and teacher in result.part]
        rows = [row for result in parts for row in result.rows]
        rates = [row.value for row in rows if of_relabel(row) and not isinstance(row.value, str) and row.value > 0]
        sizes = [row.value for row in rows if row.unit == "bytes/image" and not isinstance(row.value, str)]
        if not rates:
            lines.append((teacher, "not measured", "", "", ""))
            continue
        hours = IMAGENET_IMAGES / rates[0] / 3600
        cost = "" if price is None else f"EUR {hours * price:,.2f}"
        disk = f"{IMAGENET_IMAGES * sizes[0] / 1e9:.1f} GB" if sizes else ""
        lines.append((teacher, number(float(rates[0])), f"{hours:.2f}", cost, disk))
    return [
        f"## ImageNet ({IMAGENET_IMAGES:,} training images), one GPU",
        "",
        *table(("teacher", "images/s:", "GPU-hours:", "cost:", "disk:"), lines),
        *([] if price is not None else ["", "`--price EUR_PER_GPU_HOUR` adds the cost."]),
        "",
        "The disk estimate is for random weights; label maps of a trained teacher differ in size (docs/guide/label-imagenet.md).",
    ]


def main(words: list[str]) -> int:
    parser = parser_of("table", __doc__)
    parser.add_argument("--price", type=float, metavar="EUR_PER_GPU_HOUR", help="cost of an hour of the GPU")
    arguments = parser.parse_args(words)
    if arguments.price is not None and arguments.price < 0:
        parser.error("--price must be at least 0")
    found = [result for result in results.load() if not result.part.startswith("cpu-")]
    if not found:
        raise machine.Missing(f"no results in {machine.folder() / 'results'}; run `scripts/bench gpu`")
    lines = ["# Checks and measurements on a GPU", "", *machine_lines(found), "", *summary_lines(found)]
    lines += [*imagenet_lines(found, arguments.price), ""]
    for result in found:
        lines += part_lines(result)
    print("\n".join(lines))
    return 0
