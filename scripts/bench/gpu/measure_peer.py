"""Parts `peer` and `ceiling` of `measure`: relabel compared with PyTorch, and with the peak of the device."""

from __future__ import annotations

import math
import statistics
from typing import Any

from bench import machine, programs
from bench.command import command_of
from bench.gpu import runs
from bench.gpu.runs import Bench, Plan
from bench.results import Report, Row, at_least

# Compiling a large network takes minutes.
LIMIT_S = 1500
AGREE = 0.99


def command(name: str, *words: object) -> dict[str, Any]:
    """Runs a command of this package and returns the JSON document that it prints."""
    return programs.run(*command_of(name, *words), limit_s=LIMIT_S).document


def target(teacher: str) -> float | None:
    """Returns the required speed of a complete run relative to PyTorch."""
    if "l2" in teacher:
        return 1.0
    return 3.0 if "resnet50" in teacher else None


def peer(bench: Bench, plan: Plan, report: Report) -> None:
    """Labels the same photographs with relabel and with PyTorch, measures both networks alone, and compares the labels."""
    teacher = bench.teacher
    images = runs.photographs(bench, plan.length(bench))
    alone = plan.length(bench, 0.5)
    ours = [runs.end_to_end(bench, images) for _ in range(plan.repeats)]
    rate = statistics.median(run.images_per_s for run in ours)
    note = f"medians of {plan.repeats}; {images:,} photographs, batch {bench.batch}, {teacher.precision}"
    report.add(Row("relabel, complete run", rate, "images/s", note=note))
    bares: list[float] = []
    for _ in range(1 if plan.quick else plan.repeats):
        report.attempt("bare session", lambda: bares.append(runs.bare(bench, alone)))
    maps = machine.folder() / "runs/peer"
    measured = command(
        "peer", "torch", "--model", teacher.model, "--input-size", teacher.side,
        "--precision", teacher.precision, "--batch", bench.batch, "--device", bench.device, "--in", bench.photographs,
        "--out", maps, "--workers", bench.threads, "--limit", images, "--repeats", plan.repeats,
        "--network-images", alone, "--compile", plan.compile,
    )  # fmt: skip
    theirs = statistics.median(run["images_per_s"] for run in measured["runs"])
    steady = statistics.median(run["steady_images_per_s"] for run in measured["runs"])
    network = statistics.median(measured["network_images_per_s"])
    wanted, what = target(teacher.name), "complete run over PyTorch's"
    how = f"PyTorch {measured['torch']}, torch.compile {measured['compile']}, {measured['workers']} workers"
    report.add(
        Row("PyTorch, complete run", theirs, "images/s", note=how),
        Row("PyTorch, complete run without startup", steady, "images/s"),
        Row("PyTorch, network alone", network, "images/s", note="pixels on the device"),
        Row("PyTorch, compilation", measured["compile_s"], "s"),
        at_least(what, rate / theirs, "×", wanted) if wanted else Row(what, rate / theirs, "×"),
    )
    if bares:
        bare = statistics.median(bares)
        report.add(
            Row("bare session", bare, "images/s", note=f"medians of {len(bares)}"),
            Row("bare session over PyTorch's network alone", bare / network, "×"),
        )
    compared = command("peer", "compare", "--store", ours[-1].store, "--pt", maps, "--in", bench.photographs)
    report.add(*agreement(compared))


def agreement(measured: dict[str, Any]) -> list[Row]:
    note = f"{measured['clear_cells']:,} of {measured['cells']:,} cells, {measured['distinct_classes']:,} classes"
    return [
        at_least("cells with PyTorch's best class, clear cells", measured["clear_agree"], "share", AGREE, note),
        Row("cells with PyTorch's best class, all cells", measured["agree"], "share"),
        Row("largest difference of best scores", measured["best_score_apart"], note=f"of {measured['largest_score']:.3g}"),
    ]


def ceiling(bench: Bench, plan: Plan, report: Report) -> None:
    """Computes the share of the device's measured peak that the session reaches, and its bottleneck."""
    teacher = bench.teacher
    images = plan.length(bench, 0.5)
    rate = statistics.median(runs.bare(bench, images) for _ in range(plan.repeats))
    report.add(Row("bare session", rate, "images/s", note=f"medians of {plan.repeats}, batch {bench.batch}"))
    measured = command(
        "ceiling", "--model", teacher.model, "--size", teacher.side, "--precision", teacher.precision,
        "--batch", bench.batch, "--device", bench.device, "--images-per-s", rate,
    )  # fmt: skip
    peak = measured["flop_per_s"]
    macs = measured["macs"]
    kinds = ", ".join(f"{kind} {part['macs'] / macs:.1%}" for kind, part in measured["kinds"].items() if part["macs"])
    times = {
        "matrix units": measured["matrix_bound_s"], "memory traffic": measured["memory_bound_s"],
        "launches": measured["launches_s"], "activations, unfused": measured["activations_alone_s"], "measured": 1 / rate,
    }  # fmt: skip
    report.add(
        Row(f"measured peak, {teacher.precision} products", peak / 1e12, "TFLOP/s", note="best of several sizes"),
        Row("measured copy bandwidth", measured["copy_bytes_per_s"] / 1e9, "GB/s", note="read and written"),
        Row("multiply-adds", macs / 1e9, "billion/image", note=kinds),
        Row("minimum memory traffic", measured["bytes"] / 1e6, "MB/image", note=f"layers with products, batch {bench.batch}"),
        Row("share of the measured peak", measured["share_of_peak"], "share"),
        Row("roofline bound", measured["roofline_images_per_s"], "images/s"),
        Row("share of the roofline", measured["share_of_roofline"], "share"),
        Row("bound by", measured["bound_by"], note=", ".join(f"{what} {1e3 * s:.3g} ms" for what, s in times.items())),
    )
    if not all(math.isfinite(row.value) for row in report.rows if isinstance(row.value, float)):
        raise programs.Failed("a value is not finite; see the rows of the results")
