"""Part f: as many images as ImageNet has, as a folder of folders and as a tar of tars."""

from __future__ import annotations

import shutil
import statistics
import sys
import tarfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image

from bench import machine, programs
from bench.cpu.setup import Setup, bare, relabel, scratch
from bench.results import Report, Row, at_least, at_most

MAX_MIB = 1024
# Lines of `relabel run` when it opens its store.
CREATING = "new store"
RESUMING = "resuming store"


def part_f(setup: Setup, report: Report) -> None:
    """Listing, resuming and status. The images are deleted afterwards."""
    machine.bare()
    many = ManyImages(setup.count(1_281_167, 5_000), setup.count(1000, 10))
    with scratch("many", "many.tar", "many.labels") as (folder, tar, store):
        many.make_folder(folder)
        report_listing(setup, report, many, folder, "a folder of folders")
        report_resuming(setup, report, many, folder, store)
        shutil.rmtree(folder)
        shutil.rmtree(store)
        many.make_tar(tar)
        report_listing(setup, report, many, tar, "a tar of tars")
        report_resuming(setup, report, many, tar, store)


@dataclass(frozen=True)
class ManyImages:
    """`count` copies of one small JPEG in `classes` folders."""

    count: int
    classes: int

    def names(self) -> Iterable[tuple[str, range]]:
        """Yields every folder with the numbers of its images."""
        for index in range(self.classes):
            first, end = (self.count * at // self.classes for at in (index, index + 1))
            yield f"n{index:08}", range(first, end)

    def make_folder(self, folder: Path) -> None:
        print(f"writing {self.count:,} images", file=sys.stderr, flush=True)
        for name, numbers in self.names():
            (folder / name).mkdir(parents=True)
            for number in numbers:
                with open(f"{folder}/{name}/{name}_{number:07}.JPEG", "xb", buffering=0) as file:
                    file.write(small_jpeg())

    def make_tar(self, path: Path) -> None:
        print(f"writing a tar of {self.count:,} images", file=sys.stderr, flush=True)
        with tarfile.open(path, "w") as outer:
            for name, numbers in self.names():
                members = [member(f"{name}_{number:07}.JPEG", small_jpeg()) for number in numbers]
                inner = b"".join([*members, bytes(2 * tarfile.BLOCKSIZE)])
                entry = tarfile.TarInfo(f"{name}.tar")
                entry.size = len(inner)
                outer.addfile(entry, BytesIO(inner))


@cache
def small_jpeg() -> bytes:
    file = BytesIO()
    Image.new("L", (8, 8), 128).save(file, "JPEG", optimize=True)
    return file.getvalue()


def member(name: str, data: bytes) -> bytes:
    """Returns a tar header and its data. Inserting a name into a header is several times faster than `tarfile`."""
    nameless, rest = nameless_header(len(data)), -len(data) % tarfile.BLOCKSIZE
    encoded = name.encode()
    checksum = sum(nameless) + 8 * ord(" ") + sum(encoded)
    header = encoded.ljust(100, b"\0") + nameless[100:148] + b"%06o\0 " % checksum + nameless[156:]
    return header + data + bytes(rest)


@cache
def nameless_header(length: int) -> bytes:
    """Returns a header with zeros for name and checksum."""
    entry = tarfile.TarInfo()
    entry.size = length
    header = entry.tobuf(tarfile.USTAR_FORMAT)
    return bytes(100) + header[100:148] + bytes(8) + header[156:]


def report_listing(setup: Setup, report: Report, many: ManyImages, images: Path, what: str) -> None:
    # The first listing fills the caches of the system.
    documents = [bare("list", "--in", images).document for _ in range(1 + setup.repeats)][1:]
    report.measurements[f"listing {what}"] = documents
    if any(document["images"] != many.count for document in documents):
        raise programs.Failed(f"of {many.count:,} images in {images}, {documents[0]['images']:,} were listed")
    rate = statistics.median(many.count / document["wall_s"] for document in documents)
    cost = statistics.median(document["cpu_s"] for document in documents)
    report.add(at_least(f"listing {what}", rate, "images/s", 100_000), Row(f"listing {what}", cost, "core-seconds"))


def report_resuming(setup: Setup, report: Report, many: ManyImages, images: Path, store: Path) -> None:
    what = "folder" if images.is_dir() else "tar"
    flags = ("--input-size", 64, "--threads", setup.threads)
    command = [machine.relabel(), "run", "--teacher", setup.teacher, "--in", images, "--out", store, *flags]
    begun = programs.run_until(CREATING, *command)
    report.add(Row(f"{what}: a new run up to its first batch", begun.wall_s, "s"))
    # The last shard stays pending, so the runs below have work.
    bare("records", "--out", store, "--leave", 1)
    programs.run_until(RESUMING, *command)
    measured = [programs.run_until(RESUMING, *command) for _ in range(setup.repeats)]
    report.measurements[f"resuming, {what}"] = [asdict(reached) for reached in measured]
    seconds = statistics.median(reached.wall_s for reached in measured)
    cost = statistics.median(reached.core_seconds for reached in measured)
    peak = programs.run(*command, "--json").peak_bytes
    report.add(
        at_most(f"{what}: resuming up to the first batch", seconds, "s", 2),
        Row(f"{what}: resuming up to the first batch", cost, "core-seconds"),
        at_most(f"{what}: peak memory of the run that completes it", peak / 2**20, "MiB", MAX_MIB),
        at_most(f"{what}: peak memory of a new run up to its first batch", begun.peak_bytes / 2**20, "MiB", MAX_MIB),
    )
    if what == "folder":
        report_status(setup, report, many, store)


def report_status(setup: Setup, report: Report, many: ManyImages, store: Path) -> None:
    seconds, peaks = [], []
    for _ in range(setup.repeats):
        started = time.perf_counter()
        finished = relabel("status", store)
        seconds.append(time.perf_counter() - started)
        peaks.append(finished.peak_bytes)
        if finished.document["labelled"] != many.count:
            raise programs.Failed(f"of {many.count:,} images, {finished.document['labelled']:,} have labels")
    report.measurements["status"] = seconds
    report.add(
        at_most("status", statistics.median(seconds), "s", 1),
        at_most("status: peak memory", max(peaks) / 2**20, "MiB", MAX_MIB),
    )
