"""Runs and times the two programs that the measurements compare: `relabel run` and the bare session.

    bench = Bench(teacher("resnet50.fp16"), "cuda:0", batch=64, threads=16)
    runs.bare(bench, images=4096)                   # images/s of the bare session, on prepared pixels
    runs.end_to_end(bench, images=4096)             # a complete run over the photographs
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import machine, programs
from bench.gpu.networks import Teacher
from bench.gpu.watch import Busy, Watch

BARE_LIMIT_S = 600
# Batches of the first run, which only determines the length of the others.
FIRST_BATCHES = 8


@dataclass(frozen=True)
class Plan:
    """Length and number of the measurements. With `images` 0 a run has as many images as take about `seconds`."""

    images: int
    repeats: int
    seconds: float
    quick: bool
    # Mode of torch.compile.
    compile: str

    def length(self, bench: Bench, share: float = 1) -> int:
        """Returns the images of a run that takes a share of the planned seconds."""
        return self.images or images_for(bench, self.seconds * share)


@dataclass(frozen=True)
class Bench:
    """The measured program and its options."""

    teacher: Teacher
    device: str
    batch: int
    threads: int
    # Options of --cuda, separated by commas.
    cuda: str = ""
    source: Path | None = None

    def with_(self, **changes: Any) -> Bench:
        return replace(self, **changes)

    @property
    def photographs(self) -> Path:
        return self.source or machine.photographs()

    @property
    def flags(self) -> list[object]:
        """Options that both programs take."""
        cuda = ["--cuda", self.cuda] if self.cuda else []
        return ["--batch", self.batch, "--threads", self.threads, "--device", self.device, *cuda]


@dataclass(frozen=True)
class Run:
    """A run of `relabel`. wall_s excludes loading and verifying the teacher, cpu_s includes it."""

    images: int
    wall_s: float
    cpu_s: float
    bytes_per_image: float
    slowest_stage: str
    busy: Busy
    store: Path

    @property
    def images_per_s(self) -> float:
        return self.images / self.wall_s


def end_to_end(bench: Bench, images: int) -> Run:
    """Labels the first photographs into a new store."""
    if not bench.photographs.is_dir():
        raise machine.Missing(f"{bench.photographs} not found; `scripts/bench photographs` makes the photographs")
    store = machine.folder() / "runs/store"
    with Watch(bench.device) as watch:
        words = (*bench.flags, "--limit", images)
        codes = (0, programs.SOME_FAILED)
        finished = programs.label(bench.teacher.path, bench.photographs, store, *words, codes=codes, limit_s=programs.LIMIT_S)
        ended = time.perf_counter()
    document = finished.document
    if document["failed"] or document["images_this_run"] != document["images"]:
        failed = f"{document['failed']} of {document['images']} photographs"
        raise programs.Failed(f"{failed} in {bench.photographs} were not labelled")
    busy = watch.between(ended - document["seconds"], ended)
    measured = document["bytes_per_image"], document["slowest_stage"]
    return Run(document["images_this_run"], document["seconds"], finished.core_seconds, *measured, busy, store)


def bare(bench: Bench, images: int) -> float:
    """Returns images/s of the rewritten teacher alone, on one batch of pixels repeatedly."""
    teacher = ("--teacher", bench.teacher.path, "--input-size", bench.teacher.side)
    command = [machine.bare(), "session", *teacher, *bench.flags, "--images", images, "--json"]
    document = programs.run(*command, limit_s=BARE_LIMIT_S).document
    return float(document["images"] / document["wall_s"])


def images_for(bench: Bench, seconds: float) -> int:
    """Returns the images that are labelled in about `seconds`, in full batches. The rate is measured once."""
    note = machine.folder() / "runs/rates.json"
    rates = json.loads(note.read_text()) if note.is_file() else {}
    key = f"{bench.teacher.name} {bench.device} {bench.batch}"
    if key not in rates:
        first = FIRST_BATCHES * bench.batch
        try:
            rates[key] = bare(bench, first)
        except machine.NoBare:
            rates[key] = end_to_end(bench, first).images_per_s
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(rates, indent=1) + "\n")
    batches = max(FIRST_BATCHES, round(rates[key] * seconds / bench.batch))
    return batches * bench.batch


def photographs(bench: Bench, wanted: int) -> int:
    """Returns the number of images to label: `wanted` or all, in full batches if there is more than one."""
    available = sum(1 for path in bench.photographs.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    count = min(wanted, available)
    return count // bench.batch * bench.batch or count
