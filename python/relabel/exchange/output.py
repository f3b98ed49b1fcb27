"""What is said, and where: results on stdout, everything else on stderr; exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from datetime import datetime, timezone
from typing import Any

ACTS_ON_TERMINAL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, separators of lines, and marks that turn the direction of writing."""

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
        self._answered, self._answering = False, threading.Lock()

    def result(self, words: str, document: dict[str, Any]) -> None:
        """The document with ``--json``, the words without. There is one of them; later ones are not printed.

        Raises:
            Refusal: it cannot be written.
        """
        with self._answering:
            if self._answered:
                return
            self._answered = True
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n" if self.as_json else words
        safe = _safe_json(text) if self.as_json else ACTS_ON_TERMINAL.sub(_escape_all_but_lines, text)
        try:
            _write(1, safe)
        except BrokenPipeError:  # `| head` is no failure
            pass
        except OSError as error:
            raise Refusal(f"cannot write the result to stdout: {error.strerror or error}") from error

    def error(self, problem: str) -> None:
        """Says what went wrong, and in the document with ``--json``."""
        self._line(problem)
        if self.as_json:
            with contextlib.suppress(Refusal):  # stdout is where the error is
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
            line = _safe_json(json.dumps({"timestamp": now(), "message": line}, ensure_ascii=False))
        else:
            line = f"relabel: {shown_lines(line)}"
        with contextlib.suppress(OSError):
            _write(2, line + "\n")


def shown(text: str) -> str:
    """A text as one line, without anything that a terminal acts on."""
    return ACTS_ON_TERMINAL.sub(_escape, text)


def shown_lines(text: str) -> str:
    """A message that may have lines of its own: those that are indented by two spaces."""
    return "\n  ".join(shown(line) for line in text.split("\n  "))


def _escape(found: re.Match[str]) -> str:
    letter = found.group()
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(letter, f"\\u{{{ord(letter):x}}}")


def _escape_all_but_lines(found: re.Match[str]) -> str:
    return found.group() if found.group() in "\n\t" else _escape(found)


def _safe_json(text: str) -> str:
    return ACTS_ON_TERMINAL.sub(lambda found: found.group() if found.group() == "\n" else f"\\u{ord(found.group()):04x}", text)


def _write(descriptor: int, text: str) -> None:
    """Writes past Python's buffers, which would be written again when the program ends. What is not UTF-8 in a path becomes
    ``U+FFFD``."""
    left = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
    while left:
        left = left[os.write(descriptor, left):]


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
