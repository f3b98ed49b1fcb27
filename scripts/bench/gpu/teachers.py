"""Exports the teachers of the GPU steps, with random weights, to target/bench/teachers.

Existing teachers are kept. If one fails, the others are still exported, and the exit code is 1. It needs what
`relabel export-teacher` needs.

    scripts/bench teachers                                   # all of them
    scripts/bench teachers resnet50.fp16 convnext_base.fp16  # only these
    scripts/bench teachers --jobs 3                          # three at a time, 10 GB of memory each
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import machine, programs
from bench.command import parser_of
from bench.gpu.networks import EXPORTS, Export

OTHER_EXPORTER = {"dynamo": "legacy", "legacy": "dynamo"}
LINES = threading.Lock()


def main(words: list[str]) -> int:
    chosen = arguments(words)
    folder = machine.folder() / "teachers"
    folder.mkdir(parents=True, exist_ok=True)
    exports = [export for export in EXPORTS if not chosen.names or export.key in chosen.names]
    started = time.perf_counter()
    with ThreadPoolExecutor(chosen.jobs) as pool:
        made = list(pool.map(lambda export: make(export, folder, chosen.jobs), exports))
    failed = [export.key for export, is_made in zip(exports, made, strict=True) if not is_made]
    seconds = time.perf_counter() - started
    say(f"{len(exports) - len(failed)} of {len(exports)} teachers are in {folder}, in {seconds:.0f} s")
    if failed:
        say(f"not exported: {', '.join(failed)}. See the errors above; the same command tries them again")
    return 1 if failed else 0


def arguments(words: list[str]) -> argparse.Namespace:
    parser = parser_of("teachers", __doc__)
    keys = [export.key for export in EXPORTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"teachers to export (default: all of {', '.join(keys)})")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="number of parallel exports (default: 1)")
    chosen = parser.parse_args(words)
    unknown = [name for name in chosen.names if name not in keys]
    if unknown:
        parser.error(f"unknown teacher {unknown[0]}; choose from {', '.join(keys)}")
    if chosen.jobs < 1:
        parser.error("--jobs must be at least 1")
    return chosen


def make(export: Export, folder: Path, jobs: int) -> bool:
    """Exports one teacher, with the second exporter if the first one fails. Returns whether it exists."""
    out = folder / f"{export.key}.onnx"
    # The exporter moves the graph last, so the other files are complete if it exists.
    if out.is_file():
        say(f"{export.key} exists")
        return True
    command = [
        sys.executable, "-m", "relabel", "export-teacher", export.model, "--random-weights", "--fixed", "--force",
        "--input-size", export.side, "-o", out, *(["--fp16"] if export.precision == "fp16" else []),
    ]  # fmt: skip
    for exporter in (export.exporter, OTHER_EXPORTER[export.exporter]):
        started = time.perf_counter()
        try:
            # More threads than cores make all parallel exports slow.
            threads = str(max(1, machine.cores() // jobs))
            ran = programs.run(*command, "--exporter", exporter, OMP_NUM_THREADS=threads)
        except programs.Failed as problem:
            say(f"{export.key} failed with the {exporter} exporter after {time.perf_counter() - started:.0f} s: {problem}")
        else:
            say(f"{export.key} exported in {time.perf_counter() - started:.0f} s: {ran.stdout.splitlines()[0]}")
            return True
    return False


def say(text: str) -> None:
    with LINES:
        print(f"teachers: {text}", file=sys.stderr, flush=True)
