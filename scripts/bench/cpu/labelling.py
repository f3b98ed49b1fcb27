"""Parts a, b, c and e: the cost of a run over its parts, the same job in Python, pixels compared with PIL, memory."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

from PIL import Image

from bench import estimates, images, machine, programs
from bench.command import command_of
from bench.cpu.setup import Setup, bare, label
from bench.results import Report, Row, at_least, at_most

# The default of `relabel run` on the CPU, passed to the bare session of part a.
BATCH = 16


def part_a(setup: Setup, report: Report) -> None:
    """Overhead of a run over ONNX Runtime alone and pixels alone."""
    for side in setup.sizes():
        short = setup.count({224: 64, 480: 32}[side], 16)
        long = short + setup.count({224: 1024, 480: 320}[side], 32)
        photographs = images.repeated(setup.photographs(), long)

        def complete(side: int = side, counts: tuple[int, int] = (short, long), source: Path = photographs) -> float:
            runs = [(n, label(setup, source, side, "--batch", BATCH, "--limit", n)[0].core_seconds) for n in counts]
            return estimates.slope(runs[0], runs[1])

        def parts(side: int = side, count: int = long - short, source: Path = photographs) -> float:
            return bare_session(setup, side, count) + bare_pixels(source, side, setup.threads)

        measured = estimates.pairs(setup.repeats, complete, parts)
        report.measurements[f"{side}: core-seconds per image, run and parts"] = measured
        ratio = estimates.median_ratio(measured)
        report.add(at_most(f"core-seconds of a run over its parts, at {side}", ratio, "×", 1.05))
        for what, values in zip(("a run", "its parts"), zip(*measured, strict=True), strict=True):
            report.add(Row(f"{what}, at {side}", 1000 * statistics.median(values), "core-ms per image"))


def bare_session(setup: Setup, side: int, count: int) -> float:
    """Returns the core-seconds per image of ONNX Runtime alone."""
    flags = ("--teacher", setup.teacher, "--input-size", side, "--batch", BATCH, "--threads", setup.threads)
    document = bare("session", *flags, "--images", count).document
    return float(document["cpu_s"] / document["images"])


def bare_pixels(source: Path, side: int, threads: int) -> float:
    """Returns the core-seconds per image of reading, decoding and resizing alone."""
    document = bare("pixels", "--in", source, "--input-size", side, "--threads", threads).document
    return float(document["cpu_s"] / document["images"])


def part_b(setup: Setup, report: Report) -> None:
    """Images per second over those of the same job in Python."""
    for side in setup.sizes():
        source = images.repeated(setup.photographs(), setup.count({224: 768, 480: 192}[side], 32))

        def ours(side: int = side, source: Path = source) -> float:
            document = label(setup, source, side)[0].document
            return float(document["images"] / document["seconds"])

        # A naive baseline, and the best of several settings.
        peers: dict[str, tuple[list[object], float | None]] = {
            "defaults": (["--batch", 32, "--workers", setup.threads], 1.4),
            "tuned": (best_peer_flags(setup, source, side), None),
        }
        for name, (flags, bound) in peers.items():
            measured = estimates.pairs(setup.repeats, ours, lambda: peer_rate(setup, source, side, flags))  # noqa: B023
            words = f"{name}: {' '.join(map(str, flags))}"
            report.measurements[f"{side}: images/s, relabel and the peer ({words})"] = measured
            ratio = estimates.median_ratio(measured)
            what = f"images/s over the Python peer's ({name}), at {side}"
            report.add(at_least(what, ratio, "×", bound) if bound else Row(what, ratio, "×"))
            for who, values in zip(("relabel", f"the peer ({words})"), zip(*measured, strict=True), strict=True):
                report.add(Row(f"{who}, at {side}", statistics.median(values), "images/s"))


def best_peer_flags(setup: Setup, source: Path, side: int) -> list[object]:
    batches, workers = ((16,), (setup.threads,)) if setup.quick else ((8, 16, 32), sorted({1, setup.threads}))
    candidates: list[list[object]] = [
        ["--batch", batch, "--workers", count, *spinning]
        for batch, count, spinning in itertools.product(batches, workers, ([], ["--no-spinning"]))
    ]
    limit = setup.count({224: 192, 480: 64}[side], 32)
    return max(candidates, key=lambda flags: peer_rate(setup, source, side, [*flags, "--limit", limit]))


def peer_rate(setup: Setup, source: Path, side: int, flags: list[object]) -> float:
    words = ("--teacher", setup.teacher, "--in", source, "--out", machine.folder() / "peer", "--input-size", side)
    command = command_of("peer", "onnx", *words, "--threads", setup.threads, *flags)
    return float(programs.run(*command).document["images_per_s"])


def part_c(setup: Setup, report: Report) -> None:
    """Reading, decoding and resizing on one thread, compared with PIL in one process."""
    side, source = 224, setup.photographs()
    measured = estimates.pairs(setup.repeats, lambda: 1 / bare_pixels(source, side, 1), lambda: pil_rate(source, side))
    report.measurements["images per core-second, relabel and PIL"] = measured
    ratio = estimates.median_ratio(measured)
    report.add(at_least(f"read, decode and resize 500x375 to {side}, over PIL", ratio, "×", 2))
    for what, values in zip(("relabel", "PIL"), zip(*measured, strict=True), strict=True):
        report.add(Row(what, statistics.median(values), "images per core-second"))


def pil_rate(source: Path, side: int) -> float:
    files = sorted(source.iterdir())
    started = time.process_time()
    for file in files:
        with Image.open(file) as image:
            image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return len(files) / (time.process_time() - started)


def part_e(setup: Setup, report: Report) -> None:
    """Peak memory of a short and of a long run."""
    counts = (setup.count(1000, 200), setup.count(50_000, 2000))
    small = images.crops(48, (64, 48))
    peaks = [label(setup, images.repeated(small, count), 64)[0].peak_bytes for count in counts]
    what = f"peak memory at {counts[1]:,} images over that at {counts[0]:,}"
    report.add(at_most(what, peaks[1] / peaks[0], "×", 1.1))
    for count, peak in zip(counts, peaks, strict=True):
        report.add(Row(f"peak memory at {count:,} images", peak / 2**20, "MiB"))
