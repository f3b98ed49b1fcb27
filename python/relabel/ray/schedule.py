"""Runs the tasks on Ray. The only module that imports it."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import ray

# A folder called `ray` can be imported, too, but has no such member.
from ray import cloudpickle

from ..console import WRONG_USAGE, Output, Refusal
from . import labeller
from .arguments import Options
from .progress import Progress
from .tasks import Ending, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

POLL_SECONDS = 0.5
WAIT_FOR_ACTOR_SECONDS = 5
WAIT_FOR_STOP_SECONDS = 120


def connect(address: str | None) -> None:
    """Connects to a cluster, or starts Ray on this machine.

    Raises:
        Refusal: If that fails.
    """
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise Refusal(
            f"cannot connect to Ray: {error}\n  help: check --address and RAY_ADDRESS; without them, Ray is started on this "
            "machine"
        ) from error


class Schedule:
    """The tasks, and the actors that run them."""

    def __init__(self, options: Options, output: Output) -> None:
        self.tasks = [Task(index) for index in range(options.tasks)]
        self._options, self._output = options, output
        self._progress = Progress(options, output)
        self._running: dict[Any, tuple[Task, Any]] = {}
        """Task and actor of each result that is awaited."""
        # By value, so that machines without this package can label.
        copy_to_machines: Any = cloudpickle.register_pickle_by_value  # has no type annotations
        copy_to_machines(labeller)
        actor: Any = ray.remote(labeller.Labeller)
        self._actor = actor.options(max_concurrency=2, num_cpus=options.cpus_per_task, num_gpus=options.gpus_per_task)

    def run(self) -> None:
        """Runs until every task is over, or one shows that the arguments, which all share, are wrong."""
        while not all(task.is_over(self._options.retries) for task in self.tasks):
            self._start_waiting()
            for result in self._ended():
                task, _ = self._running.pop(result)  # Dropping the actor releases its cores and GPUs.
                task.ending = _ending(result)
                task.not_before = time.monotonic() + self._options.retry_after
                self._progress.ended(task, task.ending)
                if task.ending.code == WRONG_USAGE:
                    self.stop()
                    return
            self._progress.report_if_due(self.tasks)

    def stop(self) -> None:
        """Sends SIGTERM to the processes and waits for their end. Committed shards are kept."""
        actors = {actor.stop.remote(): actor for _, actor in self._running.values()}
        # An actor that does not answer has no machine yet, or lost it.
        for answer in _wait(list(actors), WAIT_FOR_ACTOR_SECONDS):
            ray.kill(actors[answer])
        left = _wait(list(self._running), WAIT_FOR_STOP_SECONDS)
        for result, (task, _) in self._running.items():
            if result not in left:
                task.ending = _ending(result)
        if left:
            self._output.info(f"{len(left)} tasks did not stop within {WAIT_FOR_STOP_SECONDS} s; Ray will end them")
        self._running.clear()

    def summary(self) -> None:
        """Prints what is done and what is not."""
        self._progress.summary(self.tasks)

    def _start_waiting(self) -> None:
        """Submits the tasks whose next attempt is due. Ray starts them once there are free cores and GPUs."""
        submitted = {task.index for task, _ in self._running.values()}
        for task in self.tasks:
            if task.index in submitted or task.is_over(self._options.retries) or time.monotonic() < task.not_before:
                continue
            task.attempts += 1
            actor = self._actor.remote()
            result = actor.label.remote(self._options.command(), task.index, self._options.tasks, os.getcwd())
            self._running[result] = (task, actor)

    def _ended(self) -> Sequence[Any]:
        """Waits a moment and returns the results that arrived."""
        if not self._running:
            time.sleep(POLL_SECONDS)
            return []
        arrived: list[Any] = ray.wait(list(self._running), timeout=POLL_SECONDS)[0]
        return arrived


def _wait(results: list[Any], seconds: float) -> list[Any]:
    """Waits for all results and returns those that did not arrive in time."""
    if not results:
        return []
    missing: list[Any] = ray.wait(results, num_returns=len(results), timeout=seconds)[1]
    return missing


def _ending(result: Any) -> Ending:
    try:
        code, message = ray.get(result)
    except ray.exceptions.RayError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        return Ending(-signal.SIGKILL, f"its worker died: {lines[0]}")
    return Ending(code, message)
