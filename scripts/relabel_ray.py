"""Labels a data set with the machines of a Ray cluster: one `relabel run` for each range of shards.

What stands after `--` goes to `relabel run` as it is. Store, images and teacher must lie at the same paths on every
machine. A task that was killed, interrupted or failed is given to Ray again, and goes on where it was.

    python scripts/relabel_ray.py --tasks 8 --gpus-per-task 1 --cpus-per-task 8 -- \\
        --teacher /data/effnet-l2.onnx --in /data/train --out /data/labels --device cuda
    python scripts/relabel_ray.py --address auto --tasks 64 -- --teacher T.onnx --in train --out labels

Exit codes are those of `relabel`: 0 done, 1 failed, 2 wrong usage, 3 done but some images could not be labelled,
130 interrupted. It needs: pip install ray
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
# What a failed task left, such as the lock of a machine that is gone, may need some time to go away.
WAIT_BEFORE_RETRY_SECONDS = 10
WAIT_FOR_HEARING_SECONDS = 5
WAIT_FOR_STOP_SECONDS = 120
POLL_SECONDS = 0.5
TAIL_BYTES = 2_000


@dataclass(frozen=True)
class Ending:
    """How a process of `relabel` ended. Below 0: the number of the signal that killed it."""

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
    wish = arguments()
    try:
        import ray
    except ImportError:
        say("Ray is missing in this Python; python -m pip install ray")
        return FAILED
    ray.init(address=wish.address, log_to_driver=False, logging_level="warning")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = {"num_cpus": wish.cpus_per_task, "num_gpus": wish.gpus_per_task}
    remote = ray.remote(Labeller).options(max_concurrency=2, **place)
    command = [wish.relabel, "run", *wish.run]
    if "--threads" not in wish.run:
        command += ["--threads", str(max(1, int(wish.cpus_per_task)))]
    tasks = [Task(index) for index in range(wish.tasks)]
    running: dict[ray.ObjectRef, Task] = {}

    def start(task: Task) -> ray.ObjectRef:
        task.labeller = remote.remote()
        return task.labeller.label.remote(command, task.index, wish.tasks, os.getcwd())

    try:
        work_off(tasks, running, wish, start)
    except KeyboardInterrupt:
        say("interrupted: asking the tasks to stop")
        stop(running)
        summary(tasks, wish)
        return INTERRUPTED
    if any(task.ending and task.ending.code == WRONG_USAGE for task in tasks):
        # All tasks have the same flags.
        stop(running)
    summary(tasks, wish)
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
    parser.add_argument("--tasks", type=int, required=True, metavar="N", help="ranges of shards; the same number each time")
    parser.add_argument("--gpus-per-task", type=float, default=0, metavar="G", help="default: 0; add --device cuda after the --")
    parser.add_argument("--cpus-per-task", type=float, default=1, metavar="C", help="default: 1; also --threads, unless that is given")
    parser.add_argument("--retries", type=int, default=3, metavar="R", help="how often a task is given again; default: 3")
    parser.add_argument("--address", help="the cluster, e.g. auto; default: RAY_ADDRESS, or a Ray of this machine alone")
    parser.add_argument("--relabel", default="relabel", metavar="PROGRAM", help="at the same path on every machine; default: relabel")
    parser.add_argument("--poll", type=float, default=10, metavar="SECONDS", help="how often progress is said; default: 10")
    parser.add_argument("run", nargs="*", metavar="-- FLAGS", help="flags of relabel run")
    wish = parser.parse_args()
    if wish.tasks < 1 or wish.retries < 0:
        parser.error("--tasks must be at least 1, and --retries at least 0")
    if value_of(wish.run, "--out") is None:
        parser.error("name the store: --out STORE after the --")
    given = [flag for flag in ("--task-index", "--task-count", "--json") if value_of(wish.run, flag) is not None]
    if given:
        parser.error(f"{given[0]} is given by this script; use --tasks")
    wish.relabel = shutil.which(wish.relabel) or parser.error(f"--relabel {wish.relabel}: there is no such program")
    wish.relabel = str(Path(wish.relabel).absolute())
    return wish


def value_of(words: Sequence[str], flag: str) -> str | None:
    """The value of `--flag value` or `--flag=value`."""
    for index, word in enumerate(words):
        if word == flag:
            return words[index + 1] if index + 1 < len(words) else ""
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None


class Labeller:
    """Lives on a machine of the cluster with the cores and GPUs of one task, and labels one range of shards.

    It has two threads, so that `stop` is heard while `label` waits. (A task that asked a flag would not do: each time
    a task waits for Ray, Ray gives its cores away. And `ray.cancel` did not reach a task that waits for a process.)
    """

    def __init__(self) -> None:
        self.is_stopping = False

    def stop(self) -> None:
        self.is_stopping = True

    def label(self, command: Sequence[str], index: int, count: int, folder: str) -> Ending:
        """Runs one process, until it ends or is to stop."""
        words = [*command, "--task-index", str(index), "--task-count", str(count)]
        # If Ray's worker dies, the process must not go on alone and keep its lock: the kernel then sends it SIGTERM.
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
            return Ending(process.returncode, lines[-1] if lines else "it said nothing")


def work_off(tasks: list[Task], running: dict, wish: argparse.Namespace, start) -> None:
    """Until every task is over. Ray decides which of those that were handed over run at a time."""
    import ray

    next_report = time.monotonic() + wish.poll
    while not all(task.is_over(wish.retries) for task in tasks):
        waiting = [task for task in tasks if task not in running.values() and not task.is_over(wish.retries)]
        for task in waiting:
            if time.monotonic() >= task.not_before:
                task.attempts += 1
                running[start(task)] = task
        ready = ray.wait(list(running), timeout=POLL_SECONDS)[0] if running else time.sleep(POLL_SECONDS) or []
        for reference in ready:
            task = running.pop(reference)
            task.ending = ending(reference)
            task.labeller = None  # Which gives its cores and GPUs back.
            task.not_before = time.monotonic() + WAIT_BEFORE_RETRY_SECONDS
            report_ending(task, wish)
            if task.ending.code == WRONG_USAGE:
                return
        if time.monotonic() >= next_report:
            report_progress(tasks, running, wish)
            next_report = time.monotonic() + wish.poll


def ending(reference) -> Ending:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as problem:
        return Ending(-signal.SIGKILL, f"its worker is gone: {str(problem).splitlines()[0]}")


def stop(running: dict) -> None:
    """SIGTERM to the processes, and waits until they have ended: each keeps the shards that it has committed."""
    import ray

    heard = {task.labeller.stop.remote(): task for task in running.values()}
    # Who does not hear has no machine yet, or lost it.
    for reference in ray.wait(list(heard), num_returns=len(heard), timeout=WAIT_FOR_HEARING_SECONDS)[1] if heard else []:
        ray.kill(heard[reference].labeller)
    left = ray.wait(list(running), num_returns=len(running), timeout=WAIT_FOR_STOP_SECONDS)[1] if running else []
    for reference, task in running.items():
        if reference not in left:
            task.ending = ending(reference)
    if left:
        say(f"{len(left)} tasks did not stop within {WAIT_FOR_STOP_SECONDS} s; leaving them to Ray")


def report_ending(task: Task, wish: argparse.Namespace) -> None:
    code = task.ending.code
    if code == DONE:
        say(f"task {task.index} is done")
    elif code == SOME_IMAGES_FAILED:
        say(f"task {task.index} is done, but some of its images could not be labelled")
    else:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        after = "not tried again" if task.is_over(wish.retries) else f"tried again in {WAIT_BEFORE_RETRY_SECONDS} s"
        say(f"task {task.index} {how}, attempt {task.attempts} of {wish.retries + 1}, {after}: {task.ending.message}")


def report_progress(tasks: list[Task], running: dict, wish: argparse.Namespace) -> None:
    over = sum(task.is_over(wish.retries) for task in tasks)
    counts = f"{over} of {len(tasks)} tasks over"
    status = store_status(wish)
    if status is None:
        say(f"no store yet, {counts}")
        return
    say(
        f"{status['labelled'] + status['failed']:,} of {status['images']:,} images, {status['failed']:,} failed,"
        f" {status['shards_done']:,} of {status['shards_total']:,} shards, {counts}"
    )


def summary(tasks: list[Task], wish: argparse.Namespace) -> None:
    report_progress(tasks, {}, wish)
    again = sum(max(0, task.attempts - 1) for task in tasks)
    bad = [task.index for task in tasks if not task.ending or task.ending.code not in (DONE, SOME_IMAGES_FAILED)]
    if again:
        say(f"{again} attempts were repeated")
    if bad:
        say(f"not done: tasks {', '.join(map(str, bad))}. The same command goes on where this one ended")


def store_status(wish: argparse.Namespace) -> dict | None:
    """What `relabel status` reads from the records; None while there is no store."""
    command = [wish.relabel, "status", value_of(wish.run, "--out") or "", "--json"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return json.loads(finished.stdout) if finished.returncode in (DONE, SOME_IMAGES_FAILED) else None


def say(text: str) -> None:
    print(f"relabel_ray: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
