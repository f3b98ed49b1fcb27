"""Labels a data set on a Ray cluster, with one `relabel run` for each range of shards.

Arguments after `--` are passed to `relabel run`. Store, images and teacher must have the same paths on every machine. A
task that was killed, interrupted or failed is submitted again and resumes.

    python scripts/relabel_ray.py --tasks 8 --gpus-per-task 1 --cpus-per-task 8 -- \\
        --teacher /data/effnet-l2.onnx --in /data/train --out /data/labels --device cuda
    python scripts/relabel_ray.py --address auto --tasks 64 -- --teacher T.onnx --in train --out labels

Exit codes are those of `relabel`: 0 done, 1 failed, 2 wrong usage, 3 done but some images could not be labelled,
130 interrupted. Requires: pip install ray
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.actor import ActorHandle

DONE, FAILED, WRONG_USAGE, SOME_IMAGES_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
# Leftovers of a failed task, such as the lock of a lost machine, may take some time to disappear.
WAIT_BEFORE_RETRY_SECONDS = 10
WAIT_FOR_ACTOR_SECONDS = 5
WAIT_FOR_STOP_SECONDS = 120
POLL_SECONDS = 0.5
TAIL_BYTES = 2_000


@dataclass(frozen=True)
class Ending:
    """Exit code of a `relabel` process (negative: the signal that killed it) and its last line."""

    code: int
    message: str


@dataclass
class Task:
    """One range of shards."""

    index: int
    attempts: int = 0
    not_before: float = 0.0
    ending: Ending | None = None
    labeller: ActorHandle | None = None

    def is_over(self, retries: int) -> bool:
        if self.ending is None:
            return False
        return self.ending.code in (DONE, WRONG_USAGE, SOME_IMAGES_FAILED) or self.attempts > retries


def main() -> int:
    args = arguments()
    try:
        import ray
    except ImportError:
        say("Ray is not installed in this Python; run python -m pip install ray")
        return FAILED
    ray.init(address=args.address, log_to_driver=False, logging_level="warning")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    resources = {"num_cpus": args.cpus_per_task, "num_gpus": args.gpus_per_task}
    remote = ray.remote(Labeller).options(max_concurrency=2, **resources)
    command = [args.relabel, "run", *args.run]
    if "--threads" not in args.run:
        command += ["--threads", str(max(1, int(args.cpus_per_task)))]
    tasks = [Task(index) for index in range(args.tasks)]
    running: dict[ray.ObjectRef, Task] = {}

    def start(task: Task) -> ray.ObjectRef:
        task.labeller = remote.remote()
        return task.labeller.label.remote(command, task.index, args.tasks, os.getcwd())

    try:
        run_all(tasks, running, args, start)
    except KeyboardInterrupt:
        say("interrupted: asking the tasks to stop")
        stop(running)
        summary(tasks, args)
        return INTERRUPTED
    if any(task.ending and task.ending.code == WRONG_USAGE for task in tasks):
        # All tasks have the same arguments.
        stop(running)
    summary(tasks, args)
    codes = {task.ending.code for task in tasks if task.ending}
    if WRONG_USAGE in codes:
        return WRONG_USAGE
    if codes - {DONE, SOME_IMAGES_FAILED}:
        return FAILED
    return SOME_IMAGES_FAILED if SOME_IMAGES_FAILED in codes else DONE


def arguments() -> argparse.Namespace:
    about, _, examples = (__doc__ or "").partition("\n\n    ")
    parser = argparse.ArgumentParser(
        description=about,
        epilog=f"examples:\n    {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --tasks N [options] -- --teacher T.onnx --in SOURCE --out STORE [flags of relabel run]",
    )
    parser.add_argument("--tasks", type=int, required=True, metavar="N", help="number of ranges of shards; keep it when you resume")
    parser.add_argument("--gpus-per-task", type=float, default=0, metavar="G", help="GPUs per task (default: 0); add --device cuda after the --")
    parser.add_argument("--cpus-per-task", type=float, default=1, metavar="C", help="cores per task (default: 1); also sets --threads unless given")
    parser.add_argument("--retries", type=int, default=3, metavar="R", help="how often a task is submitted again (default: 3)")
    parser.add_argument("--address", help="address of the cluster, such as auto (default: RAY_ADDRESS, else a local Ray)")
    parser.add_argument("--relabel", default="relabel", metavar="PROGRAM", help="the program, at the same path on every machine (default: relabel)")
    parser.add_argument("--poll", type=float, default=10, metavar="SECONDS", help="interval of progress messages (default: 10)")
    parser.add_argument("run", nargs="*", metavar="-- ARGS", help="arguments of relabel run")
    args = parser.parse_args()
    if args.tasks < 1 or args.retries < 0:
        parser.error("--tasks must be at least 1, and --retries at least 0")
    if value_of(args.run, "--out") is None:
        parser.error("no store given: add --out STORE after the --")
    given = [flag for flag in ("--task-index", "--task-count", "--json") if value_of(args.run, flag) is not None]
    if given:
        parser.error(f"this script sets {given[0]}; use --tasks")
    args.relabel = shutil.which(args.relabel) or parser.error(f"--relabel {args.relabel}: program not found")
    args.relabel = str(Path(args.relabel).absolute())
    return args


def value_of(words: Sequence[str], flag: str) -> str | None:
    """Returns the value of `--flag value` or `--flag=value`, or None."""
    for index, word in enumerate(words):
        if word == flag:
            return words[index + 1] if index + 1 < len(words) else ""
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


class Labeller:
    """Actor with the cores and GPUs of one task. Labels one range of shards.

    It has two threads, so that it handles `stop` while `label` waits. (Polling a flag would not work: Ray reassigns the
    cores of a task that waits for Ray. And `ray.cancel` does not reach a task that waits for a process.)
    """

    def __init__(self) -> None:
        self.is_stopping = False

    def stop(self) -> None:
        self.is_stopping = True

    def label(self, command: Sequence[str], index: int, count: int, folder: str) -> Ending:
        """Runs one process until it ends or `stop` is called."""
        words = [*command, "--task-index", str(index), "--task-count", str(count)]
        # If Ray's worker dies, the kernel sends SIGTERM to the process, which would otherwise keep running with its lock.
        if shutil.which("setpriv"):
            words = ["setpriv", "--pdeathsig", "TERM", *words]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                if self.is_stopping:
                    process.terminate()
                    process.wait()
            length = errors.seek(0, os.SEEK_END)
            errors.seek(max(0, length - TAIL_BYTES))
            lines = errors.read().decode(errors="replace").strip().splitlines()
            return Ending(process.returncode, lines[-1] if lines else "no output")


def run_all(tasks: list[Task], running: dict, args: argparse.Namespace, start) -> None:
    """Runs until every task is over. Ray schedules the submitted tasks."""
    import ray

    next_report = time.monotonic() + args.poll
    while not all(task.is_over(args.retries) for task in tasks):
        waiting = [task for task in tasks if task not in running.values() and not task.is_over(args.retries)]
        for task in waiting:
            if time.monotonic() >= task.not_before:
                task.attempts += 1
                running[start(task)] = task
        ready = ray.wait(list(running), timeout=POLL_SECONDS)[0] if running else time.sleep(POLL_SECONDS) or []
        for reference in ready:
            task = running.pop(reference)
            task.ending = ending(reference)
            task.labeller = None  # Releases its cores and GPUs.
            task.not_before = time.monotonic() + WAIT_BEFORE_RETRY_SECONDS
            report_ending(task, args)
            if task.ending.code == WRONG_USAGE:
                return
        if time.monotonic() >= next_report:
            report_progress(tasks, running, args)
            next_report = time.monotonic() + args.poll


def ending(reference) -> Ending:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as problem:
        return Ending(-signal.SIGKILL, f"its worker died: {str(problem).splitlines()[0]}")


def stop(running: dict) -> None:
    """Sends SIGTERM to the processes and waits for their end. Committed shards are kept."""
    import ray

    stopping = {task.labeller.stop.remote(): task for task in running.values()}
    # An actor that does not answer has no machine yet, or lost it.
    for reference in ray.wait(list(stopping), num_returns=len(stopping), timeout=WAIT_FOR_ACTOR_SECONDS)[1] if stopping else []:
        ray.kill(stopping[reference].labeller)
    left = ray.wait(list(running), num_returns=len(running), timeout=WAIT_FOR_STOP_SECONDS)[1] if running else []
    for reference, task in running.items():
        if reference not in left:
            task.ending = ending(reference)
    if left:
        say(f"{len(left)} tasks did not stop within {WAIT_FOR_STOP_SECONDS} s; Ray will end them")


def report_ending(task: Task, args: argparse.Namespace) -> None:
    code = task.ending.code
    if code == DONE:
        say(f"task {task.index} is done")
    elif code == SOME_IMAGES_FAILED:
        say(f"task {task.index} is done, but some of its images could not be labelled")
    else:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        after = "giving up" if task.is_over(args.retries) else f"retrying in {WAIT_BEFORE_RETRY_SECONDS} s"
        say(f"task {task.index} {how}, attempt {task.attempts} of {args.retries + 1}, {after}: {task.ending.message}")


def report_progress(tasks: list[Task], running: dict, args: argparse.Namespace) -> None:
    over = sum(task.is_over(args.retries) for task in tasks)
    counts = f"{over} of {len(tasks)} tasks over"
    status = store_status(args)
    if status is None:
        say(f"no store yet, {counts}")
        return
    say(
        f"{status['labelled'] + status['failed']:,} of {status['images']:,} images, {status['failed']:,} failed,"
        f" {status['shards_done']:,} of {status['shards_total']:,} shards, {counts}"
    )


def summary(tasks: list[Task], args: argparse.Namespace) -> None:
    report_progress(tasks, {}, args)
    again = sum(max(0, task.attempts - 1) for task in tasks)
    bad = [task.index for task in tasks if not task.ending or task.ending.code not in (DONE, SOME_IMAGES_FAILED)]
    if again:
        say(f"{again} retries")
    if bad:
        say(f"not done: tasks {', '.join(map(str, bad))}. The same command resumes")


def store_status(args: argparse.Namespace) -> dict | None:
    """Returns the document of `relabel status`, or None if there is no store yet."""
    command = [args.relabel, "status", value_of(args.run, "--out") or "", "--json"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return json.loads(finished.stdout) if finished.returncode in (DONE, SOME_IMAGES_FAILED) else None


def say(text: str) -> None:
    print(f"relabel_ray: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
