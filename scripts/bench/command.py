"""The commands of `scripts/bench`.

    .venv/bin/python scripts/bench [--quick] [--only a,c]      # the parts of `make bench`
    .venv/bin/python scripts/bench gpu [--quick] [STEP ...]    # the checks and measurements on a GPU
    .venv/bin/python scripts/bench COMMAND --help

Parts and steps run the other commands in processes of their own. Each can also be run by itself.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from bench import machine, programs

# Module and purpose of every command. Modules are imported when they run: PyTorch takes seconds to load.
COMMANDS = {
    "cpu": ("bench.cpu.command", "parts a to j (the default)"),
    "gpu": ("bench.gpu.steps", "all steps on a GPU, or some of them"),
    "setup": ("bench.gpu.setup", "build what the GPU steps need, and test the device"),
    "photographs": ("bench.gpu.photographs", "make the input of the GPU steps"),
    "teachers": ("bench.gpu.teachers", "export the teachers of the GPU steps"),
    "check": ("bench.gpu.check", "check the label maps of a device"),
    "measure": ("bench.gpu.measure", "measure one part on a device"),
    "table": ("bench.gpu.table", "print the results of the GPU steps"),
    "ceiling": ("bench.gpu.ceiling", "measure the peak rates of a device"),
    "peer": ("bench.peer.command", "label in Python: with ONNX Runtime, or with PyTorch"),
    "training": ("bench.cpu.training_programs", "a measurement of training"),
    "page": ("bench.cpu.page", "measure a page of `relabel report` in Chromium"),
    "remote": ("bench.cpu.remote", "measure reading over HTTP"),
}


def main(words: list[str]) -> int:
    """Runs a command with its arguments, and returns the exit code."""
    name = words[0] if words and not words[0].startswith("-") else "cpu"
    if name not in COMMANDS:
        print(f"bench: unknown command {name}; expected {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    rest = words[1:] if words[:1] == [name] else words
    try:
        code: int = importlib.import_module(COMMANDS[name][0]).main(rest)
    except (programs.Failed, machine.Missing) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    return code


def command_of(name: str, *words: object) -> list[str]:
    """Returns the command line that runs a command with this Python."""
    return [sys.executable, str(Path(__file__).resolve().parent), name, *map(str, words)]


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """Returns a parser for the arguments of a command, whose help is the documentation of its module."""
    shown = "" if name == "cpu" else f" {name}"
    others = "\n".join(f"  {other:<13} {purpose}" for other, (_, purpose) in COMMANDS.items())
    return argparse.ArgumentParser(
        prog=f"scripts/bench{shown}",
        description=description,
        epilog=f"commands:\n{others}" if name == "cpu" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
