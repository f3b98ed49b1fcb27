"""The commands ``import`` and ``export``: arguments, signals and exit codes, as those of the program ``relabel``."""

from __future__ import annotations

import argparse
import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

import relabel
from relabel.labels import default_threads

from .output import FAILED, INTERRUPTED, Output, Refusal, Usage

GRACE_S = 3.0
"""Seconds in which a command must end by itself after a signal."""

MAX_THREADS = 1024
MAX_SHARD_IMAGES = 1 << 20


def main(args: Sequence[str]) -> int:
    """Runs ``import`` or ``export`` and returns the exit code."""
    try:
        arguments = _parser().parse_args(args)
    except Usage as usage:
        lines_are_json = "--log-format=json" in args or ("--log-format", "json") in zip(args, args[1:])
        Output("--json" in args, False, 0, lines_are_json).error(str(usage))
        return usage.exit_code
    output = Output(arguments.json, arguments.quiet, arguments.verbose, arguments.log_format == "json")
    try:
        return _run(arguments, output, _stop_event(output))
    except Refusal as refusal:
        output.error(str(refusal))
        return refusal.exit_code
    except (OSError, relabel.StoreError) as error:
        output.error(str(error))
        return FAILED
    except MemoryError:
        output.error("not enough memory\n  help: use fewer --threads, or a smaller --shard-size in a new store")
        return FAILED
    except RuntimeError as error:
        if "start new thread" not in str(error):
            return _report_bug(output, error)
        output.error("cannot start threads\n  help: use fewer --threads, or raise the limit of processes (ulimit -u)")
        return FAILED
    except BaseException as error:  # a panic of the native module is not an Exception
        return _report_bug(output, error)


def _report_bug(output: Output, error: BaseException) -> int:
    """Prints what to report about a bug and returns the exit code."""
    frames = traceback.extract_tb(error.__traceback__)
    location = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "unknown location"
    output.error(
        f"internal error: {type(error).__name__}: {error} (relabel {relabel.__version__}, {location})\n  help: committed "
        "shards are kept, and the same command resumes; please report this line and the command"
    )
    return FAILED


def _run(arguments: argparse.Namespace, output: Output, stop: threading.Event) -> int:
    try:
        import torch  # noqa: F401 - both commands need it
    except ImportError as error:
        output.error(
            f"cannot import torch: {error}\n  help: this command reads and writes PyTorch files. Install PyTorch (pip install "
            "torch), or pass a different Python with --python"
        )
        return FAILED
    from . import exporting, importing

    command = importing.run if arguments.command == "import" else exporting.run
    return command(arguments, output, stop)


def _stop_event(output: Output) -> threading.Event:
    """Returns an event that Ctrl-C and SIGTERM set.

    The process exits :data:`GRACE_S` later, or at the second signal, even if the main thread is blocked: Python runs signal
    handlers only between two of its instructions.
    """
    stop = threading.Event()
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def watch() -> None:
        os.read(read_end, 1)
        stop.set()
        select.select([read_end], [], [], GRACE_S)
        # In a thread, because stderr may be a pipe that nobody reads any more.
        last = threading.Thread(target=output.error, args=("interrupted; finished work is kept",), daemon=True)
        last.start()
        last.join(0.3)
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, name="signals", daemon=True).start()
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    numbers = [signal.SIGINT, signal.SIGTERM]
    # `nohup` starts programs with SIGHUP ignored.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}\n  {' '.join(self.format_usage().split())}")


def _parser() -> argparse.ArgumentParser:
    logging = _Parser(add_help=False)
    logging.add_argument("--json", action="store_true")
    logging.add_argument("-q", "--quiet", action="store_true")
    logging.add_argument("-v", "--verbose", action="count", default=0)
    logging.add_argument("--log-format", choices=["text", "json"], default="text")
    parser = _Parser("python -m relabel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    importing = commands.add_parser("import", parents=[logging], help="create a store from published .pt files")
    importing.add_argument("folder", metavar="DIR")
    importing.add_argument("--out", required=True, metavar="STORE")
    importing.add_argument("--classes", metavar="LIST")
    importing.add_argument("--teacher-name", metavar="NAME")
    importing.add_argument("--map-size", type=_map_size, metavar="HxW")
    importing.add_argument("--orientation", choices=["auto", "yx", "xy"], default="auto")
    importing.add_argument("--rank-axis", choices=["auto", "first", "last"], default="auto")
    importing.add_argument("--reference", metavar="STORE")
    importing.add_argument("--shard-size", type=_up_to(MAX_SHARD_IMAGES), default=1024, metavar="N")
    importing.add_argument("--threads", type=_up_to(MAX_THREADS), default=default_threads(), metavar="N")

    exporting = commands.add_parser("export", parents=[logging], help="write published .pt files from a store")
    exporting.add_argument("store", metavar="STORE")
    exporting.add_argument("--out", required=True, metavar="DIR")
    exporting.add_argument("--format", choices=["pt"], default="pt")
    exporting.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    return parser


def _up_to(limit: int) -> Callable[[str], int]:
    """Returns a parser of whole numbers from 1 to ``limit``."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= limit):
            raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {limit}")
        return int(text)

    return number


def _map_size(text: str) -> tuple[int, int]:
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() and len(side) < 6 and 0 < int(side) < 65536 for side in sides):
        raise argparse.ArgumentTypeError(f"`{text}` is not a map size\n  help: write it as 15x15 (height x width, in cells)")
    return int(sides[0]), int(sides[1])
