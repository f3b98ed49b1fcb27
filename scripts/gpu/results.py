"""Results of measurements and checks, one JSON file per part, so that a failure in a later step loses nothing.

    from results import Row, save
    save("golden", [Row("cells with a different class", 0, "cells", target="0", met=True)])

The scripts of this folder write everything below target/gpu, or below $RELABEL_GPU_FOLDER.
"""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """One result. `met` is None if there is no target or the measurement failed (see the note)."""

    what: str
    value: float | str
    unit: str = ""
    target: str = ""
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """The rows of one part, with time and machine."""

    part: str
    when: str
    machine: dict[str, str]
    relabel: str
    rows: list[Row]


def folder() -> Path:
    """Returns the folder of all generated files."""
    named = os.environ.get("RELABEL_GPU_FOLDER")
    return Path(named) if named else REPOSITORY / "target/gpu"


def save(part: str, rows: list[Row]) -> Path:
    """Writes the rows of a part atomically, replacing those of an earlier run."""
    import machine

    result = Result(
        part=part,
        when=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        machine=machine.facts(),
        relabel=machine.relabel_version(),
        rows=list(rows),
    )
    results = folder() / "results"
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{part}.json"
    unfinished = results / f".{part}.{os.getpid()}"
    unfinished.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n")
    unfinished.replace(file)
    return file


def load() -> list[Result]:
    """Loads the saved results, sorted by part."""
    found = []
    for file in sorted((folder() / "results").glob("*.json")):
        entry = json.loads(file.read_text())
        found.append(Result(**{**entry, "rows": [Row(**row) for row in entry["rows"]]}))
    return found


def show(rows: list[Row]) -> None:
    """Prints rows."""
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        value = f"{row.value:.6g}" if isinstance(row.value, float) else str(row.value)
        target = f"(target {row.target}) " if row.target else ""
        note = f" - {row.note}" if row.note else ""
        print(f"  {row.what}: {value} {row.unit} {target}{verdict}{note}".rstrip(), flush=True)
