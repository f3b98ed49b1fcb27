"""Checks the label maps that a device computes. The results of each part are saved to target/gpu/results.

    python3 scripts/gpu/check.py --device cuda:0                # everything
    python3 scripts/gpu/check.py golden refusals --device cuda:0
    python3 scripts/gpu/check.py --device cpu --photographs 0   # test the checks without a GPU

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

import argparse
import subprocess
import sys
import time

import results
from check_device import placement, refusals, teachers
from check_kill import kill
from check_labels import Settings, fp16, golden, sessions
from machine import Missing
from programs import Failed
from results import Row

PARTS = {part.__name__: part for part in (golden, fp16, placement, refusals, sessions, kill, teachers)}


def check(part: str, settings: Settings) -> bool:
    """Runs one part, saves its rows and returns whether no target is missed."""
    began = time.monotonic()
    try:
        rows = PARTS[part](settings)
    except (Failed, Missing, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        what = f"the check `{part}` on {settings.device}"
        rows = [Row(what, "failed", "", "runs", False, f"{type(error).__name__}: {error}")]
    results.save(f"check-{part}", rows)
    print(f"{part} ({time.monotonic() - began:.1f} s)", flush=True)
    results.show(rows)
    return all(row.met is not False for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--device", default="cuda:0", metavar="D", help="as in `relabel run` (default: cuda:0)")
    photographs = "photographs of photos.py to label in addition to the samples, if they exist (default: 400)"
    parser.add_argument("--photographs", type=int, default=400, metavar="N", help=photographs)
    parser.add_argument("--kills", type=int, default=4, metavar="N", help="number of kills in the part `kill` (default: 4)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed for the times of the kills")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: unknown check; expected {', '.join(PARTS)}")
    if arguments.photographs < 0 or arguments.kills < 1:
        parser.error("--photographs must be at least 0 and --kills at least 1")
    settings = Settings(arguments.device, arguments.photographs, arguments.kills, arguments.seed)
    passed = [check(part, settings) for part in arguments.parts or PARTS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
