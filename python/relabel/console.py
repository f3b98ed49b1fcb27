"""Messages, results and exit codes: results go to stdout, everything else to stderr."""

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
"""Control characters, line separators and marks that change the writing direction."""

DONE, FAILED, WRONG_USAGE, DONE_WITH_PROBLEMS, INTERRUPTED = 0, 1, 2, 3, 130


class Refusal(Exception):
    """The command cannot be done. The message describes the cause and what to do."""

    exit_code = FAILED


class Usage(Refusal):
    """The arguments are wrong."""

    exit_code = WRONG_USAGE


class Interrupted(Refusal):
    """The command was interrupted by a signal."""

    exit_code = INTERRUPTED


class Output:
    """Stdout and stderr of one command.

    Args:
        as_json: Print the result as a JSON document.
        quiet: Print only errors.
        verbose: Print details if above 0.
        lines_are_json: Print every line of stderr as a JSON object.
    """

    stdout: int
    """File descriptor of the result, for commands that redirect stdout while libraries run."""

    def __init__(self, as_json: bool, quiet: bool, verbose: int, lines_are_json: bool) -> None:
        self.stdout = 1
        self.as_json, self.quiet, self.verbose, self.lines_are_json = as_json, quiet, verbose, lines_are_json
        self._has_result, self._result_lock = False, threading.Lock()

    def result(self, text: str, document: dict[str, Any]) -> None:
        """Prints the document with ``--json``, otherwise the text. Only the first result is printed.

        Raises:
            Refusal: If stdout cannot be written.
        """
        with self._result_lock:
            if self._has_result:
                return
            self._has_result = True
        if self.as_json:
            safe = _safe_json(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        else:
            safe = ACTS_ON_TERMINAL.sub(_escape_all_but_lines, text)
        try:
            _write(self.stdout, safe)
        except BrokenPipeError:  # `| head` is not a failure
            pass
        except OSError as error:
            raise Refusal(f"cannot write the result to stdout: {error.strerror or error}") from error

    def error(self, message: str) -> None:
        """Prints an error, and with ``--json`` also the document that reports it."""
        self._line(message)
        if self.as_json:
            with contextlib.suppress(Refusal):  # the error may be about stdout
                self.result("", {"error": message})

    def info(self, message: str) -> None:
        """Prints a message unless ``--quiet`` is given."""
        if not self.quiet:
            self._line(message)

    def warn(self, message: str) -> None:
        """Prints a warning about labels that may be wrong, unless ``--quiet`` is given."""
        if not self.quiet:
            self._line(f"warning: {message}")

    def detail(self, message: str) -> None:
        """Prints a message with ``--verbose``."""
        if self.verbose > 0:
            self._line(message)

    def _line(self, message: str) -> None:
        if self.lines_are_json:
            line = _safe_json(json.dumps({"timestamp": now(), "message": message}, ensure_ascii=False))
        else:
            line = f"relabel: {escaped_lines(message)}"
        with contextlib.suppress(OSError):
            _write(2, line + "\n")


def escaped(text: str) -> str:
    """Returns a string as one line without characters that a terminal acts on."""
    return ACTS_ON_TERMINAL.sub(_escape, text)


def escaped_lines(text: str) -> str:
    """Escapes a message. Line breaks that are followed by two spaces are kept."""
    return "\n  ".join(escaped(line) for line in text.split("\n  "))


def _escape(found: re.Match[str]) -> str:
    letter = found.group()
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(letter, f"\\u{{{ord(letter):x}}}")


def _escape_all_but_lines(found: re.Match[str]) -> str:
    return found.group() if found.group() in "\n\t" else _escape(found)


def _safe_json(text: str) -> str:
    return ACTS_ON_TERMINAL.sub(lambda found: found.group() if found.group() == "\n" else f"\\u{ord(found.group()):04x}", text)


def _write(descriptor: int, text: str) -> None:
    """Writes to a file descriptor, past Python's buffers, which would be flushed a second time at exit.

    Bytes of paths that are not UTF-8 become ``U+FFFD``.
    """
    left = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()
    while left:
        left = left[os.write(descriptor, left):]


class Progress:
    """Counts finished images and draws a progress line if stderr is a terminal.

    Args:
        output: The output of the command.
        verb: Past participle that begins the line, such as ``imported``.
        total: Number of images to process.
    """

    def __init__(self, output: Output, verb: str, total: int) -> None:
        self.done, self.total, self.verb = 0, total, verb
        self.started = self._drawn = time.monotonic()
        self._draws = sys.stderr.isatty() and not output.quiet and not output.lines_are_json
        self._lock = threading.Lock()

    def add(self, images: int) -> None:
        """Adds to the number of finished images."""
        with self._lock:
            self.done += images
            moment = time.monotonic()
            if self._draws and moment - self._drawn > 0.2:
                self._drawn = moment
                rate = self.done / max(moment - self.started, 1e-9)
                line = f"{self.verb} {self.done:,} of {self.total:,} images, {rate:,.0f} images/s"
                print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def finish(self) -> tuple[float, float]:
        """Removes the progress line and returns the elapsed seconds and images per second."""
        if self._draws:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        seconds = time.monotonic() - self.started
        return seconds, self.done / max(seconds, 1e-9)


def now() -> str:
    """Returns the current time in UTC, in the format of the store's records."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def count(number: int, noun: str) -> str:
    """Formats a count: ``1 file``, ``1,252 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
