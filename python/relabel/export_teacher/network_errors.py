"""Errors of the libraries that create networks, as messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from relabel.console import Refusal, Usage

from .classifier import Classifier
from .options import TRANSFORMERS, NetworkOptions, size_text


def unknown_name(given: str, names: Sequence[str], prefix: str = "") -> Usage:
    """Returns the refusal of an unknown name, with similar names.

    Args:
        given: The name, with its prefix.
        names: The known names, without prefix.
        prefix: Prefix of the library.
    """
    asked = given.removeprefix(prefix)
    close = difflib.get_close_matches(asked, names, n=5) or difflib.get_close_matches(asked.split(".")[0], names, n=5)
    advice = f"similar names: {', '.join(prefix + name for name in close)}" if close else "check the name"
    library = prefix.removesuffix(":") or "timm"
    return Usage(f"cannot export {given}: {library} has no image classifier of this name\n  help: {advice}")


def creation_error(options: NetworkOptions, problem: Exception) -> Refusal:
    """Returns the refusal for an exception that a library raised when it created a network."""
    if isinstance(problem, MemoryError):
        raise problem
    name, text = options.name, in_one_line(problem, 300)
    if re.search(r"\b40[14]\b", str(problem)):
        return Usage(f"cannot download {name}: it is not on the hub, or needs a login ({text})\n  help: check the name")
    if isinstance(problem, OSError) and name.startswith(TRANSFORMERS):
        return Refusal(
            f"cannot download {name}: {text}\n  help: download all files of the repository elsewhere and pass"
            f" {TRANSFORMERS}FOLDER, or test the export with a type ({TRANSFORMERS}swinv2) and --random-weights"
        )
    if isinstance(problem, OSError):
        return Refusal(
            f"cannot download the weights of {name}: {text}\n  help: download them elsewhere and pass --checkpoint FILE, or test"
            " the export with --random-weights"
        )
    if any(words in text for words in ("size mismatch", "Missing key", "ignore_mismatched_sizes")):
        settings = f"--global-pool {options.global_pool}" if options.global_pool else "these settings"
        return Usage(
            f"cannot create {name}: its published weights do not match the network with {settings}: {text}\n  help: change"
            " the settings, or test the export with --random-weights"
        )
    return Usage(f"cannot create {name}: {text}\n  help: check the options, or choose another network")


def unsupported_size(classifier: Classifier, problem: Exception) -> str:
    """Returns the message about a network that fails on images of the input size."""
    size = size_text(classifier.input_size)
    return (
        f"cannot export {classifier.name}: it does not support {size} pixels: {in_one_line(problem)}\n  help: choose another"
        " --input-size"
    )


def in_one_line(problem: BaseException, most: int = 200) -> str:
    """Returns the beginning of an exception's message, or its type if it has none."""
    return " ".join(str(problem).split())[:most] or type(problem).__name__
