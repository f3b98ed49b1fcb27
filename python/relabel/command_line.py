"""Parts of the Python commands: global flags, usage errors, signals and exit codes, as those of the program ``relabel``."""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import relabel

from .console import FAILED, INTERRUPTED, Output, Refusal, Usage

GRACE_S = 3.0
"""Seconds in which a command must end by itself after a signal."""


class Parser(argparse.ArgumentParser):
    """A parser that raises :class:`Usage` instead of exiting."""

    def error(self, message: str) -> NoReturn:
        """Raises the message and the usage line."""
        raise Usage(f"{message}\n  {' '.join(self.format_usage().split())}")


def global_flags() -> Parser:
    """Returns a parent parser of the flags that every command takes."""
    flags = Parser(add_help=False)
    flags.add_argument("--json", action="store_true", help="print one JSON document to stdout, and nothing else")
    flags.add_argument("-q", "--quiet", action="store_true", help="print only errors to stderr")
    flags.add_argument("-v", "--verbose", action="count", default=0, help="print more to stderr")
    flags.add_argument("--log-format", choices=["text", "json"], default="text", help="log format on stderr (default: text)")
    return flags


def run_command(
    args: Sequence[str],
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace, Output], int],
    if_memory_is_short: str,
    if_bug: str,
) -> int:
    """Parses the arguments, runs a command, prints its errors, and returns the exit code.

    Args:
        args: The arguments, without the name of the program.
        parser: A parser with :func:`global_flags`.
        run: The command. It returns its exit code.
        if_memory_is_short: What helps if memory or the number of threads is too small, as the end of a help line.
        if_bug: What an internal error leaves behind.
    """
    try:
        arguments = parser.parse_args(args)
    except Usage as usage:
        lines_are_json = "--log-format=json" in args or ("--log-format", "json") in pairwise(args)
        Output("--json" in args, False, 0, lines_are_json).error(str(usage))
        return usage.exit_code
    output = Output(arguments.json, arguments.quiet, arguments.verbose, arguments.log_format == "json")
    try:
        return run(arguments, output)
    except Refusal as refusal:
        output.error(str(refusal))
        return refusal.exit_code
    except (OSError, relabel.StoreError) as error:
        output.error(str(error))
        return FAILED
    except MemoryError:
        output.error(f"not enough memory\n  help: {if_memory_is_short}")
        return FAILED
    except RuntimeError as error:
        if "start new thread" not in str(error):
            return _report_bug(output, error, if_bug)
        output.error(f"cannot start threads\n  help: raise the limit of processes (ulimit -u), or {if_memory_is_short}")
        return FAILED
    except BaseException as error:  # a panic of the native module is not an Exception
        return _report_bug(output, error, if_bug)


def _report_bug(output: Output, error: BaseException, consequence: str) -> int:
    """Prints what to report about a bug and returns the exit code."""
    frames = traceback.extract_tb(error.__traceback__)
    location = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "unknown location"
    output.error(
        f"internal error: {type(error).__name__}: {error} (relabel {relabel.__version__}, {location})\n  help: {consequence}; "
        "please report this line and the command"
    )
    return FAILED


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP, while a command runs in the ``with`` block.

    The process exits :data:`GRACE_S` after a signal, or at the second one, even if the main thread is blocked: Python runs
    signal handlers only between two of its instructions.

    Args:
        output: The output of the command.
        last_words: Message of that exit.
        raises: Raise KeyboardInterrupt in the main thread, for commands that cannot ask :attr:`stop`.
    """

    stop: threading.Event
    """Set by a signal."""

    unfinished: Path | None
    """Folder to delete before that exit."""

    def __init__(self, output: Output, last_words: str, raises: bool = False) -> None:
        self.stop, self.unfinished = threading.Event(), None
        self._output, self._last_words, self._raises = output, last_words, raises
        self._ignored = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        threading.Thread(target=self._watch, args=(read_end,), name="signals", daemon=True).start()
        self._wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        numbers = [signal.SIGINT, signal.SIGTERM]
        # `nohup` starts programs with SIGHUP ignored.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self._handlers = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._write_end)  # ends the thread

    def ignore(self) -> None:
        """Ignores later signals, before a last step that takes no time and must not be left half done.

        Raises:
            KeyboardInterrupt: If a signal was received, and a library discarded the exception.
        """
        self._ignored = True
        if self.stop.is_set():
            self._ignored = False
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        first = not self.stop.is_set()
        self.stop.set()
        if first and self._raises and not self._ignored:
            raise KeyboardInterrupt

    def _watch(self, read_end: int) -> None:
        if os.read(read_end, 1):  # nothing to read after the end of the `with` block
            if not self._raises:
                self.stop.set()
            received = select.select([read_end], [], [], GRACE_S)[0]
            if (not received or os.read(read_end, 1)) and not self._ignored:
                self._exit()
        os.close(read_end)

    def _exit(self) -> None:
        if self.unfinished:
            shutil.rmtree(self.unfinished, ignore_errors=True)
        # In a thread, because stderr may be a pipe that nobody reads any more.
        last = threading.Thread(target=self._output.error, args=(self._last_words,), daemon=True)
        last.start()
        last.join(0.3)
        os._exit(INTERRUPTED)

