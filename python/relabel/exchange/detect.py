"""Detects the axes of published files, as far as the files show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relabel.console import Refusal, Usage

from .files import PublishedMap

Maps = Sequence[NDArray[np.float32]]

RANK_AXES = {"first": "[2, k, ., .]", "last": "[2, ., ., k]"}


@dataclass(frozen=True)
class Finding:
    """A property of the files and how it is known."""

    value: str
    origin: str
    """``flag``, ``detected``, ``map-size``, ``note``, ``reference`` or ``assumed``."""
    text: str
    """Description for the user."""
    agreement: dict[str, Any] | None = field(default=None)
    """Comparison with the reference store, if there is one."""


def common_form(maps: Sequence[PublishedMap]) -> tuple[tuple[int, int, int], str]:
    """Returns the last three lengths of the shape and the dtype that most files of a sample have."""
    forms = Counter((found.values.shape[1:], found.dtype) for found in maps)
    (lengths, dtype), _ = forms.most_common(1)[0]
    return (lengths[0], lengths[1], lengths[2]), dtype


def rank_axis(maps: Maps, flag: str) -> Finding:
    """Finds the axis of the ranks: scores never rise along it, and no class appears twice.

    Args:
        maps: A sample of files, float32 ``[2, ., ., .]`` each.
        flag: ``auto``, or the value of ``--rank-axis``.

    Returns:
        ``first`` for ``[2, k, ., .]``, ``last`` for ``[2, ., ., k]``.

    Raises:
        Refusal: If the files show neither.
    """
    if flag != "auto":
        return Finding(flag, "flag", f"rank axis {RANK_AXES[flag]}: from --rank-axis")
    finite = [found for found in maps if np.isfinite(found).all()]
    axes = {"first": 1, "last": 3}

    def most(fits: Callable[[NDArray[np.float32], int], bool]) -> list[str]:
        return [name for name, axis in axes.items() if 2 * sum(fits(found, axis) for found in finite) > len(finite)]

    ranked = most(lambda found, axis: _never_rises(found[0], axis - 1) and _all_different(found[1], axis - 1))
    if len(ranked) == 1:
        return Finding(ranked[0], "detected", f"rank axis {RANK_AXES[ranked[0]]}: detected, scores fall along it")
    if ranked:
        return Finding("first", "assumed", f"rank axis {RANK_AXES['first']}: assumed, as in most published files; these files "
                       "fit both layouts")
    different = most(lambda found, axis: _all_different(found[1], axis - 1))
    if len(different) == 1:
        return Finding(different[0], "detected", f"rank axis {RANK_AXES[different[0]]}: detected, classes are distinct along it; "
                       "its scores are not sorted, the import sorts them")
    raise Refusal(
        "cannot detect the rank axis: scores fall and classes are distinct along no axis\n  help: if these are label maps, pass "
        "--rank-axis first for [2, k, h, w] or --rank-axis last for [2, h, w, k]"
    )


def orientation(
    cells: tuple[int, int], flag: str, map_size: tuple[int, int] | None, noted: str | None, reference: Finding | None
) -> Finding:
    """Finds the order of the two cell axes: ``yx`` if the image's rows come first, ``xy`` if its columns do.

    Args:
        cells: Lengths of the two axes, in the order of the files.
        flag: ``auto``, or the value of ``--orientation``.
        map_size: Height and width from ``--map-size``.
        noted: The orientation in the note of an export.
        reference: The result of :func:`compare_with_reference`.

    Raises:
        Usage: If ``map_size`` contradicts the files.
    """
    fitting = {"yx": cells, "xy": cells[::-1]}
    agreement = reference.agreement if reference else None
    if map_size is not None:
        fitting = {name: size for name, size in fitting.items() if size == map_size}
        if not fitting or (flag != "auto" and flag not in fitting):
            given = "" if flag == "auto" else f" with --orientation {flag}"
            raise Usage(f"--map-size {map_size[0]}x{map_size[1]}{given} does not match the files: {cells[0]}x{cells[1]} cells"
                        "\n  help: pass the height and width of the files' maps, in cells")
    if flag != "auto":
        return Finding(flag, "flag", f"cells [{', '.join(flag)}]: from --orientation", agreement)
    if len(fitting) == 1:
        (only,) = fitting
        return Finding(only, "map-size", f"cells [{', '.join(only)}]: from --map-size", agreement)
    if noted is not None:
        return Finding(noted, "note", f"cells [{', '.join(noted)}]: from the note of relabel export", agreement)
    if reference is not None:
        return reference
    return Finding(
        "yx",
        "assumed",
        "cells [y, x]: assumed, the files do not show it; --reference STORE (labels of some of the same images) can show it, "
        "--orientation sets it",
    )


def compare_with_reference(pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], name: str) -> Finding:
    """Finds the orientation in which the files agree better with a store that ``relabel run`` made.

    Args:
        pairs: Best class of each cell, of the file in its own order of axes and of the reference ``[y, x]``. Map sizes may
            differ.
        name: Path of the reference, for the description.
    """
    straight = np.array([_agreement(ours, theirs) for ours, theirs in pairs])
    transposed = np.array([_agreement(ours.T, theirs) for ours, theirs in pairs])
    agreement = {
        "images": len(pairs),
        "yx": round(float(straight.mean()), 4),
        "xy": round(float(transposed.mean()), 4),
    }
    shares = f"{100 * straight.mean():.1f} % of best classes agree as [y, x], {100 * transposed.mean():.1f} % as [x, y]"
    evidence = f"{name}, {len(pairs)} images: {shares}"
    # Teachers differ in many cells, but for most images one orientation agrees better.
    decided = int((straight != transposed).sum())
    for value, more in [("yx", int((straight > transposed).sum())), ("xy", int((transposed > straight).sum()))]:
        if more >= 3 and more >= 0.7 * decided and abs(straight.mean() - transposed.mean()) >= 0.02:
            return Finding(value, "reference", f"cells [{', '.join(value)}]: from {evidence}", agreement)
    return Finding("yx", "assumed", f"cells [y, x]: assumed, the reference does not decide it ({evidence})", agreement)


def _agreement(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """Returns the share of cells whose best class is that of the reference's nearest cell."""
    rows, columns = (
        ((np.arange(mine) + 0.5) / mine * other).astype(np.int64) for mine, other in zip(ours.shape, theirs.shape)
    )
    return float((ours == theirs[np.ix_(rows, columns)]).mean())


def _never_rises(scores: NDArray[np.float32], axis: int) -> bool:
    return bool((np.diff(scores, axis=axis) <= 0).all())


def _all_different(ids: NDArray[np.float32], axis: int) -> bool:
    return bool((np.diff(np.sort(ids, axis=axis), axis=axis) != 0).all())
