"""Messages about the tasks and the store."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from ..console import DONE, DONE_WITH_PROBLEMS, WRONG_USAGE, Output
from .arguments import Options
from .tasks import Ending, Task, exit_code


class Progress:
    """Prints how tasks ended and, from time to time, how much of the store is done."""

    def __init__(self, options: Options, output: Output) -> None:
        self._options, self._output = options, output
        self._next_report = time.monotonic() + options.poll

    def ended(self, task: Task, ending: Ending) -> None:
        """Prints how an attempt ended, and what follows."""
        if ending.code == DONE:
            self._output.info(f"task {task.index} is done")
            return
        if ending.code == DONE_WITH_PROBLEMS:
            self._output.info(f"task {task.index} is done, but some of its images could not be labelled")
            return
        how = f"was killed by signal {-ending.code}" if ending.code < 0 else f"ended with {ending.code}"
        options = self._options
        after = "giving up" if task.is_over(options.retries) else f"retrying in {options.retry_after:g} s"
        self._output.info(
            f"task {task.index} {how}, attempt {task.attempts} of {options.retries + 1}, {after}: {ending.message}"
        )

    def report_if_due(self, tasks: Sequence[Task]) -> None:
        """Prints the state of the store if the last report is older than ``--poll``."""
        if time.monotonic() >= self._next_report:
            self._report(tasks)
            self._next_report = time.monotonic() + self._options.poll

    def summary(self, tasks: Sequence[Task]) -> None:
        """Prints the state of the store, the number of retries and the tasks that are not done."""
        self._report(tasks)
        retries = sum(max(0, task.attempts - 1) for task in tasks)
        not_done = [str(task.index) for task in tasks if not task.is_done]
        if retries:
            self._output.info(f"retries: {retries}")
        if not_done:
            help_line = "correct the arguments" if exit_code(tasks) == WRONG_USAGE else "the same command resumes"
            self._output.info(f"tasks that are not done: {', '.join(not_done)}\n  help: {help_line}")

    def _report(self, tasks: Sequence[Task]) -> None:
        over = sum(task.is_over(self._options.retries) for task in tasks)
        counts = f"{over} of {len(tasks)} tasks over"
        status = self._store_status()
        if status is None:
            self._output.info(f"no store yet, {counts}")
            return
        self._output.info(
            f"{status['labelled'] + status['failed']:,} of {status['images']:,} images, {status['failed']:,} failed,"
            f" {status['shards_done']:,} of {status['shards_total']:,} shards, {counts}"
        )

    def _store_status(self) -> dict[str, Any] | None:
        """Returns the document of ``relabel status``, or None if the store does not exist yet."""
        command = [str(self._options.program), "status", self._options.store, "--json"]
        finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if finished.returncode not in (DONE, DONE_WITH_PROBLEMS):
            return None
        document: dict[str, Any] = json.loads(finished.stdout)
        return document
