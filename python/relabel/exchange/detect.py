"""What the axes of published files are: as far as the files tell, and said where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import PublishedMap
from .output import Refusal, Usage

Maps = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Finding:
    """A value and how it came to be known."""

    value: str
    origin: str
    """``flag``, ``detected``, ``map-size``, ``note``, ``reference`` or ``assumed``."""
    words: str
    agreement: dict[str, Any] | None = field(default=None)


def common_form(maps: Sequence[PublishedMap]) -> tuple[tuple[int, int, int], str]:
    """The three lengths behind the first and the type of numbers that most files of a sample have."""
    forms = Counter((found.values.shape[1:], found.dtype) for found in maps)
    (lengths, dtype), _ = forms.most_common(1)[0]
    return (lengths[0], lengths[1], lengths[2]), dtype


def rank_axis(maps: Maps, flag: str) -> Finding:
    """``first`` for ``[2, k, ., .]``, ``last`` for ``[2, ., ., k]``: the axis along which scores never rise and no class
    comes twice.

    Raises:
        Refusal: the files show neither.
    """
    if flag != "auto":
        return Finding(flag, "flag", f"ranks along the {flag} of the three axes, as --rank-axis says")
    finite = [found for found in maps if np.isfinite(found).all()]
    axes = {"first": 1, "last": 3}

    def most(fits: Callable[[NDArray[np.float32], int], bool]) -> list[str]:
        return [name for name, axis in axes.items() if 2 * sum(fits(found, axis) for found in finite) > len(finite)]

    ranked = most(lambda found, axis: _never_rises(found[0], axis - 1) and _all_different(found[1], axis - 1))
    if len(ranked) == 1:
        return Finding(ranked[0], "detected", f"ranks along the {ranked[0]} of the three axes, where scores fall")
    if ranked:
        return Finding("first", "assumed", "ranks along the first of the three axes, as published files have it; these "
                       "would bear both readings")
    different = most(lambda found, axis: _all_different(found[1], axis - 1))
    if len(different) == 1:
        return Finding(different[0], "detected", f"ranks along the {different[0]} of the three axes, where no class comes "
                       "twice; scores are not sorted there, and get sorted")
    raise Refusal(
        "these files are no label maps as they were published: along no axis do scores fall from rank to rank, or classes "
        "differ. If you know better, give --rank-axis first for [2, k, h, w] or last for [2, h, w, k]"
    )


def orientation(
    cells: tuple[int, int], flag: str, map_size: tuple[int, int] | None, noted: str | None, reference: Finding | None
) -> Finding:
    """``yx`` when the rows of the image come first among the axes of cells, ``xy`` when its columns do.

    Raises:
        Usage: what was said contradicts the files.
    """
    fitting = {"yx": cells, "xy": cells[::-1]}
    agreement = reference.agreement if reference else None
    if map_size is not None:
        fitting = {name: size for name, size in fitting.items() if size == map_size}
        if not fitting or (flag != "auto" and flag not in fitting):
            said = "" if flag == "auto" else f" with --orientation {flag}"
            raise Usage(f"the files have {cells[0]}x{cells[1]} cells, --map-size says {map_size[0]}x{map_size[1]}{said}")
    if flag != "auto":
        return Finding(flag, "flag", f"cells [{', '.join(flag)}], as --orientation says", agreement)
    if len(fitting) == 1:
        (only,) = fitting
        return Finding(only, "map-size", f"cells [{', '.join(only)}], as --map-size tells", agreement)
    if noted is not None:
        return Finding(noted, "note", f"cells [{', '.join(noted)}], as relabel export noted", agreement)
    if reference is not None:
        return reference
    return Finding(
        "yx",
        "assumed",
        "cells [y, x]: this is ASSUMED, since nothing in the files tells it. --reference STORE (labels of some of the same "
        "images) would show it, --orientation says it",
    )


def compare_with_reference(pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], name: str) -> Finding:
    """Which orientation a store that a teacher was run for speaks for.

    Args:
        pairs: best class of each cell, of the file as it lies and of the reference ``[y, x]``; they may have other sizes.
    """
    straight = np.array([_agreement(ours, theirs) for ours, theirs in pairs])
    transposed = np.array([_agreement(ours.T, theirs) for ours, theirs in pairs])
    agreement = {
        "images": len(pairs),
        "yx": round(float(straight.mean()), 4),
        "xy": round(float(transposed.mean()), 4),
    }
    shares = f"{100 * straight.mean():.1f} % of best classes as [y, x], {100 * transposed.mean():.1f} % as [x, y]"
    # Two teachers differ in much, but by chance not always in the same direction.
    telling = int((straight != transposed).sum())
    for value, more in [("yx", int((straight > transposed).sum())), ("xy", int((transposed > straight).sum()))]:
        if more >= 3 and more >= 0.7 * telling and abs(straight.mean() - transposed.mean()) >= 0.02:
            words = f"cells [{', '.join(value)}], since {name} agrees with {shares}, over {len(pairs)} images"
            return Finding(value, "reference", words, agreement)
    words = f"cells [y, x]: this is ASSUMED, since {name} agrees with {shares}, over {len(pairs)} images, which tells nothing"
    return Finding("yx", "assumed", words, agreement)


def _agreement(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """Share of cells whose best class is that of the reference's nearest cell."""
    rows, columns = (
        ((np.arange(mine) + 0.5) / mine * other).astype(np.int64) for mine, other in zip(ours.shape, theirs.shape)
    )
    return float((ours == theirs[np.ix_(rows, columns)]).mean())


def _never_rises(scores: NDArray[np.float32], axis: int) -> bool:
    return bool((np.diff(scores, axis=axis) <= 0).all())


def _all_different(ids: NDArray[np.float32], axis: int) -> bool:
    return bool((np.diff(np.sort(ids, axis=axis), axis=axis) != 0).all())
