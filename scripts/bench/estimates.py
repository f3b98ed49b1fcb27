"""Statistics of repeated measurements: ratios of pairs, slopes between runs of different length, spreads."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def pairs(repeats: int, first: Callable[[], T], second: Callable[[], T]) -> list[tuple[T, T]]:
    """Measures two things in turns: A B A B."""
    return [(first(), second()) for _ in range(repeats)]


def median_ratio(measured: Iterable[tuple[float, float]]) -> float:
    """Returns the median of the ratios of the pairs, not the ratio of two medians."""
    return statistics.median(first / second for first, second in measured)


def slope(short: tuple[float, float], long: tuple[float, float]) -> float:
    """Returns the rise of y per x between (x, y) of a short and of a long run. What all runs have in common cancels out."""
    run, rise = long[0] - short[0], long[1] - short[1]
    return rise / run if run > 0 else float("nan")


def spread(values: Sequence[float]) -> float:
    """Returns the largest value over the smallest."""
    return max(values) / min(values)


def middle(items: Iterable[T], key: Callable[[T], float]) -> T:
    """Returns the item with the median key, the larger one of two."""
    ranked = sorted(items, key=key)
    return ranked[len(ranked) // 2]
