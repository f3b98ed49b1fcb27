"""Exports a classifier: tries the exporters, compares each file with PyTorch, and keeps the first that is equal."""

from __future__ import annotations

import copy
import errno
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import Module

from relabel.command_line import Signals
from relabel.console import Output, Refusal, Usage

from .card import card_text
from .classifier import Classifier
from .comparison import Comparison, compare, random_pixels, scores
from .graph import Attempt, attempts, write_graph
from .network_errors import in_one_line, unsupported_size
from .options import ExportOptions, NetworkOptions, Size, card_file, class_list_file, output_files, size_text

# Relative to the largest score. float16 has three digits, and deep networks lose one of them.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2}
# Added to the input size. The first reveals padding that was computed for one size; the second is for networks that need
# multiples of the stride.
OTHER_SIZES = ((33, 50), (32, 64))


@dataclass(frozen=True)
class Exported:
    """A written file, which was compared with PyTorch."""

    attempt: Attempt
    comparison: Comparison


def export(
    classifier: Classifier, network: NetworkOptions, options: ExportOptions, output: Output, signals: Signals
) -> Exported:
    """Exports into a temporary folder next to the target, and moves the compared files; the graph comes last.

    Raises:
        Refusal: If no exporter reproduces PyTorch's scores, or the files cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=options.out.parent) as folder:
            signals.unfinished = Path(folder)
            staged = Path(folder) / options.out.name
            exported = _first_equal(classifier, options, output, staged)
            if isinstance(classifier.classes, list):
                class_list_file(staged).write_text("\n".join(classifier.classes) + "\n", encoding="utf-8")
            card = card_text(classifier, network, options, exported.attempt, exported.comparison)
            card_file(staged).write_text(card, encoding="utf-8")
            signals.ignore()
            _move(staged, options.out)
    except OSError as error:
        raise Refusal(
            f"cannot write {options.out}: {error.strerror or error}\n  help: check the folder and its free space, and run the"
            " command again"
        ) from error
    return exported


def _move(staged: Path, out: Path) -> None:
    """Moves the files that were written, and deletes other files of an overwritten export."""
    for path in reversed(output_files(staged)):
        target = out.with_name(path.name)
        if path.exists():
            os.replace(path, target)
        elif path != staged:
            target.unlink(missing_ok=True)


def _first_equal(classifier: Classifier, options: ExportOptions, output: Output, staged: Path) -> Exported:
    """Writes the first graph whose scores equal PyTorch's."""
    reference = classifier.module
    module = _Half(reference).eval() if options.fp16 else reference
    other_sizes = _supported_sizes(classifier, () if options.size == "fixed" else OTHER_SIZES)
    tolerance = TOLERANCE["float16" if options.fp16 else "float32"]
    failures = []
    for attempt in attempts(options, bool(other_sizes)):
        for left in staged.parent.iterdir():
            left.unlink()
        output.info(f"exporting {classifier.name}: {attempt}")
        try:
            write_graph(module, classifier.input_size, attempt, options.external_data, staged)
            comparison = compare(staged, reference, [classifier.input_size, *(other_sizes if attempt.free_size else [])])
        except Exception as problem:  # Exporters raise many types.
            if _is_shortage(problem):
                raise
            failures.append(f"{attempt}: {type(problem).__name__}: {in_one_line(problem)}")
        else:
            if comparison.max_difference <= tolerance * comparison.max_score:
                return Exported(attempt, comparison)
            failures.append(f"{attempt}: it {comparison}")
        output.info(f"rejected: {failures[-1]}")
    if options.size == "dynamic" and not other_sizes:
        size = size_text(classifier.input_size)
        raise Usage(f"cannot export {classifier.name} with --dynamic: it supports only {size} pixels\n  help: omit --dynamic")
    raise Refusal(
        f"cannot export {classifier.name}: no exporter reproduces PyTorch's scores; nothing was written:\n  "
        + "\n  ".join(failures)
        + "\n  help: try --fixed, another --exporter or --opset, or other versions of the packages"
    )


class _Half(Module):
    """A copy of a network in float16, with input and scores in float32."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.inner = copy.deepcopy(module).half()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inner(pixels.half()).float()
        return found


def _supported_sizes(classifier: Classifier, others: Sequence[Size]) -> list[Size]:
    """Returns the first supported size among the input size enlarged by ``others``, or an empty list if the size is fixed."""
    height, width = classifier.input_size
    try:
        scores(classifier.module, random_pixels(1, classifier.input_size))
    except Exception as problem:  # Networks raise many types for an unsupported size.
        raise Usage(unsupported_size(classifier, problem)) from problem
    for more_height, more_width in others:
        size = (height + more_height, width + more_width)
        try:
            scores(classifier.module, random_pixels(1, size))
        except Exception:
            continue
        return [size]
    return []


def _is_shortage(problem: Exception) -> bool:
    """Returns whether memory or disk space is missing, which another exporter would not solve."""
    full = isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or isinstance(problem, MemoryError)
