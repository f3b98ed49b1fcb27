"""Runs the program repeatedly under load and detects a run that hangs.

    python3 tests/python/watchdog.py --program FILE [--runs 200] [--load 8] [--still-s 60]

Two sessions on one device once seemed to hang when memory was short. Each run labels a few photographs with
`--device cpu,cpu` into a new store. If one does not end in time, the stacks of all its threads are printed (by gdb if it is
installed, otherwise from /proc) and the exit code is 1.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = ROOT / "tests/data/golden/images"
TEACHER = ROOT / "models/efficientnet-lite0.onnx"

# Keeps a core busy and copies 64 MiB repeatedly while its parent lives.
LOAD = "import os\nparent = os.getppid()\nmemory = bytearray(64 << 20)\nwhile os.getppid() == parent:\n    memory = bytearray(memory)\n"


def stacks(process: int) -> str:
    """Returns the stacks of all threads of a process."""
    if gdb := shutil.which("gdb"):
        command = [gdb, "-p", str(process), "-batch", "-ex", "thread apply all backtrace"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    threads = []
    for thread in sorted(Path(f"/proc/{process}/task").iterdir()):
        lines = [f"thread {thread.name}"]
        for name in ("comm", "wchan", "syscall", "stack"):
            try:
                lines.append(f"{name}: {(thread / name).read_text().strip()}")
            except OSError as error:
                lines.append(f"{name}: {error}")
        threads.append("\n  ".join(lines))
    return "\n".join(threads)


def run_once(program: Path, folder: Path, number: int, still_s: float) -> bool:
    """Runs the program once. Returns whether it ended in time with an expected exit code."""
    args = ["run", "--teacher", TEACHER, "--in", PHOTOGRAPHS, "--out", folder / str(number)]
    args += ["--device", "cpu,cpu", "--input-size", "64", "--batch", "2", "--shard-size", "8", "--quiet"]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([program, *map(str, args)], stdout=subprocess.DEVNULL, stderr=errors)
        try:
            code = process.wait(timeout=still_s)
        except subprocess.TimeoutExpired:
            print(f"run {number} hangs after {still_s:.0f} s\n{stacks(process.pid)}", flush=True)
            process.kill()
            process.wait()
            return False
        # 3: some of the sample files are damaged on purpose.
        if code not in (0, 3):
            errors.seek(0)
            print(f"run {number} ended with {code}: {errors.read()}", flush=True)
        return code in (0, 3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--load", type=int, default=8, help="number of processes that generate load")
    parser.add_argument("--still-s", type=float, default=60.0, help="seconds after which a run counts as hanging")
    options = parser.parse_args()

    load = [subprocess.Popen([sys.executable, "-c", LOAD]) for _ in range(options.load)]
    started, slowest_s, bad = time.monotonic(), 0.0, 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(options.runs):
                before = time.monotonic()
                bad += not run_once(options.program, Path(folder), number, options.still_s)
                slowest_s = max(slowest_s, time.monotonic() - before)
    finally:
        for process in load:
            process.kill()
    elapsed_s = time.monotonic() - started
    print(f"{options.runs} runs beside {options.load} processes in {elapsed_s:.0f} s, the slowest {slowest_s:.1f} s, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
