"""Runs `relabel` and other programs, with their resource usage, and reports their output if they fail."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine

# Exit code if some images could not be labelled. Some of the sample images are damaged on purpose.
SOME_FAILED = 3
# A run of the GPU steps that takes longer hangs.
LIMIT_S = 900
POLL_SECONDS = 0.02


class Failed(Exception):
    """A program ended with an unexpected exit code."""


@dataclass(frozen=True)
class Finished:
    """Output and resource usage of a program. Core-seconds include its own children."""

    code: int
    stdout: str
    stderr: str
    core_seconds: float
    peak_bytes: int

    @functools.cached_property
    def document(self) -> dict[str, Any]:
        """The JSON document that the program printed last."""
        found: dict[str, Any] = json.loads(self.stdout[self.stdout.rfind("\n{") + 1 :])
        return found


def run(*words: object, codes: tuple[int, ...] = (0,), limit_s: float = math.inf, **environment: str) -> Finished:
    """Runs a program and checks its exit code."""
    command = list(map(str, words))
    with tempfile.TemporaryFile("w+", errors="replace") as output, tempfile.TemporaryFile("w+", errors="replace") as errors:
        child = subprocess.Popen(command, stdout=output, stderr=errors, env=machine.environment(**environment))
        try:
            code, core_seconds, peak_bytes = watch(child, limit_s)
        except TimeoutError:
            raise Failed(f"`{' '.join(command)}` did not end within {limit_s:g} s") from None
        finally:
            # On Ctrl-C and beyond the limit.
            if child.returncode is None:
                child.kill()
                child.wait()
        output.seek(0)
        errors.seek(0)
        finished = Finished(code, output.read(), errors.read(), core_seconds, peak_bytes)
    if code not in codes:
        raise Failed(f"`{' '.join(command)}` ended with {code}: {last_lines(finished.stderr)}")
    return finished


def watch(child: subprocess.Popen[bytes], limit_s: float) -> tuple[int, float, int]:
    """Waits for a child; returns its exit code, its core-seconds and its peak resident memory.

    Raises:
        TimeoutError: The child did not end within the limit.
    """
    # Not ru_maxrss, which includes the memory of this process until the child's exec.
    peak_bytes, until = 0, time.monotonic() + limit_s
    while True:
        peak_bytes = max(peak_bytes, peak_so_far(child.pid))
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, usage.ru_utime + usage.ru_stime, peak_bytes
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(POLL_SECONDS)


def peak_so_far(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def core_seconds_so_far(pid: int) -> float:
    # The fields after the program's name, which may contain spaces: utime and stime are the 12th and 13th of them.
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reached:
    """Resource usage of a program when it printed a line."""

    wall_s: float
    core_seconds: float
    peak_bytes: int


def run_until(text: str, *words: object) -> Reached:
    """Runs a program up to a line of stderr with a text, and then interrupts it."""
    command = list(map(str, words))
    started = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=machine.environment(), text=True, errors="replace"
    )
    assert child.stderr
    lines = []
    for line in child.stderr:
        wall_s = time.perf_counter() - started
        lines.append(line)
        if text in line:
            reached = Reached(wall_s, core_seconds_so_far(child.pid), peak_so_far(child.pid))
            child.send_signal(signal.SIGINT)
            child.stderr.read()
            child.wait()
            return reached
    child.wait()
    raise Failed(f"`{' '.join(command)}` did not print `{text}`: {last_lines(''.join(lines))}")


def last_lines(text: str, count: int = 6) -> str:
    """Returns the last lines of a text as one line."""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-count:])


def label_command(teacher: Path, source: Path, out: Path, *words: object) -> list[str]:
    """Returns the command that labels into a store."""
    command = [machine.relabel(), "run", "--teacher", teacher, "--in", source, "--out", out, "--json", *words]
    return list(map(str, command))


def label(
    teacher: Path, source: Path, out: Path, *words: object, codes: tuple[int, ...] = (0,), limit_s: float = math.inf
) -> Finished:
    """Labels into a new store."""
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    return run(*label_command(teacher, source, out, *words), codes=codes, limit_s=limit_s)
