"""What all parts need to know, and the labels that several of them begin with."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import images, machine, programs
from bench.programs import Finished

SIZES = (224, 480)


@dataclass(frozen=True)
class Setup:
    """The teacher, and the length of the measurements."""

    teacher: Path
    threads: int
    repeats: int
    quick: bool

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def sizes(self) -> tuple[int, ...]:
        return SIZES[:1] if self.quick else SIZES

    def photographs(self) -> Path:
        return images.crops(self.count(256, 32))


def label(setup: Setup, source: Path, side: int, *flags: object) -> tuple[Finished, Path]:
    """Runs `relabel run` into a new store."""
    store = machine.folder() / "store"
    common = ("--input-size", side, "--threads", setup.threads)
    return programs.label(setup.teacher, source, store, *common, *flags), store


def relabel(*words: object) -> Finished:
    """Runs a command of `relabel` that prints a JSON document."""
    return programs.run(machine.relabel(), *words, "--json")


def bare(*words: object) -> Finished:
    """Runs the benchmark of the bare parts."""
    return programs.run(machine.bare(), *words, "--json")


def photographs_at_480(setup: Setup) -> tuple[Path, Path]:
    """Labels photographs at 480 (15x15 cells, top 5); returns their folder and the store."""
    source = images.crops(setup.count(200, 10))
    return source, label(setup, source, 480)[1]


def repeat_maps(small: Path, large: Path, count: int) -> None:
    """Makes a store of many images that repeats the label maps of a small one."""
    bare("copies", "--from", small, "--out", large, "--images", count)


@contextlib.contextmanager
def scratch(*names: str) -> Iterator[list[Path]]:
    """Names files and folders that are deleted afterwards."""
    paths = [machine.folder() / name for name in names]
    try:
        yield paths
    finally:
        for path in paths:
            delete(path)


def delete(path: Path) -> None:
    """Deletes a folder or file, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
