"""Runs `relabel` and other programs for the checks, and reports their output if they fail."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import machine

# Exit code if some images could not be labelled. Some of the sample images are damaged on purpose.
SOME_FAILED = 3
LIMIT_S = 900


class Failed(Exception):
    """A program ended with an unexpected exit code."""


def run(*words: object, codes: tuple[int, ...] = (0,), **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `relabel` and checks its exit code."""
    return run_program([machine.relabel(), *words], LIMIT_S, codes, **environment)


def run_program(
    words: list[object], limit_s: float, codes: tuple[int, ...] = (0,), **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program and checks its exit code."""
    command = list(map(str, words))
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, env=machine.environment(**environment)
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"`{' '.join(command)}` did not end within {limit_s} s") from None
    if ran.returncode not in codes:
        raise Failed(f"`{' '.join(command)}` ended with {ran.returncode}: {last_lines(ran.stderr)}")
    return ran


def last_lines(text: str, count: int = 6) -> str:
    """Returns the last lines of a text as one line."""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:])


def label_command(teacher: Path, source: Path, out: Path, device: str, *words: object) -> list[str]:
    """Returns the arguments of `relabel run` for a new store."""
    command = ["run", "--teacher", teacher, "--in", source, "--out", out, "--device", device, "--json", *words]
    return list(map(str, command))


def label(teacher: Path, source: Path, out: Path, device: str, *words: object) -> dict:
    """Labels into a new store and returns the JSON document of the run."""
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    ran = run(*label_command(teacher, source, out, device, *words), codes=(0, SOME_FAILED))
    return json.loads(ran.stdout)


def describe(teacher: Path, device: str) -> tuple[dict, str]:
    """Returns the JSON document and the stderr of `relabel teacher`."""
    ran = run("teacher", teacher, "--device", device, "--json")
    return json.loads(ran.stdout), ran.stderr
