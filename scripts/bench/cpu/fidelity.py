"""Part j: crop fidelity, compared with ONNX Runtime alone."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime

from bench import estimates, images, machine
from bench.cpu.labelling import BATCH
from bench.cpu.setup import Setup, label, relabel
from bench.results import Report, Row, at_least, at_most

CROPS_EACH = 8


def part_j(setup: Setup, report: Report) -> None:
    """Crops per second over those of the bare session, and peak memory."""
    side = 224
    counts = (setup.count(16, 4), setup.count(128, 12))
    source = images.repeated(setup.photographs(), counts[1])
    store = label(setup, source, side)[1]

    def ours() -> float:
        runs = [(CROPS_EACH * count, evaluate(setup, store, source, count)[0]) for count in counts]
        return 1 / estimates.slope(runs[0], runs[1])

    crops = CROPS_EACH * (counts[1] - counts[0])
    measured = estimates.pairs(setup.repeats, ours, lambda: session_rate(setup, side, crops))
    report.measurements["crops/s, relabel and the bare session"] = measured
    ratio = estimates.median_ratio(measured)
    report.add(at_least(f"crop fidelity's crops/s over those of the bare session, at {side}", ratio, "×", 0.9))
    for what, values in zip(("crop fidelity", "the bare session"), zip(*measured, strict=True), strict=True):
        report.add(Row(f"{what}, at {side}", statistics.median(values), "crops/s"))

    small = images.crops(48, (64, 48))
    counts = (setup.count(500, 20), setup.count(4000, 100))
    source = images.repeated(small, counts[1])
    store = label(setup, source, 64)[1]
    peaks = [evaluate(setup, store, source, count, "--input-size", 64)[1] for count in counts]
    what = f"peak memory of crop fidelity at {counts[1]:,} images over that at {counts[0]:,}"
    report.add(at_most(what, peaks[1] / peaks[0], "×", 1.1), Row(f"at {counts[1]:,} images", peaks[1] / 2**20, "MiB"))


def evaluate(setup: Setup, store: Path, source: Path, count: int, *flags: object) -> tuple[float, int]:
    """Compares crops of some images; returns the seconds and the peak memory."""
    table = machine.folder() / "crops.parquet"
    chosen = ("--crops", CROPS_EACH, "--images", count, "--seed", 1, "-o", table)
    teacher = ("--teacher", setup.teacher, "--in", source, "--threads", setup.threads)
    started = time.perf_counter()
    peak_bytes = relabel("evaluate", store, *chosen, *teacher, *flags).peak_bytes
    return time.perf_counter() - started, peak_bytes


def session_rate(setup: Setup, side: int, count: int) -> float:
    """Returns the images per second of the unmodified teacher in ONNX Runtime, without preparing any input."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setup.threads
    session = onnxruntime.InferenceSession(setup.teacher, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batch = np.random.default_rng(1).standard_normal((BATCH, 3, side, side), dtype=np.float32)
    session.run(None, {name: batch})
    runs = -(-count // BATCH)
    started = time.perf_counter()
    for _ in range(runs):
        session.run(None, {name: batch})
    return runs * BATCH / (time.perf_counter() - started)
