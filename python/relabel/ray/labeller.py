"""The actor that runs one ``relabel run`` on a machine of the cluster.

Ray copies this module to the machines, so it must not import others of this package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence

CANNOT_START = 127
"""Exit code of a process that did not start, as in a shell."""

POLL_SECONDS = 0.5
TAIL_BYTES = 2_000


class Labeller:
    """Holds the cores and GPUs of one task, and labels one range of shards.

    Ray gives it two threads, so that it handles :meth:`stop` while :meth:`label` waits. (Polling a flag would not work: Ray
    reassigns the cores of a task that waits for Ray. And ``ray.cancel`` does not reach a task that waits for a process.)
    """

    def __init__(self) -> None:
        self.is_stopping = False

    def stop(self) -> None:
        """Ends the process with SIGTERM. Committed shards are kept."""
        self.is_stopping = True

    def label(self, command: Sequence[str], index: int, count: int, folder: str) -> tuple[int, str]:
        """Runs one process in ``folder`` until it ends or :meth:`stop` is called.

        Returns:
            The exit code (negative: the signal that killed the process) and the last message on stderr.
        """
        words = [*command, "--task-index", str(index), "--task-count", str(count)]
        # If Ray's worker dies, the kernel sends SIGTERM to the process, which would otherwise keep running with its lock.
        if shutil.which("setpriv"):
            words = ["setpriv", "--pdeathsig", "TERM", *words]
        with tempfile.TemporaryFile() as errors:
            try:
                process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
            except OSError as error:
                return CANNOT_START, f"cannot start: {error}"
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                if self.is_stopping:
                    process.terminate()
                    process.wait()
            length = errors.seek(0, os.SEEK_END)
            errors.seek(max(0, length - TAIL_BYTES))
            return process.returncode, last_message(errors.read().decode(errors="replace"))


def last_message(text: str) -> str:
    """Returns the last message of a log: a line and the indented lines that follow it, such as its help."""
    lines = text.rstrip().splitlines()
    first = max((number for number, line in enumerate(lines) if not line.startswith(" ")), default=0)
    return "\n".join(lines[first:]).removeprefix("relabel: ") or "no output"
