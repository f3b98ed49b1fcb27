"""Runs and times the two programs that the benchmarks compare: `relabel run` and the bare session.

    bench = Bench(teacher("resnet50.fp16"), "cuda:0", batch=64, threads=16)
    runs.bare(bench, images=4096)                   # images/s of the bare session, on prepared pixels
    runs.end_to_end(bench, images=4096)             # a complete run over the photographs
"""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path

import library
import machine
import programs
import results
from networks import Teacher
from watch import Busy, Watch

BARE_LIMIT_S = 600
# Batches of the first run, which only determines the length of the others.
FIRST_BATCHES = 8


@dataclass(frozen=True)
class Bench:
    """The measured program and its options."""

    teacher: Teacher
    device: str
    batch: int
    threads: int
    # Options of --cuda, separated by commas.
    cuda: str = ""
    photos: Path | None = None

    def with_(self, **changes: object) -> Bench:
        return replace(self, **changes)

    @property
    def source(self) -> Path:
        return self.photos or machine.photos()

    @property
    def cuda_flags(self) -> list[str]:
        return ["--cuda", self.cuda] if self.cuda else []


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
    if not bench.source.is_dir():
        raise machine.Missing(f"{bench.source} not found; scripts/gpu/photos.py makes the photographs")
    store = results.folder() / "runs" / "store"
    before = children_cpu_s()
    with Watch(bench.device) as watch:
        words = ["--batch", bench.batch, "--threads", bench.threads, "--limit", images, *bench.cuda_flags]
        document = programs.label(bench.teacher.path, bench.source, store, bench.device, *words)
        ended = time.perf_counter()
        # Before waiting for nvidia-smi, whose CPU time is not the program's.
        cpu_s = children_cpu_s() - before
    if document["failed"] or document["images_this_run"] != document["images"]:
        raise programs.Failed(f"{document['failed']} of {document['images']} photographs in {bench.source} were not labelled")
    busy = watch.between(ended - document["seconds"], ended)
    measured = document["bytes_per_image"], document["slowest_stage"]
    return Run(document["images_this_run"], document["seconds"], cpu_s, *measured, busy, store)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare(bench: Bench, images: int) -> float:
    """Returns images/s of the rewritten teacher alone, on one batch of pixels repeatedly."""
    command = [
        machine.bare(), "session", "--teacher", bench.teacher.path, "--input-size", bench.teacher.side,
        "--batch", bench.batch, "--threads", bench.threads, "--images", images, "--device", bench.device,
        *bench.cuda_flags, "--json",
    ]  # fmt: skip
    document = json.loads(programs.run_program(command, BARE_LIMIT_S, LD_LIBRARY_PATH=library_path()).stdout)
    return document["images"] / document["wall_s"]


def library_path() -> str:
    """Returns the search path of CUDA's libraries for the bare session. `relabel` finds NVIDIA's packages by itself."""
    folders = [lib for packages in library.packages_folders() for lib in sorted(packages.glob("nvidia/*/lib"))]
    return os.pathsep.join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), *map(str, folders)]))


def images_for(bench: Bench, seconds: float) -> int:
    """Returns the images that the bare session labels in about `seconds`, in full batches. The rate is measured once."""
    note = results.folder() / "runs" / "rates.json"
    rates = json.loads(note.read_text()) if note.is_file() else {}
    key = f"{bench.teacher.name} {bench.device} {bench.batch}"
    if key not in rates:
        rates[key] = bare(bench, FIRST_BATCHES * bench.batch)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(rates, indent=1) + "\n")
    batches = max(FIRST_BATCHES, round(rates[key] * seconds / bench.batch))
    return batches * bench.batch


def photographs(bench: Bench, wanted: int) -> int:
    """Returns the number of images to label: `wanted` or all, in full batches if there is more than one."""
    available = sum(1 for path in bench.source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    count = min(wanted, available)
    return count // bench.batch * bench.batch or count
