"""What a part of `bench.py` is told, and where it leaves its rows: each time that something was measured."""

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
    """How long and how often. `images` of 0: as many as take about `seconds`."""

    images: int
    repeats: int
    seconds: float
    quick: bool
    # Mode of torch.compile.
    compile: str


@dataclass
class Report:
    """The rows of one part; they are saved at each change, so that a part that is cut off leaves what it has."""

    part: str
    rows: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)

    def replace(self, rows: list[Row]) -> None:
        """Takes these rows in the place of those before."""
        self.rows = list(rows)
        self.save()

    def add(self, *rows: Row) -> None:
        self.rows += rows
        self.save()

    def attempt(self, what: str, work: Callable[[], object]) -> bool:
        """Measures something that may be impossible here, such as a batch that is too large for the device."""
        try:
            work()
        except (programs.Failed, Missing) as problem:
            self.failed(what, str(problem))
            return False
        return True

    def failed(self, what: str, why: str) -> None:
        """Something that could not be measured, once."""
        print(f"bench: {what}: {why}", file=sys.stderr, flush=True)
        if all(row.what != what for row in self.failures):
            self.failures.append(Row(what, "failed", note=why[-400:]))
        self.save()

    def save(self) -> None:
        if self.rows or self.failures:
            results.save(self.part, [*self.rows, *self.failures])
