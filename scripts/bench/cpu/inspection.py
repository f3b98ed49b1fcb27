"""Parts h and i: audits, pages and pictures of a large store; publishing it, and reading the release over HTTP."""

from __future__ import annotations

import statistics

import pyarrow.parquet as pq

from bench import machine, programs
from bench.command import command_of
from bench.cpu.setup import Setup, photographs_at_480, relabel, repeat_maps, scratch
from bench.results import Report, Row, at_most

MAX_MIB = 1024


def part_h(setup: Setup, report: Report) -> None:
    """Audit, the page of a report in Chromium, and a picture."""
    machine.bare()
    photographs, small = photographs_at_480(setup)
    count = setup.count(100_000, 2000)
    with scratch("large", "page") as (large, page):
        repeat_maps(small, large, count)
        # Marks the files as verified; verification takes longer than reading them.
        relabel("verify", large)
        for crops_each in (0, 64):
            flags = ("-o", machine.folder() / "audit.parquet", "--crops", crops_each, "--threads", 1)
            audits = [relabel("audit", large, *flags) for _ in range(setup.repeats)]
            rate = statistics.median(count / audit.core_seconds for audit in audits)
            peak = max(audit.peak_bytes for audit in audits) / 2**20
            report.add(
                Row(f"audit with {crops_each} crops an image", rate, "images per core-second"),
                at_most(f"peak memory of it, {count:,} images", peak, "MiB", MAX_MIB),
            )
        truth = machine.folder() / "truth.csv"
        ids = pq.read_table(large / "manifest.parquet", columns=["id"]).column("id").to_pylist()
        truth.write_text("id,label\n" + "".join(f"{id},{row % 1000}\n" for row, id in enumerate(ids)))
        flags = ("--truth", truth, "--threads", 1)
        evaluations = [relabel("evaluate", large, *flags) for _ in range(setup.repeats)]
        seconds = statistics.median(one.core_seconds for one in evaluations) * 50_000 / count
        peak = max(one.peak_bytes for one in evaluations) / 2**20
        report.add(
            at_most("evaluation of 50,000 maps against classes", seconds, "core-seconds", 60),
            at_most(f"peak memory of it, {count:,} images", peak, "MiB", MAX_MIB),
        )
        shown = setup.count(50_000, 500)
        written = relabel("report", large, "-o", page, "--sample", shown)
        report.add(
            Row(f"a page of {shown:,} images, written", written.core_seconds, "core-seconds"),
            Row("its size", written.document["bytes"] / 2**20, "MiB"),
        )
        seen = [programs.run(*command_of("page", "--page", page)).document for _ in range(setup.repeats)]
        report.measurements["page"] = seen
        for key in seen[0]:
            what = f"the page in Chromium, {key[:-3].replace('_', ' ')}"
            report.add(Row(what, statistics.median(one[key] for one in seen), "ms"))
        picture = ("-o", machine.folder() / "one.png", "--image-root", photographs)
        pictures = [relabel("inspect", small, "0", *picture).core_seconds for _ in range(setup.repeats)]
        report.add(Row("inspect with a picture", statistics.median(pictures), "core-seconds"))


def part_i(setup: Setup, report: Report) -> None:
    """Publishing, verifying, and reading what was published."""
    machine.bare()
    _, small = photographs_at_480(setup)
    count = setup.count(100_000, 2000)
    with scratch("large", "release") as (large, release):
        repeat_maps(small, large, count)
        # Marks the files as verified; verification takes longer than reading them.
        relabel("verify", large)
        published = relabel("publish", large, "--to", release, "--license", "CC0-1.0", "--source-terms", "none")
        checks = [relabel("verify", release).core_seconds for _ in range(setup.repeats)]
        report.add(
            Row(f"publish {count:,} images into a folder", published.core_seconds, "core-seconds"),
            at_most("peak memory of it", published.peak_bytes / 2**20, "MiB", MAX_MIB),
            Row("verify the release in a folder", statistics.median(checks), "core-seconds"),
        )
        flags = ("--release", release, "--maps", setup.count(1000, 50))
        read = [programs.run(*command_of("remote", *flags)).document for _ in range(setup.repeats)]
        report.measurements["remote"] = read
        # The shards of this store are equal, so one cached copy serves all: the cost of filling the cache is not measured.
        named = {"folder": "from the folder", "no_copies": "by parts", "with_copies": "with copies"}
        for key, what in named.items():
            for unit, job in (("open_ms", "open"), ("map_ms", "a random map")):
                report.add(Row(f"{job}, {what}", statistics.median(one[key][unit] for one in read), "ms"))
        for key in ("no_copies", "with_copies"):
            requests = statistics.median(one[key]["requests_per_map"] for one in read)
            report.add(Row(f"requests for each random map, {named[key]}", requests))
