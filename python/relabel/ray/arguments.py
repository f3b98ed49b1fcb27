"""Arguments of ``python -m relabel.ray``."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .._program import find_program
from ..command_line import Parser
from ..console import Usage

SET_BY_TASKS = ("--task-index", "--task-count", "--json")
"""Options of ``relabel run`` that each task gets a value for, or that its output is not made for."""

DESCRIPTION = """\
Label a data set on a Ray cluster, with one `relabel run` for each range of shards.

Arguments after `--` are passed to `relabel run`. Store, images and teacher must have the same paths on every machine. A
task that was killed, interrupted or failed is submitted again and resumes.
"""

EXAMPLES = """\
examples:
    python -m relabel.ray --tasks 8 --gpus-per-task 1 --cpus-per-task 8 -- \\
        --teacher /data/effnet-l2.onnx --in /data/train --out /data/train.labels --device cuda
    python -m relabel.ray --address auto --tasks 64 -- --teacher T.onnx --in train --out train.labels

Exit codes are those of `relabel`: 0 done, 1 failed, 2 wrong usage, 3 done but some images could not be labelled,
130 interrupted. Requires Ray: pip install ray
"""


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    tasks: int
    """Number of ranges of shards."""
    gpus_per_task: float
    cpus_per_task: float
    retries: int
    """Number of further attempts of a task."""
    retry_after: float
    """Seconds between two attempts."""
    address: str | None
    """Address of the cluster."""
    program: Path
    """The program on every machine."""
    poll: float
    """Seconds between two messages about progress."""
    run: tuple[str, ...]
    """Arguments of ``relabel run``."""

    @property
    def store(self) -> str:
        """The store to write."""
        return value_of(self.run, "--out") or ""

    def command(self) -> list[str]:
        """Returns the command of every task, without the range."""
        words = [str(self.program), "run", *self.run]
        if value_of(self.run, "--threads") is None:
            words += ["--threads", str(max(1, int(self.cpus_per_task)))]
        return words


def parse(args: Sequence[str]) -> Options:
    """Parses the command line.

    Raises:
        Usage: If an argument is invalid.
        Refusal: If the program is missing.
    """
    own, run = _split(args)
    parsed = _parser().parse_args(own)
    if value_of(run, "--out") is None:
        raise Usage("no store given\n  help: add --out STORE after the --, with the other arguments of relabel run")
    for flag in SET_BY_TASKS:
        if value_of(run, flag) is not None:
            raise Usage(f"{flag} cannot be passed to relabel run\n  help: each task has its own range; --tasks sets their number")
    program = find_program() if parsed.relabel is None else _given_program(parsed.relabel)
    return Options(
        tasks=parsed.tasks,
        gpus_per_task=parsed.gpus_per_task,
        cpus_per_task=parsed.cpus_per_task,
        retries=parsed.retries,
        retry_after=parsed.retry_after,
        address=parsed.address,
        program=program,
        poll=parsed.poll,
        run=run,
    )


def value_of(words: Sequence[str], flag: str) -> str | None:
    """Returns the value of ``--flag value`` or ``--flag=value`` (empty if it is missing), or None without the flag."""
    for index, word in enumerate(words):
        if word == flag:
            return words[index + 1] if index + 1 < len(words) else ""
        if word.startswith(f"{flag}="):
            return word[len(flag) + 1 :]
    return None


def _split(args: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Returns the arguments before and after the first ``--``."""
    words = list(args)
    end = words.index("--") if "--" in words else len(words)
    return words[:end], tuple(words[end + 1 :])


def _given_program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise Usage(f"cannot find the program {name}\n  help: pass its path with --relabel; it must be the same on every machine")
    return Path(found).absolute()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m relabel.ray",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --tasks N [options] -- --teacher T.onnx --in SOURCE --out STORE [options of relabel run]",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--tasks", type=_whole_from(1), required=True, metavar="N", help="number of ranges of shards; keep it when you resume")
    add("--gpus-per-task", type=_gpus, default=0.0, metavar="G", help="GPUs per task (default: 0); needs --device cuda")
    add("--cpus-per-task", type=_amount, default=1.0, metavar="C", help="cores per task, and its --threads (default: 1)")
    add("--retries", type=_whole_from(0), default=3, metavar="R", help="how often a task is submitted again (default: 3)")
    add("--retry-after", type=_amount, default=10.0, metavar="SECONDS", help="wait before that (default: 10)")
    add("--address", metavar="ADDRESS", help="address of the cluster, such as auto (default: RAY_ADDRESS, else a local Ray)")
    add("--relabel", metavar="PROGRAM", help="the program, at the same path on every machine (default: this package's)")
    add("--poll", type=_amount, default=10.0, metavar="SECONDS", help="interval of messages about progress (default: 10)")
    return parser


def _whole_from(least: int) -> Callable[[str], int]:
    """Returns a parser of whole numbers from ``least``."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):
            raise argparse.ArgumentTypeError(f"expected a whole number from {least}")
        return int(text)

    return number


def _amount(text: str) -> float:
    """Parses a number that is not negative."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError("expected a number from 0")
    return number


def _gpus(text: str) -> float:
    """Parses a number of GPUs. Ray shares a single one, but does not divide the second."""
    number = _amount(text)
    if number > 1 and not number.is_integer():
        raise argparse.ArgumentTypeError("expected a whole number, or a part of one GPU such as 0.5")
    return number
