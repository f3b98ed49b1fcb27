"""Part g: LabelPooling compared with the recipe of the paper's authors, calibrated pooling, targets in an epoch, opening a store."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path
from typing import Any

from bench import estimates, images, machine, programs
from bench.command import command_of
from bench.cpu.setup import Setup, label, photographs_at_480, relabel, repeat_maps, scratch
from bench.results import Report, Row, at_least, at_most


def part_g(setup: Setup, report: Report) -> None:
    """Pooling, epochs and opening, on stores that repeat the maps of photographs."""
    machine.bare()
    source, small = photographs_at_480(setup)
    with scratch("large", "entire", "pt") as (large, entire, files):
        repeat_maps(small, large, setup.count(100_000, 2000))
        measure("write-pt", "--store", large, "--pt", files, "--count", setup.count(2000, 300))
        report_pooling(setup, report, large, files)
        report_forms(setup, report, large)
        report_masks(setup, report, large, files)
        report_epoch(setup, report, large)
        many = setup.count(1_281_167, 5000)
        repeat_maps(small, entire, many)
        opened = [measure("open", "--store", entire, "--id", "n01443537/n01443537_1300") for _ in range(setup.repeats)]
        seconds, found = (statistics.median(one[key] for one in opened) for key in ("open_s", "open_and_find_s"))
        peak = max(one["bytes"] for one in opened) / 2**20
        report.add(
            at_most(f"opening, {many:,} images", seconds, "s", 0.5),
            Row(f"opening and the first look-up by id, {many:,} images", found, "s"),
            at_most(f"peak memory of that process, {many:,} images", peak, "MiB", 300),
        )
        report_calibrated(setup, report, source, small)


def measure(what: str, *flags: object) -> dict[str, Any]:
    """Makes one measurement of `training_programs.py` in its own process."""
    return programs.run(*command_of("training", what, *flags)).document


def report_pooling(setup: Setup, report: Report, large: Path, files: Path) -> None:
    """Compares LabelPooling of random images of a store with the authors' recipe on a file per image."""
    for threads, cores in ((1, "one core"), (setup.threads, f"{setup.threads} threads")):
        ours = ("pool", "--store", large, "--batches", setup.count(100, 4), "--threads", threads)
        theirs = ("recipe", "--pt", files, "--batches", setup.count(6, 1), "--threads", threads)
        measured = estimates.pairs(setup.repeats, lambda: measure(*ours), lambda: measure(*theirs))  # noqa: B023
        key = "images_per_core_s" if threads == 1 else "images_per_s"
        ratio = estimates.median_ratio((one[key], other[key]) for one, other in measured)
        what = f"pooled images over the authors' recipe, {cores}"
        report.add(at_least(what, ratio, "×", 30) if threads == 1 else Row(what, ratio, "×"))
        for who, at in (("relabel", 0), ("the authors' recipe", 1)):
            report.add(Row(f"{who}, {cores}", statistics.median(pair[at][key] for pair in measured), "images/s"))
            beyond = max(pair[at]["bytes_beyond_output"] for pair in measured) / 2**20
            what = f"{who}, {cores}: memory beyond the output, batch 256"
            report.add(at_most(what, beyond, "MiB", 32) if at == 0 else Row(what, beyond, "MiB"))
        report.measurements[f"pooling, {cores}"] = measured


def report_forms(setup: Setup, report: Report, large: Path) -> None:
    """Compares other forms of targets with dense ones."""
    measured = [measure("forms", "--store", large, "--batches", setup.count(60, 6)) for _ in range(setup.repeats)]
    for form in measured[0]["ratios"]:
        if form != "dense":
            ratio = statistics.median(one["ratios"][form] for one in measured)
            what = f"core-seconds of targets as {form}, over dense ones, batch 256"
            report.add(at_most(what, ratio, "×", 1.1) if form.startswith("sparse") else Row(what, ratio, "×"))
    report.measurements["forms of targets"] = measured


def report_masks(setup: Setup, report: Report, large: Path, files: Path) -> None:
    """Compares labels of masks with the recipe of MultiLabel-ImageNet on a file per image."""
    count = setup.count(500, 20)
    ours = ("pool-masks", "--store", large, "--count", count, "--batches", setup.count(50, 2))
    theirs = ("mask-recipe", "--pt", files, "--count", count, "--batch", 32, "--batches", setup.count(10, 1))
    measured = estimates.pairs(setup.repeats, lambda: measure(*ours), lambda: measure(*theirs))
    key = "masks_per_core_s"
    ratio = estimates.median_ratio((one[key], other[key]) for one, other in measured)
    report.add(
        at_least("labels of masks over the recipe of MultiLabel-ImageNet, one core", ratio, "×", 30),
        Row("relabel, one core", statistics.median(pair[0][key] for pair in measured), "masks/s"),
        Row("the recipe of MultiLabel-ImageNet, one core", statistics.median(pair[1][key] for pair in measured), "masks/s"),
    )
    report.measurements["masks"] = measured


def report_calibrated(setup: Setup, report: Report, source: Path, small: Path) -> None:
    """Compares calibrated pooling with LabelPooling on the same store: without tiles, with predictions of tiles, with maps of
    tiles. Reads and decodes what each needs."""
    for flags, what, limit in (
        ((), "one level", 1.5),
        (("--tiles", 5), "five tiles", 3),
        (("--tiles", 5, "--tile-maps"), "five tiles with maps", None),
    ):
        store = label(setup, source, 480, *flags)[1] if flags else small
        relabel("calibrate", store, "--teacher", setup.teacher, "--in", source, "--images", setup.count(100, 8))
        with scratch("mixed") as (large,):
            repeat_maps(store, large, setup.count(20_000, 1000))
            # It is valid for all stores of the same settings.
            shutil.copy(store / "pooling.json", large)
            common = ("pool", "--store", large, "--batches", setup.count(50, 4))
            measured = estimates.pairs(
                setup.repeats,
                lambda: measure(*common, "--pooling", "paper"),  # noqa: B023
                lambda: measure(*common, "--pooling", "calibrated"),  # noqa: B023
            )
        ratio = estimates.median_ratio((one["images_per_core_s"], other["images_per_core_s"]) for one, other in measured)
        what = f"core-seconds of calibrated pooling over LabelPooling, {what}"
        report.add(Row(what, ratio, "×") if limit is None else at_most(what, ratio, "×", limit))
        report.measurements[what] = measured


def report_epoch(setup: Setup, report: Report, large: Path) -> None:
    """Measures the cost of targets in a DataLoader that decodes, crops and normalises JPEGs of ImageNet's size."""
    folder = images.classes_of_crops(setup.count(1000, 40))
    flags = ("--images", folder, "--store", large, "--threads", setup.threads)
    measured = measure("epoch", *flags, "--batch", setup.count(64, 8), "--batches", setup.count(150, 20))
    for kind, what, limit in [
        ("worker", "batches with targets over those without, core-seconds of workers", 1.05),
        ("process", "batches with rows and boxes over those without, core-seconds of workers", 1.01),
    ]:
        ratios = measured["ratios"][kind]
        report.add(
            at_most(what, statistics.median(ratios), "×", limit),
            Row(f"the same, mean of the {measured['groups']} groups", statistics.mean(ratios), "×"),
        )
    pooling = measured["pooling_core_s_per_image"] / measured["core_s_per_image"]
    report.add(Row("pooling these in the training process, over the core-seconds of workers", pooling, "×"))
    report.measurements["epoch"] = measured
    report.save()
