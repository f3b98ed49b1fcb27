"""Checks that label maps made on a device are right: each part's figures are kept in target/gpu/results.

    python3 scripts/gpu/check.py --device cuda:0                # everything
    python3 scripts/gpu/check.py golden refusals --device cuda:0
    python3 scripts/gpu/check.py --device cpu --photographs 0   # the checks themselves, where there is no GPU

golden      Lite0 in float32: the device's labels are the processor's
fp16        Lite0 in float16 on the device: within stated bounds of float32 on the processor
placement   Lite0's nodes run on the device, and those of a made graph that cannot are named
teachers    the nodes of all teachers that were exported run on the device
refusals    CUDA that cannot be used is an error, and nothing is written
sessions    two sessions give the labels of one
kill        a run that is killed and gone on with leaves the bytes of an unbroken one

Exit codes: 0 all met, 1 something missed or could not be run, 2 wrong usage.
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
    """Runs one part, keeps its rows, and says whether all is well."""
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
    besides = "how many photographs of photos.py are labelled besides the samples, if they were made (default: 400)"
    parser.add_argument("--photographs", type=int, default=400, metavar="N", help=besides)
    parser.add_argument("--kills", type=int, default=4, metavar="N", help="how often `kill` kills (default: 4)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="for the moments of the kills")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such check; there are {', '.join(PARTS)}")
    if arguments.photographs < 0 or arguments.kills < 1:
        parser.error("--photographs must be at least 0 and --kills at least 1")
    settings = Settings(arguments.device, arguments.photographs, arguments.kills, arguments.seed)
    well = [check(part, settings) for part in arguments.parts or PARTS]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
