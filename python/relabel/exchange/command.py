"""The commands ``import`` and ``export``: their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from relabel.command_line import Parser, Signals, global_flags, run_command
from relabel.console import Output, Refusal
from relabel.labels import default_threads

MAX_THREADS = 1024
MAX_SHARD_IMAGES = 1 << 20


def main(args: Sequence[str]) -> int:
    """Runs ``import`` or ``export`` and returns the exit code."""
    return run_command(
        args,
        _parser(),
        _run,
        if_memory_is_short="use fewer --threads, or a smaller --shard-size in a new store",
        if_bug="committed shards are kept, and the same command resumes",
    )


def _run(arguments: argparse.Namespace, output: Output) -> int:
    with Signals(output, "interrupted; finished work is kept") as signals:
        if arguments.command == "export" and arguments.format == "multilabel-tsv":
            from . import multilabel

            return multilabel.run(arguments, output, signals.stop)
        try:
            import torch  # noqa: F401 - `.pt` files need it
        except ImportError as error:
            raise Refusal(
                f"cannot import torch: {error}\n  help: this command reads and writes PyTorch files. Install PyTorch (pip install "
                "torch), or pass a different Python with --python"
            ) from error
        from . import exporting, importing

        command = importing.run if arguments.command == "import" else exporting.run
        return command(arguments, output, signals.stop)


def _parser() -> Parser:
    shared = global_flags()
    parser = Parser("python -m relabel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    importing = commands.add_parser("import", parents=[shared], help="create a store from published .pt files")
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

    exporting = commands.add_parser("export", parents=[shared], help="write published .pt files or a multi-label set from a store")
    exporting.add_argument("store", metavar="STORE")
    exporting.add_argument("--out", required=True, metavar="PATH")
    exporting.add_argument("--format", choices=["pt", "multilabel-tsv"], default="pt")
    exporting.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    exporting.add_argument("--masks", metavar="PATH")
    exporting.add_argument("--min-prob", type=_probability, default=0.0, metavar="P")
    exporting.add_argument("--folder-class", action="store_true")
    return parser


def _up_to(limit: int) -> Callable[[str], int]:
    """Returns a parser of whole numbers from 1 to ``limit``."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) <= limit):
            raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {limit}")
        return int(text)

    return number


def _probability(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a probability\n  help: pass a number from 0 to 1")
    return number


def _map_size(text: str) -> tuple[int, int]:
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() and len(side) < 6 and 0 < int(side) < 65536 for side in sides):
        raise argparse.ArgumentTypeError(f"`{text}` is not a map size\n  help: write it as 15x15 (height x width, in cells)")
    return int(sides[0]), int(sides[1])
