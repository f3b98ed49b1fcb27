"""Measures everything that `make bench` prints.

(a) Overhead of a run: core-seconds per image of `relabel run`, relative to the sum of ONNX Runtime alone (same rewritten
    graph, batch and threads) and of reading, decoding and resizing alone. The cost of a run is the slope between two runs
    of different length, which excludes loading the teacher and verifying the rewrite.
(b) Images per second of `relabel run` relative to the same job in Python (`bench_peer.py`), at 224 and 480. The tuned peer
    uses the best of several batch sizes, numbers of workers and thread settings.
(c) Reading, decoding and resizing: images per core-second of one thread, relative to PIL in one process.
(d) Bytes per image of the store's files, by array, on photographs at 480; the same with rounded scores, and the effect of
    rounding on pooled targets (total variation over seeded random crops).
(e) Peak resident memory of a run at 1,000 and at 50,000 images.
(f) As many tiny images as ImageNet has: listing a folder of 1,000 folders and a tar of 1,000 tars (entries and headers are
    cached); resuming a store with all its records up to the first batch; `status`. The records have random labels
    (`benches/bare.rs records`). The images are deleted afterwards.
(g) Training (`bench_training.py`): LabelPooling of random images of a store of 100,000, batch 256, warm, relative to the
    recipe of the paper's authors (a `.pt` file per image, dense maps, RoIAlign, softmax); the cost of targets in an epoch of
    a DataLoader that decodes and crops; opening a store of ImageNet's size. The maps of 200 photographs at 480 (15x15
    cells, top 5) are repeated.
(h) Inspection: `audit` of such a store on one thread, without crops and with 64 per image; `report` of 50,000 of its images,
    and that page in Chromium (`bench_looking.py`); `inspect` with a picture.
(i) Releases: `publish`, `verify`, and reading over HTTP (`bench_remote.py`).

Compared programs run in turns (A B A B). Each ratio is that of one pair, and the median of the pairs is reported. Images
are the sample photographs and seeded crops and flips of them. All files are below `target/bench`, the report in
`report.md` and `report.json`. Missed targets are reported, too.

    .venv/bin/python scripts/bench.py [--quick] [--only a,c] [--repeats 3]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
import PIL
import zarr
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench"
SAMPLES = ROOT / "tests" / "data" / "golden" / "images"
PEER = ROOT / "scripts" / "bench_peer.py"

SIZES = (224, 480)
# The default of `relabel run` on the CPU, passed to the bare session of part (a).
BATCH = 16
SCORE_STEPS = (16, 8)
CROPS_PER_IMAGE = 20
ARRAYS = ("scores", "classes", "image_probs", "image_classes")
SEED = 20_261_123
POLL_SECONDS = 0.02
# Lines of `relabel run` when it opens its store.
CREATING = ("new store",)
RESUMING = ("resuming store",)


@dataclass(frozen=True)
class Setup:
    """Programs and length of the measurements."""

    relabel: Path
    bare: Path | None
    teacher: Path
    threads: int
    repeats: int
    quick: bool

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def sizes(self) -> tuple[int, ...]:
        return SIZES[:1] if self.quick else SIZES


@dataclass(frozen=True)
class Figure:
    """One line of the report."""

    part: str
    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    def target(self) -> str:
        if self.at_most is not None:
            return f"≤ {number(self.at_most)}"
        return "" if self.at_least is None else f"≥ {number(self.at_least)}"

    def verdict(self) -> str:
        if self.at_most is None and self.at_least is None:
            return ""
        within = self.value <= (self.at_most or math.inf) and self.value >= (self.at_least or -math.inf)
        return "met" if within else "short"


@dataclass
class Report:
    """Results for the table, and the individual measurements."""

    figures: list[Figure] = field(default_factory=list)
    measurements: dict[str, object] = field(default_factory=dict)

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        say(f"({figure.part}) {figure.what}: {number(figure.value)} {figure.unit} {figure.verdict()}".rstrip())


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def number(value: float) -> str:
    if value and abs(value) < 0.01:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


# Programs


@dataclass(frozen=True)
class Finished:
    """Output and resource usage of a program."""

    document: dict[str, float]
    core_seconds: float
    peak_bytes: int


def run(*command: str | Path | int | float) -> Finished:
    """Runs a program that prints one JSON document."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(words, stdout=output, stderr=errors, env=environment())
        usage, peak_bytes = watch(child)
        if child.returncode != 0:
            errors.seek(0)
            raise SystemExit(f"{' '.join(words)}\nended with {child.returncode}:\n{errors.read().decode(errors='replace')}")
        output.seek(0)
        return Finished(json.load(output), usage.ru_utime + usage.ru_stime, peak_bytes)


