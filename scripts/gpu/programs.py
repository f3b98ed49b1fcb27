"""Runs `relabel` and other programs for the checks, and says what it said when it ends otherwise than expected."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import machine

# Some images could not be labelled: so it is with the sample images, of which some are broken on purpose.
SOME_FAILED = 3
LIMIT_S = 900


class Failed(Exception):
    """The program ended otherwise than it had to."""


def run(*words: object, codes: tuple[int, ...] = (0,), **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `relabel` to its end."""
    return to_its_end([machine.relabel(), *words], LIMIT_S, codes, **environment)


def to_its_end(
    words: list[object], limit_s: float, codes: tuple[int, ...] = (0,), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs any program to its end."""
    command = list(map(str, words))
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, env=machine.environment(**environment)
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"`{' '.join(command)}` had not ended after {limit_s} s") from None
    if ran.returncode not in codes:
        raise Failed(f"`{' '.join(command)}` ended with {ran.returncode}: {last_lines(ran.stderr)}")
    return ran


def last_lines(text: str, count: int = 6) -> str:
    """The end of what a program said, in one line."""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:])


def label_words(teacher: Path, source: Path, out: Path, device: str, *words: object) -> list[str]:
    """The command line that makes a store."""
    fixed = ["run", "--teacher", teacher, "--in", source, "--out", out, "--device", device, "--json", *words]
    return list(map(str, fixed))


def label(teacher: Path, source: Path, out: Path, device: str, *words: object) -> dict:
    """Makes a new store, and gives what the program says of the run."""
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    ran = run(*label_words(teacher, source, out, device, *words), codes=(0, SOME_FAILED))
    return json.loads(ran.stdout)


def describe(teacher: Path, device: str) -> tuple[dict, str]:
    """What `relabel teacher` says, and what it warns of."""
    ran = run("teacher", teacher, "--device", device, "--json")
    return json.loads(ran.stdout), ran.stderr
