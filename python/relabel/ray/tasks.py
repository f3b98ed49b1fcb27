"""The tasks, how each ended, and what that means for the complete run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..console import DONE, DONE_WITH_PROBLEMS, FAILED, WRONG_USAGE


@dataclass(frozen=True)
class Ending:
    """How one attempt ended."""

    code: int
    """Exit code of ``relabel run``; negative: the signal that killed it."""
    message: str
    """Its last message."""


@dataclass
class Task:
    """One range of shards."""

    index: int
    attempts: int = 0
    not_before: float = 0.0
    """Time (``time.monotonic``) of the next attempt."""
    ending: Ending | None = None
    """Ending of the last attempt."""

    def is_over(self, retries: int) -> bool:
        """Reports whether the task ended for good: it is done, cannot be done, or all its attempts failed."""
        if self.ending is None:
            return False
        return self.ending.code in (DONE, WRONG_USAGE, DONE_WITH_PROBLEMS) or self.attempts > retries

    @property
    def is_done(self) -> bool:
        """Whether every shard is done; some images may have failed."""
        return self.ending is not None and self.ending.code in (DONE, DONE_WITH_PROBLEMS)


def exit_code(tasks: Sequence[Task]) -> int:
    """Returns the exit code of the complete run."""
    codes = {task.ending.code if task.ending else FAILED for task in tasks}
    if WRONG_USAGE in codes:
        return WRONG_USAGE
    if codes - {DONE, DONE_WITH_PROBLEMS}:
        return FAILED
    return DONE_WITH_PROBLEMS if DONE_WITH_PROBLEMS in codes else DONE
