"""Checks the label maps that a device computes. The results of each part are saved to target/bench/results.

    scripts/bench check --device cuda:0                # everything
    scripts/bench check golden refusals --device cuda:0
    scripts/bench check --device cpu --photographs 0   # test the checks without a GPU

golden      Lite0 in float32: the device computes the labels of the CPU
fp16        Lite0 in float16 on the device: within fixed bounds of float32 on the CPU
placement   Lite0's nodes run on the device; nodes of a test graph that cannot are reported
teachers    the nodes of all exported teachers run on the device
refusals    unusable CUDA is an error, and nothing is written
sessions    two sessions compute the labels of one
kill        a run that is killed and resumed leaves the bytes of an uninterrupted one

Exit codes: 0 all targets met, 1 a target missed or a check failed to run, 2 wrong usage.
"""

from __future__ import annotations

import subprocess
import time

from bench import machine
from bench.command import parser_of
from bench.gpu.check_device import placement, refusals, teachers
from bench.gpu.check_kill import kill
from bench.gpu.check_labels import Settings, fp16, golden, sessions
from bench.machine import Missing
from bench.programs import Failed
from bench.results import Report, Row, show

PARTS = {part.__name__: part for part in (golden, fp16, placement, refusals, sessions, kill, teachers)}


def check(part: str, settings: Settings) -> bool:
    """Runs one part, saves its rows and returns whether no target is missed."""
    began = time.monotonic()
    try:
        rows = PARTS[part](settings)
    except (Failed, Missing, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        what = f"the check `{part}` on {settings.device}"
        rows = [Row(what, "failed", "", "runs", False, f"{type(error).__name__}: {error}")]
    Report(f"check-{part}").replace(rows)
    print(f"{part} ({time.monotonic() - began:.1f} s)", flush=True)
    show(rows)
    return all(row.met is not False for row in rows)


def main(words: list[str]) -> int:
    parser = parser_of("check", __doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--device", default="cuda:0", metavar="D", help="as in `relabel run` (default: cuda:0)")
    photographs = "photographs of `scripts/bench photographs` to label in addition to the samples, if they exist (default: 400)"
    parser.add_argument("--photographs", type=int, default=400, metavar="N", help=photographs)
    parser.add_argument("--kills", type=int, default=4, metavar="N", help="number of kills in the part `kill` (default: 4)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed for the times of the kills")
    machine.add_programs(parser)
    arguments = parser.parse_args(words)
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: unknown check; expected {', '.join(PARTS)}")
    if arguments.photographs < 0 or arguments.kills < 1:
        parser.error("--photographs must be at least 0 and --kills at least 1")
    machine.choose_programs(arguments)
    settings = Settings(arguments.device, arguments.photographs, arguments.kills, arguments.seed)
    passed = [check(part, settings) for part in arguments.parts or PARTS]
    return 0 if all(passed) else 1
