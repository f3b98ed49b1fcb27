"""Options of a part of `bench.py`, and the report that saves its rows after each measurement."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import programs
import results
from machine import Missing
from results import Row


@dataclass(frozen=True)
class Plan:
    """Length and number of the measurements. With `images` 0 a run has as many images as take about `seconds`."""

    images: int
    repeats: int
    seconds: float
    quick: bool
    # Mode of torch.compile.
    compile: str


@dataclass
class Report:
    """The rows of one part. Every change is saved, so an interrupted part keeps its results."""

    part: str
    rows: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)

    def replace(self, rows: list[Row]) -> None:
        """Replaces all rows."""
        self.rows = list(rows)
        self.save()

    def add(self, *rows: Row) -> None:
        self.rows += rows
        self.save()

    def attempt(self, what: str, work: Callable[[], object]) -> bool:
        """Makes a measurement that may fail, such as with a batch that is too large for the device. Returns whether it did not."""
        try:
            work()
        except (programs.Failed, Missing) as problem:
            self.failed(what, str(problem))
            return False
        return True

    def failed(self, what: str, why: str) -> None:
        """Records a failed measurement once."""
        print(f"bench: {what}: {why}", file=sys.stderr, flush=True)
        if all(row.what != what for row in self.failures):
            self.failures.append(Row(what, "failed", note=why[-400:]))
        self.save()

    def save(self) -> None:
        if self.rows or self.failures:
            results.save(self.part, [*self.rows, *self.failures])
