"""Runs the two programs that the benchmarks compare, and says how fast they were: `relabel run`, and the bare session.

    bench = Bench(teacher("resnet50.fp16"), "cuda:0", batch=64, threads=16)
    runs.bare(bench, images=4096)                   # images/s of the session alone, on pixels that are ready
    runs.end_to_end(bench, images=4096)             # a whole run over the photographs
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
# Batches of a first run that only says how long the others should be.
FIRST_BATCHES = 8


@dataclass(frozen=True)
class Bench:
    """What is measured, and how it is set."""

    teacher: Teacher
    device: str
    batch: int
    threads: int
    # Words of --cuda with commas between them.
    cuda: str = ""
    photos: Path | None = None

    def with_(self, **changes: object) -> Bench:
        return replace(self, **changes)

    @property
    def source(self) -> Path:
        return self.photos or machine.photos()

    @property
    def cuda_words(self) -> list[str]:
        return ["--cuda", self.cuda] if self.cuda else []


@dataclass(frozen=True)
class Run:
    """A run of `relabel`; loading and proving the teacher are not in wall_s, but are in cpu_s."""

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
        raise machine.Missing(f"{bench.source}: the photographs are not there; scripts/gpu/photos.py makes them")
    store = results.folder() / "runs" / "store"
    before = children_cpu_s()
    with Watch(bench.device) as watch:
        words = ["--batch", bench.batch, "--threads", bench.threads, "--limit", images, *bench.cuda_words]
        said = programs.label(bench.teacher.path, bench.source, store, bench.device, *words)
        ended = time.perf_counter()
        # Before nvidia-smi is waited for, whose seconds are not the program's.
        cpu_s = children_cpu_s() - before
    if said["failed"] or said["images_this_run"] != said["images"]:
        raise programs.Failed(f"{said['failed']} of {said['images']} photographs in {bench.source} were not labelled")
    busy = watch.between(ended - said["seconds"], ended)
    measured = said["bytes_per_image"], said["slowest_stage"]
    return Run(said["images_this_run"], said["seconds"], cpu_s, *measured, busy, store)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare(bench: Bench, images: int) -> float:
    """Images/s of the rewritten teacher alone, on one batch of pixels again and again."""
    command = [
        machine.bare(), "session", "--teacher", bench.teacher.path, "--input-size", bench.teacher.side,
        "--batch", bench.batch, "--threads", bench.threads, "--images", images, "--device", bench.device,
        *bench.cuda_words, "--json",
    ]  # fmt: skip
    said = json.loads(programs.to_its_end(command, BARE_LIMIT_S, LD_LIBRARY_PATH=library_path()).stdout)
    return said["images"] / said["wall_s"]


def library_path() -> str:
    """Where CUDA's libraries lie, for the bare session. `relabel` asks `python3` for NVIDIA's packages by itself."""
    folders = [lib for packages in library.packages_folders() for lib in sorted(packages.glob("nvidia/*/lib"))]
    return os.pathsep.join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), *map(str, folders)]))


def images_for(bench: Bench, seconds: float) -> int:
    """Images that take the session alone about so long, in whole batches; the rate is measured once and noted."""
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
    """As many as are wanted, or all that there are, in whole batches where there is more than one."""
    there = sum(1 for path in bench.source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    count = min(wanted, there)
    return count // bench.batch * bench.batch or count
