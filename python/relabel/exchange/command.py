"""The two commands: what may be typed, signals, exit codes. The same words as those of the program ``relabel``."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType

import relabel
from relabel.labels import default_threads

from .output import FAILED, INTERRUPTED, Output, Refusal


def main(words: Sequence[str]) -> int:
    """Runs ``import`` or ``export``; gives the exit code."""
    arguments = _parser().parse_args(words)
    output = Output(arguments.json, arguments.quiet, arguments.verbose, arguments.log_format == "json")
    stop = _stop_event()
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
    try:
        return command(arguments, output, stop)
    except Refusal as refusal:
        output.error(str(refusal))
        return refusal.exit_code
    except (OSError, relabel.StoreError) as error:
        output.error(str(error))
        return FAILED


def _stop_event() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set; the second Ctrl-C ends the program at once."""
    stop = threading.Event()

    def wish(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            os._exit(INTERRUPTED)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, wish)
    return stop


def _parser() -> argparse.ArgumentParser:
    said = argparse.ArgumentParser(add_help=False)
    said.add_argument("--json", action="store_true")
    said.add_argument("-q", "--quiet", action="store_true")
    said.add_argument("-v", "--verbose", action="count", default=0)
    said.add_argument("--log-format", choices=["text", "json"], default="text")
    parser = argparse.ArgumentParser("python -m relabel", description=__doc__)
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
    importing.add_argument("--shard-size", type=_positive, default=1024, metavar="N")
    importing.add_argument("--threads", type=_positive, default=default_threads(), metavar="N")

    exporting = commands.add_parser("export", parents=[said], help="published .pt files from a store")
    exporting.add_argument("store", metavar="STORE")
    exporting.add_argument("--out", required=True, metavar="DIR")
    exporting.add_argument("--format", choices=["pt"], default="pt")
    exporting.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number of at least 1 is needed")
    return int(text)


def _map_size(text: str) -> tuple[int, int]:
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"`{text}` is no map size: write 15x15 (height x width, in cells)")
    return int(sides[0]), int(sides[1])

