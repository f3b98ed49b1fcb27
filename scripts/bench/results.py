"""Results, one JSON file per part, so that a failure in a later part loses nothing.

    report = Report("check-golden")
    report.add(Row("cells with a different class", 0, "cells", target="0", met=True), at_most("memory", 900, "MiB", 1024))
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from bench import machine, programs
from bench.tables import number

NOT_MEASURED = ("not measured", "not checked", "failed")


@dataclass(frozen=True)
class Row:
    """One result. `met` is None without a target or a measurement (see the note)."""

    what: str
    value: float | str
    unit: str = ""
    target: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.value in NOT_MEASURED:
            return str(self.value)
        return {True: "met", False: "missed", None: ""}[self.met]


def at_most(what: str, value: float, unit: str, bound: float, note: str = "") -> Row:
    return Row(what, value, unit, f"≤ {number(bound)}", value <= bound, note)


def at_least(what: str, value: float, unit: str, bound: float, note: str = "") -> Row:
    return Row(what, value, unit, f"≥ {number(bound)}", value >= bound, note)


@dataclass(frozen=True)
class Result:
    """The rows of one part, with time and machine, and the individual measurements."""

    part: str
    when: str
    machine: dict[str, str]
    relabel: str
    rows: list[Row]
    measurements: dict[str, object] = field(default_factory=dict)


@dataclass
class Report:
    """The rows of one part. Every change is saved, so an interrupted part keeps its results."""

    part: str
    about: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    # Measurements that failed, or that were skipped because something is missing on this machine.
    absent: list[Row] = field(default_factory=list)
    measurements: dict[str, object] = field(default_factory=dict)

    @property
    def all_rows(self) -> list[Row]:
        return [*self.rows, *self.absent]

    @property
    def has_failures(self) -> bool:
        return any(row.value == "failed" for row in self.absent)

    def replace(self, rows: list[Row]) -> None:
        """Replaces all rows."""
        self.rows = list(rows)
        self.save()

    def add(self, *rows: Row) -> None:
        self.rows += rows
        for row in rows:
            print(f"{self.part}: {line_of(row)}", file=sys.stderr, flush=True)
        self.save()

    def attempt(self, what: str, work: Callable[[], object]) -> bool:
        """Makes a measurement that may fail, such as with a batch too large for the device. Returns whether it did not."""
        try:
            work()
        except machine.NoBare as problem:
            self._without(what, "not measured", str(problem))
            return False
        except (programs.Failed, machine.Missing) as problem:
            self._without(what, "failed", str(problem))
            return False
        return True

    def _without(self, what: str, value: str, why: str) -> None:
        """Records once that a measurement is absent."""
        print(f"{self.part}: {what}: {why}", file=sys.stderr, flush=True)
        if all(row.what != what for row in self.absent):
            self.absent.append(Row(what, value, note=why[-400:]))
        self.save()

    def save(self) -> None:
        """Writes all rows atomically, replacing those of an earlier run."""
        if not self.all_rows:
            return
        when = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        facts = machine.facts() | self.about
        result = Result(self.part, when, facts, machine.relabel_version(), self.all_rows, self.measurements)
        file = machine.folder() / "results" / f"{self.part}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{self.part}.{os.getpid()}")
        unfinished.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n")
        unfinished.replace(file)


def load() -> list[Result]:
    """Loads the saved results, sorted by part."""
    entries = [json.loads(file.read_text()) for file in sorted((machine.folder() / "results").glob("*.json"))]
    return [Result(**{**entry, "rows": [Row(**row) for row in entry["rows"]]}) for entry in entries]


def line_of(row: Row) -> str:
    """Returns a row as a line for a terminal."""
    target = f"(target {row.target})" if row.target else ""
    verdict = "" if row.value in NOT_MEASURED else row.verdict.upper() if row.met is False else row.verdict
    note = f"- {row.note}" if row.note else ""
    return " ".join(filter(None, [f"{row.what}:", number(row.value), row.unit, target, verdict, note]))


def show(rows: list[Row]) -> None:
    """Prints rows."""
    for row in rows:
        print(f"  {line_of(row)}", flush=True)
