"""Prepares a machine for the GPU steps: builds the benchmark of the bare session if cargo is installed, and tests the device.

    scripts/bench setup --device cuda:0

The program and its libraries come from the wheel: pip install './relabel_maps-VERSION-….whl[cuda,torch]' zarr.
Exit codes: 0 the device works, 1 it does not (the last line is the reason), 2 wrong usage.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from bench import machine, programs
from bench.command import parser_of


def main(words: list[str]) -> int:
    parser = parser_of("setup", __doc__)
    parser.add_argument("--device", default="cuda:0", metavar="D", help="as in `relabel run` (default: cuda:0)")
    machine.add_programs(parser)
    chosen = parser.parse_args(words)
    machine.choose_programs(chosen)
    if "RELABEL_BARE" not in os.environ and shutil.which("cargo"):
        # If it fails, its errors are printed, and an earlier build serves.
        subprocess.run(["cargo", "bench", "--locked", "--bench", "bare", "--no-run"], cwd=machine.ROOT, check=False)
    try:
        print(f"setup: bare session: {machine.bare()}")
    except machine.NoBare as problem:
        print(f"setup: results that need the bare session will be skipped: {problem}", file=sys.stderr)
    programs.run(machine.relabel(), "teacher", machine.LITE0, "--device", chosen.device, limit_s=programs.LIMIT_S)
    print(f"setup: {chosen.device} works: {machine.relabel()} with ONNX Runtime {machine.library() or 'that it finds itself'}")
    return 0
