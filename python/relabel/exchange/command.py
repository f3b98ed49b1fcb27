"""The two commands: what may be typed, signals, exit codes. The same words as those of the program ``relabel``."""

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
"""How long a command may take to end in its own way after a signal."""

MOST_THREADS = 1024
MOST_SHARD_IMAGES = 1 << 20


def main(words: Sequence[str]) -> int:
    """Runs ``import`` or ``export``; gives the exit code."""
    try:
        arguments = _parser().parse_args(words)
    except Usage as usage:
        lines_are_json = "--log-format=json" in words or ("--log-format", "json") in zip(words, words[1:])
        Output("--json" in words, False, 0, lines_are_json).error(str(usage))
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
        output.error("the memory is too small for this\n  help: give fewer --threads, or a smaller --shard-size in a new store")
        return FAILED
    except RuntimeError as error:
        if "start new thread" not in str(error):
            return _report(output, error)
        output.error("cannot start threads\n  help: give fewer --threads, or raise the limit of processes (ulimit -u)")
        return FAILED
    except BaseException as error:  # a panic of the native module is no Exception
        return _report(output, error)


def _report(output: Output, error: BaseException) -> int:
    """Says what to report of a fault of this program; gives the exit code."""
    where = traceback.extract_tb(error.__traceback__)
    place = f"{os.path.basename(where[-1].filename)}:{where[-1].lineno}" if where else "an unknown place"
    output.error(
        f"stopped by a fault of the program: {type(error).__name__}: {error} (relabel {relabel.__version__}, {place})\n  help: what "
        "was committed is kept, and the same command resumes. Please report this line and the command"
    )
    return FAILED


def _run(arguments: argparse.Namespace, output: Output, stop: threading.Event) -> int:
    try:
        import torch  # noqa: F401 - everything below needs it
    except ImportError as error:
        output.error(
            f"this command reads and writes PyTorch's files, and this Python cannot import torch ({error}). Install it "
            "(pip install torch), or name another Python with --python"
        )
        return FAILED
    from . import exporting, importing

    command = importing.run if arguments.command == "import" else exporting.run
    return command(arguments, output, stop)


def _stop_event(output: Output) -> threading.Event:
    """An event that Ctrl-C and SIGTERM set. :data:`GRACE_S` later, or at the second signal, the program ends, whatever it does:
    the main thread hears of a signal only between two steps of Python."""
    stop = threading.Event()
    heard, hears = os.pipe()
    os.set_blocking(hears, False)

    def watch() -> None:
        os.read(heard, 1)
        stop.set()
        select.select([heard], [], [], GRACE_S)
        # Whoever reads the last words may have stopped reading.
        last = threading.Thread(target=output.error, args=("interrupted; what was finished so far is kept",), daemon=True)
        last.start()
        last.join(0.3)
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, name="signals", daemon=True).start()
    signal.set_wakeup_fd(hears, warn_on_full_buffer=False)
    numbers = [signal.SIGINT, signal.SIGTERM]
    # `nohup` has it ignored, and means it.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}\n  {' '.join(self.format_usage().split())}")


def _parser() -> argparse.ArgumentParser:
    said = _Parser(add_help=False)
    said.add_argument("--json", action="store_true")
    said.add_argument("-q", "--quiet", action="store_true")
    said.add_argument("-v", "--verbose", action="count", default=0)
    said.add_argument("--log-format", choices=["text", "json"], default="text")
    parser = _Parser("python -m relabel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    importing = commands.add_parser("import", parents=[said], help="a store from published .pt files")
    importing.add_argument("folder", metavar="DIR")
    importing.add_argument("--out", required=True, metavar="STORE")
    importing.add_argument("--classes", metavar="LIST")
    importing.add_argument("--teacher-name", metavar="NAME")
    importing.add_argument("--map-size", type=_map_size, metavar="HxW")
    importing.add_argument("--orientation", choices=["auto", "yx", "xy"], default="auto")
    importing.add_argument("--rank-axis", choices=["auto", "first", "last"], default="auto")
    importing.add_argument("--reference", metavar="STORE")
    importing.add_argument("--shard-size", type=_up_to(MOST_SHARD_IMAGES), default=1024, metavar="N")
    importing.add_argument("--threads", type=_up_to(MOST_THREADS), default=default_threads(), metavar="N")

    exporting = commands.add_parser("export", parents=[said], help="published .pt files from a store")
    exporting.add_argument("store", metavar="STORE")
    exporting.add_argument("--out", required=True, metavar="DIR")
    exporting.add_argument("--format", choices=["pt"], default="pt")
    exporting.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    return parser


def _up_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"a whole number from 1 to {most} is needed")
        return int(text)

    return number


def _map_size(text: str) -> tuple[int, int]:
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() and len(side) < 6 and 0 < int(side) < 65536 for side in sides):
        raise argparse.ArgumentTypeError(f"`{text}` is no map size: write 15x15 (height x width, in cells)")
    return int(sides[0]), int(sides[1])