def watch(child: subprocess.Popen[bytes]):
    """Waits for a child; returns its resource usage and its peak resident memory."""
    # Not ru_maxrss, which includes the memory of this script until the child's exec.
    peak_bytes = 0
    while True:
        peak_bytes = max(peak_bytes, peak_so_far(child.pid))
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage, peak_bytes
        time.sleep(POLL_SECONDS)


def peak_so_far(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@cache
def environment() -> dict[str, str]:
    """Returns the environment of all programs: they load the ONNX Runtime of this Python."""
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    return {**os.environ, "ORT_DYLIB_PATH": str(libraries[0])}


def label(setup: Setup, images: Path, side: int, *flags: str | int) -> tuple[Finished, Path]:
    """Runs `relabel run` into a new store."""
    store = WORK / "store"
    shutil.rmtree(store, ignore_errors=True)
    command = [setup.relabel, "run", "--teacher", setup.teacher, "--in", images, "--out", store]
    finished = run(*command, "--input-size", side, "--threads", setup.threads, "--json", *flags)
    if finished.document["failed"]:
        raise SystemExit(f"{finished.document['failed']} of the images in {images} could not be labelled")
    return finished, store


def build_bare() -> Path:
    """Builds the benchmark of the bare parts and returns its path."""
    say("building the benchmark `bare`")
    command = ["cargo", "bench", "--bench", "bare", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    for message in map(json.loads, output.splitlines()):
        if message.get("executable") and message["target"]["name"] == "bare":
            return Path(message["executable"])
    raise SystemExit("cargo built no benchmark `bare`")


def pairs(setup: Setup, first: Callable[[], float], second: Callable[[], float]) -> list[tuple[float, float]]:
    return [(first(), second()) for _ in range(setup.repeats)]


def median_ratio(measured: Iterable[tuple[float, float]]) -> float:
    return statistics.median(first / second for first, second in measured)


# Images


def sources() -> list[Path]:
    return [*sorted((SAMPLES / "photos").iterdir()), SAMPLES / "odd" / "large_2400x1800.JPEG"]


def random_crop(draw: random.Random, size: tuple[int, int]) -> Image.Image:
    """Returns a random crop of half to all of a sample photograph's area, resized and flipped at random."""
    width, height = size
    with Image.open(draw.choice(sources())) as image:
        photograph = image.convert("RGB")
    largest = min(photograph.width / width, photograph.height / height)
    scale = largest * math.sqrt(draw.uniform(0.5, 1))
    x0 = draw.uniform(0, photograph.width - scale * width)
    y0 = draw.uniform(0, photograph.height - scale * height)
    box = (x0, y0, x0 + scale * width, y0 + scale * height)
    crop = photograph.resize(size, Image.Resampling.BICUBIC, box)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else crop


def make_once(name: str, fill: Callable[[Path], None]) -> Path:
    """Returns a folder below `target/bench/data`, filled once. A complete folder of an earlier run is reused."""
    folder = WORK / "data" / name
    if not folder.is_dir():
        unfinished = folder.with_name(f"{name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        fill(unfinished)
        unfinished.rename(folder)
    return folder


def crops(count: int, size: tuple[int, int]) -> Path:
    def fill(folder: Path) -> None:
        draw = random.Random(SEED)
        for index in range(count):
            random_crop(draw, size).save(folder / f"{index:05}.jpg", quality=90)

    return make_once(f"crops-{count}-{size[0]}x{size[1]}", fill)


def repeated(files: Path, count: int) -> Path:
    """Returns a folder with `count` links to the images of another, in subfolders of a thousand."""

    def fill(folder: Path) -> None:
        for index, file in zip(range(count), itertools.cycle(sorted(files.iterdir()))):
            target = folder / f"{index // 1000:03}" / f"{index:06}.jpg"
            target.parent.mkdir(exist_ok=True)
            os.link(file, target)

    return make_once(f"{files.name}-{count}", fill)


def photographs(setup: Setup) -> Path:
    """Returns photographs of 500x375, ImageNet's most frequent size."""
    return crops(setup.count(256, 32), (500, 375))


def sample_set(setup: Setup) -> Path:
    """Returns the readable sample photographs, and crops of them up to the required number."""
    count = setup.count(64, 24)

    def fill(folder: Path) -> None:
        for name in ("photos", "odd"):
            shutil.copytree(SAMPLES / name, folder / name)
        missing = count - sum(file.is_file() for file in folder.rglob("*"))
        (folder / "crops").mkdir()
        for file in sorted(crops(missing, (500, 375)).iterdir()):
            shutil.copy(file, folder / "crops")

    return make_once(f"samples-{count}", fill)


# (a) Overhead of a run


def part_a(setup: Setup, report: Report) -> None:
    for side in setup.sizes():
        short = setup.count({224: 64, 480: 32}[side], 16)
        long = short + setup.count({224: 1024, 480: 320}[side], 32)
        images = repeated(photographs(setup), long)

        def complete() -> float:
            core_seconds = [label(setup, images, side, "--batch", BATCH, "--limit", n)[0].core_seconds for n in (short, long)]
            return (core_seconds[1] - core_seconds[0]) / (long - short)

        def parts() -> float:
            return bare_session(setup, side, long - short) + bare_pixels(setup, images, side, setup.threads)

        measured = pairs(setup, complete, parts)
        report.measurements[f"a, {side}: core-seconds per image, run and parts"] = measured
        ratio = median_ratio(measured)
        report.add(Figure("a", f"core-seconds of a run over its parts, at {side}", ratio, "×", at_most=1.05))
        for what, values in zip(("a run", "its parts"), zip(*measured)):
            report.add(Figure("a", f"{what}, at {side}", 1000 * statistics.median(values), "core-ms per image"))


def bare_session(setup: Setup, side: int, images: int) -> float:
    """Returns the core-seconds per image of ONNX Runtime alone."""
    command = [setup.bare, "session", "--teacher", setup.teacher, "--input-size", side, "--batch", BATCH]
    document = run(*command, "--threads", setup.threads, "--images", images, "--json").document
    return document["cpu_s"] / document["images"]


def bare_pixels(setup: Setup, images: Path, side: int, threads: int) -> float:
    """Returns the core-seconds per image of reading, decoding and resizing alone."""
    document = run(setup.bare, "pixels", "--in", images, "--input-size", side, "--threads", threads, "--json").document
    return document["cpu_s"] / document["images"]


# (b) The same job in Python


def part_b(setup: Setup, report: Report) -> None:
    for side in setup.sizes():
        count = setup.count({224: 768, 480: 192}[side], 32)
        images = repeated(photographs(setup), count)

        def ours() -> float:
            document = label(setup, images, side)[0].document
            return document["images"] / document["seconds"]

        # A naive baseline, and the best of several settings.
        peers = {
            "defaults": (["--batch", 32, "--workers", setup.threads], 1.4),
            "tuned": (best_peer_flags(setup, images, side), None),
        }
        for name, (flags, target) in peers.items():
            measured = pairs(setup, ours, lambda: peer_rate(setup, images, side, flags))
            words = f"{name}: {' '.join(map(str, flags))}"
            report.measurements[f"b, {side}: images/s, relabel and the peer ({words})"] = measured
            ratio = median_ratio(measured)
            report.add(Figure("b", f"images/s over the Python peer's ({name}), at {side}", ratio, "×", at_least=target))
            for what, values in zip(("relabel", f"the peer ({words})"), zip(*measured)):
                report.add(Figure("b", f"{what}, at {side}", statistics.median(values), "images/s"))


def best_peer_flags(setup: Setup, images: Path, side: int) -> list[str | int]:
    batches, workers = ((16,), (setup.threads,)) if setup.quick else ((8, 16, 32), sorted({1, setup.threads}))
    candidates = [
        ["--batch", batch, "--workers", count, *spinning]
        for batch, count, spinning in itertools.product(batches, workers, ([], ["--no-spinning"]))
    ]
    limit = setup.count({224: 192, 480: 64}[side], 32)
    return max(candidates, key=lambda flags: peer_rate(setup, images, side, [*flags, "--limit", limit]))


def peer_rate(setup: Setup, images: Path, side: int, flags: list[str | int]) -> float:
    out = WORK / "peer"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, PEER, "--teacher", setup.teacher, "--in", images, "--out", out]
    return run(*command, "--input-size", side, "--threads", setup.threads, *flags).document["images_per_s"]


# (c) Pixels compared with PIL


def part_c(setup: Setup, report: Report) -> None:
    side = 224
    images = photographs(setup)
    measured = pairs(setup, lambda: 1 / bare_pixels(setup, images, side, 1), lambda: pil_rate(images, side))
    report.measurements["c: images per core-second, relabel and PIL"] = measured
    report.add(Figure("c", f"read, decode and resize 500x375 to {side}, over PIL", median_ratio(measured), "×", at_least=2))
    for what, values in zip(("relabel", "PIL"), zip(*measured)):
        report.add(Figure("c", what, statistics.median(values), "images per core-second"))


def pil_rate(images: Path, side: int) -> float:
    files = sorted(images.iterdir())
    started = time.process_time()
    for file in files:
        with Image.open(file) as image:
            image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return len(files) / (time.process_time() - started)


# (d) Bytes


def part_d(setup: Setup, report: Report) -> None:
    images, side = sample_set(setup), 480
    _, store = label(setup, images, side)
    exact = read_maps(store)
    report_bytes(report, store, "float16 scores", at_most=2900)
    distinct = statistics.mean(len(np.unique(classes)) for classes in exact[1])
    report.add(Figure("d", "distinct classes in an image's map, on average", distinct, "classes"))
    for steps in SCORE_STEPS:
        rounded = f"scores rounded to 1/{steps}"
        _, store = label(setup, images, side, "--score-steps", steps)
        report_bytes(report, store, rounded, at_most=2300)
        changes = changes_of_targets(exact, read_maps(store))
        for what, value in (("on average", changes.mean()), ("at most", changes.max())):
            report.add(Figure("d", f"{rounded}: pooled targets move by, {what}", float(value), "total variation"))


def report_bytes(report: Report, store: Path, what: str, at_most: float) -> None:
    count = zarr.open_group(store, mode="r")["scores"].shape[0]
    sizes = {name: bytes_of(store / name) / count for name in (*ARRAYS, "records")}
    report.add(Figure("d", f"{what}: all arrays and records", sum(sizes.values()), "bytes per image", at_most=at_most))
    for name, size in sizes.items():
        report.add(Figure("d", f"{what}: {name}", size, "bytes per image"))


def bytes_of(folder: Path) -> int:
    """Returns the bytes of the data, without the metadata, whose size does not depend on the images."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "zarr.json")


Maps = tuple[np.ndarray, np.ndarray]


def read_maps(store: Path) -> Maps:
    group = zarr.open_group(store, mode="r")
    return group["scores"][:].astype(np.float64), group["classes"][:].astype(np.int64)


def changes_of_targets(exact: Maps, rounded: Maps) -> np.ndarray:
    """Returns the total variation between the pooled targets of two stores, for every image and crop."""
    draw = random.Random(SEED)
    changes = []
    for row in range(len(exact[0])):
        for _ in range(CROPS_PER_IMAGE):
            box = random_box(draw)
            first, second = (pooled_target(maps[0][row], maps[1][row], box) for maps in (exact, rounded))
            changes.append(np.abs(first - second).sum() / 2)
    return np.array(changes)


def random_box(draw: random.Random) -> tuple[float, float, float, float]:
    """Draws x0, y0, x1, y1 in 0..1 as RandomResizedCrop does on a square image."""
    for _ in range(10):
        area, ratio = draw.uniform(0.08, 1), math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= 1 and height <= 1:
            x0, y0 = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
            return x0, y0, x0 + width, y0 + height
    return 0, 0, 1, 1


def pooled_target(scores: np.ndarray, classes: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """LabelPooling: score 0 for classes outside the top-k, RoIAlign to 1x1, softmax over 1,000 classes."""
    _, height, width = scores.shape
    x0, y0, x1, y1 = box
    weights = np.outer(align_weights(y0, y1, height), align_weights(x0, x1, width))
    pooled = np.bincount(classes.ravel(), (scores * weights).ravel(), minlength=1000)
    exponentials = np.exp(pooled - pooled.max())
    return exponentials / exponentials.sum()


def align_weights(start: float, end: float, cells: int) -> np.ndarray:
    """Returns the weight of each cell along one axis in `roi_align(aligned=False, sampling_ratio=-1)` to 1x1."""
    # In float32, as in torchvision: the number of samples changes if the length is an integer number of cells.
    first, last = np.float32(start * cells - 0.5), np.float32(end * cells - 0.5)
    length = float(max(last - first, np.float32(1)))
    samples = math.ceil(length)
    weights = np.zeros(cells)
    for sample in range(samples):
        position = float(first) + (sample + 0.5) * length / samples
        if position < -1 or position > cells:
            continue
        below = min(int(max(position, 0)), cells - 1)
        above = min(below + 1, cells - 1)
        fraction = min(max(position, 0), cells - 1) - below
        weights[below] += (1 - fraction) / samples
        weights[above] += fraction / samples
    return weights


# (e) Memory


def part_e(setup: Setup, report: Report) -> None:
    counts = (setup.count(1000, 200), setup.count(50_000, 2000))
    small = crops(48, (64, 48))
    peaks = [label(setup, repeated(small, count), 64)[0].peak_bytes for count in counts]
    report.add(Figure("e", f"peak memory at {counts[1]:,} images over that at {counts[0]:,}", peaks[1] / peaks[0], "×", at_most=1.1))
    for count, peak in zip(counts, peaks):
        report.add(Figure("e", f"peak memory at {count:,} images", peak / 2**20, "MiB"))


# (f) 1.28 million images


def part_f(setup: Setup, report: Report) -> None:
    many = ManyImages(setup.count(1_281_167, 5_000), setup.count(1000, 10))
    folder, tar, store = (WORK / name for name in ("many", "many.tar", "many.labels"))
    try:
        many.make_folder(folder)
        report_listing(setup, report, many, folder, "a folder of folders")
        report_resuming(setup, report, many, folder, store)
        shutil.rmtree(folder)
        shutil.rmtree(store)
        many.make_tar(tar)
        report_listing(setup, report, many, tar, "a tar of tars")
        report_resuming(setup, report, many, tar, store)
    finally:
        for left in (folder, store):
            shutil.rmtree(left, ignore_errors=True)
        tar.unlink(missing_ok=True)


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
        say(f"writing {self.count:,} images")
        for name, numbers in self.names():
            (folder / name).mkdir(parents=True)
            for number in numbers:
                with open(f"{folder}/{name}/{name}_{number:07}.JPEG", "xb", buffering=0) as file:
                    file.write(small_jpeg())

    def make_tar(self, path: Path) -> None:
        say(f"writing a tar of {self.count:,} images")
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
    documents = [run(setup.bare, "list", "--in", images, "--json").document for _ in range(1 + setup.repeats)][1:]
    report.measurements[f"f, listing {what}"] = documents
    if any(document["images"] != many.count for document in documents):
        raise SystemExit(f"of {many.count:,} images in {images}, {documents[0]['images']:,} were listed")
    rate = statistics.median(many.count / document["wall_s"] for document in documents)
    report.add(Figure("f", f"listing {what}", rate, "images/s", at_least=100_000))
    cost = statistics.median(document["cpu_s"] for document in documents)
    report.add(Figure("f", f"listing {what}", cost, "core-seconds"))


def report_resuming(setup: Setup, report: Report, many: ManyImages, images: Path, store: Path) -> None:
    what = "folder" if images.is_dir() else "tar"
    command = [setup.relabel, "run", "--teacher", setup.teacher, "--in", images, "--out", store, "--input-size", 64]
    command += ["--threads", setup.threads]
    begun = run_until(CREATING, *command)
    report.add(Figure("f", f"{what}: a new run up to its first batch", begun.wall_s, "s"))
    # The last shard stays pending, so the runs below have work.
    run(setup.bare, "records", "--out", store, "--leave", 1, "--json")
    run_until(RESUMING, *command)
    measured = [run_until(RESUMING, *command) for _ in range(setup.repeats)]
    report.measurements[f"f, resuming, {what}"] = [asdict(reached) for reached in measured]
    seconds = statistics.median(reached.wall_s for reached in measured)
    report.add(Figure("f", f"{what}: resuming up to the first batch", seconds, "s", at_most=2))
    cost = statistics.median(reached.core_seconds for reached in measured)
    report.add(Figure("f", f"{what}: resuming up to the first batch", cost, "core-seconds"))
    peak = run(*command, "--json").peak_bytes
    report.add(Figure("f", f"{what}: peak memory of the run that completes it", peak / 2**20, "MiB", at_most=1024))
    report.add(Figure("f", f"{what}: peak memory of a new run up to its first batch", begun.peak_bytes / 2**20, "MiB", at_most=1024))
    if what == "folder":
        report_status(setup, report, many, store)


def report_status(setup: Setup, report: Report, many: ManyImages, store: Path) -> None:
    seconds, peaks = [], []
    for _ in range(setup.repeats):
        started = time.perf_counter()
        finished = run(setup.relabel, "status", store, "--json")
        seconds.append(time.perf_counter() - started)
        peaks.append(finished.peak_bytes)
        if finished.document["labelled"] != many.count:
            raise SystemExit(f"of {many.count:,} images, {finished.document['labelled']:,} have labels")
    report.measurements["f, status"] = seconds
    report.add(Figure("f", "status", statistics.median(seconds), "s", at_most=1))
    report.add(Figure("f", "status: peak memory", max(peaks) / 2**20, "MiB", at_most=1024))


@dataclass(frozen=True)
class Reached:
    """Resource usage of a run when it printed a line."""

    wall_s: float
    core_seconds: float
    peak_bytes: int


def run_until(texts: tuple[str, ...], *command: str | Path | int) -> Reached:
    """Runs a program up to a line with one of the texts, and then interrupts it."""
    started = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
    lines = []
    for line in child.stderr:
        wall_s = time.perf_counter() - started
        lines.append(line.decode(errors="replace"))
        if any(text in lines[-1] for text in texts):
            reached = Reached(wall_s, core_seconds_so_far(child.pid), peak_so_far(child.pid))
            child.send_signal(signal.SIGINT)
            child.stderr.read()
            child.wait()
            return reached
    raise SystemExit(f"{' '.join(map(str, command))}\nnever printed {texts}:\n{''.join(lines)}")


def core_seconds_so_far(pid: int) -> float:
    # The fields after the program's name, which may contain spaces: utime and stime are the 12th and 13th of them.
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# (g) Training


def part_g(setup: Setup, report: Report) -> None:
    def piece(what: str, *flags: str | Path | int) -> dict[str, float]:
        return run(sys.executable, ROOT / "scripts" / "bench_training.py", what, *flags).document

    images = crops(setup.count(200, 10), (500, 375))
    _, small = label(setup, images, 480)
    large, entire, files = WORK / "large", WORK / "entire", WORK / "pt"
    try:
        count = setup.count(100_000, 2000)
        run(setup.bare, "copies", "--from", small, "--out", large, "--images", count)
        piece("write-pt", "--store", large, "--pt", files, "--count", setup.count(2000, 300))
        report_pooling(setup, report, piece, large, files)
        report_epoch(setup, report, piece, large)
        many = setup.count(1_281_167, 5000)
        run(setup.bare, "copies", "--from", small, "--out", entire, "--images", many)
        opened = [piece("open", "--store", entire, "--id", "n01443537/n01443537_1300") for _ in range(setup.repeats)]
        for key, what, target in (("open_s", "opening", 0.5), ("open_and_find_s", "opening and the first look-up by id", None)):
            seconds = statistics.median(one[key] for one in opened)
            report.add(Figure("g", f"{what}, {many:,} images", seconds, "s", at_most=target))
        peak = max(one["bytes"] for one in opened) / 2**20
        report.add(Figure("g", f"peak memory of that process, {many:,} images", peak, "MiB", at_most=300))
    finally:
        for left in (large, entire, files):
            shutil.rmtree(left, ignore_errors=True)


def report_pooling(setup: Setup, report: Report, piece: Callable[..., dict[str, float]], large: Path, files: Path) -> None:
    """Compares LabelPooling of random images of a store with the authors' recipe on a file per image."""
    batches = setup.count(100, 4)
    for threads, cores in ((1, "one core"), (setup.threads, f"{setup.threads} threads")):
        measured = []
        for _ in range(setup.repeats):
            ours = piece("pool", "--store", large, "--batches", batches, "--threads", threads)
            theirs = piece("recipe", "--pt", files, "--batches", setup.count(6, 1), "--threads", threads)
            measured.append((ours, theirs))
        key = "images_per_core_s" if threads == 1 else "images_per_s"
        ratio = median_ratio((ours[key], theirs[key]) for ours, theirs in measured)
        target = {"at_least": 30} if threads == 1 else {}
        report.add(Figure("g", f"pooled images over the authors' recipe, {cores}", ratio, "×", **target))
        for who, at in (("relabel", 0), ("the authors' recipe", 1)):
            rate = statistics.median(pair[at][key] for pair in measured)
            report.add(Figure("g", f"{who}, {cores}", rate, "images/s"))
            beyond = max(pair[at]["bytes_beyond_output"] for pair in measured) / 2**20
            bound = {"at_most": 32} if at == 0 else {}
            report.add(Figure("g", f"{who}, {cores}: memory beyond the output, batch 256", beyond, "MiB", **bound))
        report.measurements[f"g, pooling, {cores}"] = measured


def report_epoch(setup: Setup, report: Report, piece: Callable[..., dict[str, float]], large: Path) -> None:
    """Measures the cost of targets in a DataLoader that decodes, crops and normalises JPEGs of ImageNet's size."""
    folder = make_once(f"epoch-{setup.count(1000, 40)}", lambda folder: fill_classes(folder, setup.count(1000, 40)))
    flags = ("--images", folder, "--store", large, "--threads", setup.threads)
    batch, batches = setup.count(64, 8), setup.count(150, 20)
    measured = piece("epoch", *flags, "--batch", batch, "--batches", batches)
    ratio = statistics.median(measured["ratios"])
    report.add(Figure("g", "batches with targets over those without, core-seconds of the workers", ratio, "×", at_most=1.02))
    mean = statistics.mean(measured["ratios"])
    report.add(Figure("g", f"the same, mean of the {measured['pairs']} pairs", mean, "×"))
    report.measurements["g, epoch"] = measured


def fill_classes(folder: Path, count: int) -> None:
    draw = random.Random(7)
    for at in range(count):
        subfolder = folder / f"class_{at % 10}"
        subfolder.mkdir(exist_ok=True)
        random_crop(draw, (500, 375)).save(subfolder / f"{at:05}.JPEG", quality=90)


# (h) Looking at labels


def part_h(setup: Setup, report: Report) -> None:
    images = crops(setup.count(200, 10), (500, 375))
    _, small = label(setup, images, 480)
    large, page = WORK / "large", WORK / "page"
    count = setup.count(100_000, 2000)
    try:
        run(setup.bare, "copies", "--from", small, "--out", large, "--images", count)
        # Marks the files as verified; verification takes longer than reading them.
        run(setup.relabel, "verify", large, "--json")
        for crops_each in (0, 64):
            out = WORK / "audit.parquet"
            flags = ("-o", out, "--crops", crops_each, "--threads", 1, "--json")
            audits = [run(setup.relabel, "audit", large, *flags) for _ in range(setup.repeats)]
            rate = statistics.median(count / audit.core_seconds for audit in audits)
            report.add(Figure("h", f"audit with {crops_each} crops an image", rate, "images per core-second"))
            peak = max(audit.peak_bytes for audit in audits) / 2**20
            report.add(Figure("h", f"peak memory of it, {count:,} images", peak, "MiB", at_most=1024))
        shown = setup.count(50_000, 500)
        written = run(setup.relabel, "report", large, "-o", page, "--sample", shown, "--json")
        report.add(Figure("h", f"a page of {shown:,} images, written", written.core_seconds, "core-seconds"))
        report.add(Figure("h", "its size", written.document["bytes"] / 2**20, "MiB"))
        seen = [run(sys.executable, ROOT / "scripts/bench_looking.py", "--page", page).document for _ in range(setup.repeats)]
        for key in seen[0]:
            report.add(Figure("h", f"the page in Chromium, {key[:-3].replace('_', ' ')}", statistics.median(one[key] for one in seen), "ms"))
        report.measurements["h, page"] = seen
        picture = ("-o", WORK / "one.png", "--image-root", images, "--json")
        pictures = [run(setup.relabel, "inspect", small, "0", *picture).core_seconds for _ in range(setup.repeats)]
        report.add(Figure("h", "inspect with a picture", statistics.median(pictures), "core-seconds"))
    finally:
        for left in (large, page):
            shutil.rmtree(left, ignore_errors=True)


# (i) Publishing, and reading what was published


def part_i(setup: Setup, report: Report) -> None:
    _, small = label(setup, crops(setup.count(200, 10), (500, 375)), 480)
    large, release = WORK / "large", WORK / "release"
    count = setup.count(100_000, 2000)
    try:
        run(setup.bare, "copies", "--from", small, "--out", large, "--images", count)
        # Marks the files as verified; verification takes longer than reading them.
        run(setup.relabel, "verify", large, "--json")
        words = ("publish", large, "--to", release, "--license", "CC0-1.0", "--source-terms", "none", "--json")
        published = run(setup.relabel, *words)
        report.add(Figure("i", f"publish {count:,} images into a folder", published.core_seconds, "core-seconds"))
        report.add(Figure("i", "peak memory of it", published.peak_bytes / 2**20, "MiB", at_most=1024))
        checks = [run(setup.relabel, "verify", release, "--json").core_seconds for _ in range(setup.repeats)]
        report.add(Figure("i", "verify the release in a folder", statistics.median(checks), "core-seconds"))
        flags = ("--release", release, "--maps", setup.count(1000, 50))
        read = [run(sys.executable, ROOT / "scripts/bench_remote.py", *flags).document for _ in range(setup.repeats)]
        # The shards of this store are equal, so one cached copy serves all of them: the cost of filling the cache is not measured.
        named = {"folder": "from the folder", "no_copies": "by parts", "with_copies": "with copies"}
        for key, what in named.items():
            for unit in ("open_ms", "map_ms"):
                value = statistics.median(one[key][unit] for one in read)
                report.add(Figure("i", f"{'open' if unit == 'open_ms' else 'a random map'}, {what}", value, "ms"))
        for key in ("no_copies", "with_copies"):
            requests = statistics.median(one[key]["requests_per_map"] for one in read)
            report.add(Figure("i", f"requests for each random map, {named[key]}", requests, ""))
        report.measurements["i, remote"] = read
    finally:
        for left in (large, release):
            shutil.rmtree(left, ignore_errors=True)


PARTS: dict[str, Callable[[Setup, Report], None]] = {
    "a": part_a, "b": part_b, "c": part_c, "d": part_d, "e": part_e, "f": part_f, "g": part_g,
    "h": part_h, "i": part_i,
}


# Report


def machine(setup: Setup) -> dict[str, str]:
    models = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    version = subprocess.run([setup.relabel, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.machine(),
        "threads": str(setup.threads),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": platform.platform(),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "program": version,
        "teacher": setup.teacher.stem,
        "ONNX Runtime": onnxruntime.__version__,
        "Pillow": PIL.__version__,
        "Python": platform.python_version(),
        "repeats": str(setup.repeats),
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def markdown(facts: dict[str, str], report: Report, quick: bool) -> str:
    lines = ["# Benchmark", "", ", ".join(f"{key}: {value}" for key, value in facts.items()), ""]
    if quick:
        lines += ["A smoke test with `--quick`: not a measurement of speed.", ""]
    lines += ["| part | figure | value | target | |", "|---|---|---:|---|---|"]
    for figure in report.figures:
        lines.append(f"| {figure.part} | {figure.what} | {number(figure.value)} {figure.unit} | {figure.target()} | {figure.verdict()} |")
    return "\n".join(lines) + "\n"


def write_report(facts: dict[str, str], report: Report, quick: bool) -> str:
    text = markdown(facts, report, quick)
    figures = [{**asdict(figure), "verdict": figure.verdict()} for figure in report.figures]
    document = {"quick": quick, "machine": facts, "figures": figures, "measurements": report.measurements}
    (WORK / "report.md").write_text(text)
    (WORK / "report.json").write_text(json.dumps(document, indent=1) + "\n")
    return text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to measure, such as a,c")
    parser.add_argument("--quick", action="store_true", help="run a smoke test of all parts in under a minute")
    parser.add_argument("--repeats", type=int, help="pairs of each comparison [default: 3, with --quick 1]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of every program")
    parser.add_argument("--teacher", type=Path, default=ROOT / "models" / "efficientnet-lite0.onnx")
    parser.add_argument("--relabel", type=Path, default=ROOT / "target" / "release" / "relabel", help="path of the program")
    parser.add_argument("--bare", type=Path, help="benchmark of the bare parts [default: built with cargo]")
    chosen = parser.parse_args()
    unknown = set(chosen.only.split(",")) - PARTS.keys()
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; expected {', '.join(PARTS)}")
    if not chosen.relabel.is_file():
        parser.error(f"{chosen.relabel} not found; build it with: cargo build --release")
    return chosen


def main() -> None:
    chosen = arguments()
    wanted = chosen.only.split(",")
    WORK.mkdir(parents=True, exist_ok=True)
    bare = chosen.bare
    if bare is None and {"a", "c", "f", "g", "h", "i"} & set(wanted):
        bare = build_bare()
    repeats = chosen.repeats or (1 if chosen.quick else 3)
    setup = Setup(chosen.relabel, bare, chosen.teacher, chosen.threads, repeats, chosen.quick)
    facts = machine(setup)
    report = Report()
    for letter in wanted:
        PARTS[letter](setup, report)
    print(write_report(facts, report, chosen.quick))


if __name__ == "__main__":
    main()
