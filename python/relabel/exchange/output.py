"""What is said, and where: results on stdout, everything else on stderr; exit codes."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import datetime, timezone
from typing import Any

DONE, FAILED, WRONG_USAGE, DONE_WITH_PROBLEMS, INTERRUPTED = 0, 1, 2, 3, 130


class Refusal(Exception):
    """The command cannot be done; the text says why and what to do."""

    exit_code = FAILED


class Usage(Refusal):
    """What was asked for makes no sense."""

    exit_code = WRONG_USAGE


class Interrupted(Refusal):
    """Somebody wanted a stop."""

    exit_code = INTERRUPTED


class Output:
    """Stdout and stderr of one command."""

    def __init__(self, as_json: bool, quiet: bool, verbose: int, lines_are_json: bool) -> None:
        self.as_json, self.quiet, self.verbose, self.lines_are_json = as_json, quiet, verbose, lines_are_json

    def result(self, words: str, document: dict[str, Any]) -> None:
        """The document with ``--json``, the words without."""
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n" if self.as_json else words
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` is no failure
            sys.stderr.close()

    def error(self, problem: str) -> None:
        """Says what went wrong, and in the document with ``--json``."""
        self._line(problem)
        if self.as_json:
            self.result("", {"error": problem})

    def say(self, line: str) -> None:
        """An announcement; nothing with ``--quiet``."""
        if not self.quiet:
            self._line(line)

    def warn(self, warning: str) -> None:
        """Something that may make the labels wrong; also with ``--quiet``."""
        self._line(f"warning: {warning}")

    def detail(self, line: str) -> None:
        """Only with ``--verbose``."""
        if self.verbose > 0:
            self._line(line)

    def _line(self, line: str) -> None:
        if self.lines_are_json:
            line = json.dumps({"timestamp": now(), "message": line}, ensure_ascii=False)
        else:
            line = f"relabel: {line}"
        print(line, file=sys.stderr, flush=True)


class Progress:
    """Counts images; draws a line on a terminal, and only there."""

    def __init__(self, output: Output, what: str, total: int) -> None:
        self.done, self.total, self.what = 0, total, what
        self.started = self._drawn = time.monotonic()
        self._draws = sys.stderr.isatty() and not output.quiet and not output.lines_are_json
        self._lock = threading.Lock()

    def add(self, images: int) -> None:
        """So many more are done."""
        with self._lock:
            self.done += images
            moment = time.monotonic()
            if self._draws and moment - self._drawn > 0.2:
                self._drawn = moment
                rate = self.done / max(moment - self.started, 1e-9)
                line = f"{self.what} {self.done:,} of {self.total:,} images, {rate:,.0f} images/s"
                print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def finish(self) -> tuple[float, float]:
        """Seconds, and images per second."""
        if self._draws:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        seconds = time.monotonic() - self.started
        return seconds, self.done / max(seconds, 1e-9)


def now() -> str:
    """UTC, in the program's format."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def count(number: int, noun: str) -> str:
    """``1 file``, ``1,252 files``"""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
