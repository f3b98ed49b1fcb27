"""The command ``python -m relabel.ray``: signals and exit codes, as those of the program ``relabel``."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..console import INTERRUPTED, Output, Refusal
from .arguments import Options, parse
from .tasks import exit_code

if TYPE_CHECKING:
    from .schedule import Schedule


def main(args: Sequence[str]) -> int:
    """Labels a data set and returns the exit code."""
    output = Output(False, False, 0, False)
    try:
        return _run(parse(args), output)
    except Refusal as refusal:
        output.error(str(refusal))
        return refusal.exit_code
    except KeyboardInterrupt:
        output.info("interrupted; committed shards are kept, and the same command resumes")
        return INTERRUPTED


def _run(options: Options, output: Output) -> int:
    schedule = _schedule(options, output)
    # Ray sets a handler of its own when it starts.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        schedule.run()
    except KeyboardInterrupt:
        output.info("interrupted: asking the tasks to stop")
        schedule.stop()
        schedule.summary()
        return INTERRUPTED
    schedule.summary()
    return exit_code(schedule.tasks)


def _schedule(options: Options, output: Output) -> Schedule:
    """Connects to Ray.

    Raises:
        Refusal: If Ray is missing or cannot be reached.
    """
    try:
        from . import schedule
    except ImportError as error:
        raise Refusal(
            f"cannot import Ray: {error}\n  help: install it (pip install ray), or install the wheel of relabel with its extra "
            "[ray]"
        ) from error
    schedule.connect(options.address)
    return schedule.Schedule(options, output)
