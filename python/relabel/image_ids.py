"""Ids and row numbers of images, as arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pool_arguments import array_of

Ids = str | os.PathLike[str] | int | Sequence[str] | Sequence[os.PathLike[str]] | Sequence[int] | NDArray[Any]
"""Images: names or row numbers; a single one or a sequence.

A name is an id, or the path of a file below the source, whose extension may differ from that of the labelled file. Names that
are all ids are read as ids, and names that are all paths as paths; otherwise each counts as either. Lookups distinguish case,
spaces and Unicode form. A name that could mean two images is an error whose message lists both, and so are two different files
that match one image. Row numbers count from 0."""


def names_or_rows(ids: Any, count: int) -> list[str] | NDArray[np.int64]:
    """Returns names, or row numbers int64 ``[B]`` of a store with ``count`` rows.

    Raises:
        ValueError: If ids are neither, mix both, or a row does not exist.
    """
    if isinstance(ids, (str, bytes, os.PathLike)):
        return names([ids])
    # A NumPy array of strings takes several times the memory of a list.
    if isinstance(ids, (list, tuple)):
        if any(isinstance(name, (str, bytes, os.PathLike)) for name in ids):
            return names(ids)
        if any(isinstance(row, bool) for row in ids):
            raise ValueError("ids must be names or row numbers, got bool\n  help: pass the row numbers: numpy.flatnonzero(mask)")
    array = array_of(ids, "ids")
    if array.ndim == 0 and (array.dtype.kind in "iuUT" or (isinstance(ids, int) and not isinstance(ids, bool))):
        array = array.reshape(1)
    if array.ndim == 0:
        raise ValueError(f"ids are of type {type(ids).__name__}\n  help: pass a list or an array of ids or row numbers")
    if array.ndim != 1:
        raise ValueError(f"ids must be one-dimensional, got shape {list(array.shape)}")
    if array.dtype.kind == "b":
        raise ValueError("ids must be names or row numbers, got bool\n  help: pass the row numbers: numpy.flatnonzero(mask)")
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    # Integers that exceed 64 bits also make an array of objects.
    is_integral = array.dtype.kind in "iu" or (
        array.dtype == object and all(isinstance(row, (int, np.integer)) and not isinstance(row, bool) for row in array)
    )
    if not is_integral:
        if array.dtype.kind in "SUTO":
            return names(array.tolist())
        raise ValueError(f"ids must be names or row numbers, got {array.dtype}")
    lowest, highest = array.min(), array.max()
    if lowest < 0 or highest >= count:
        row = lowest if lowest < 0 else highest
        raise ValueError(f"row {row} does not exist: the store has {count} rows, counted from 0")
    return np.ascontiguousarray(array, dtype=np.int64)


def names(ids: Any) -> list[str]:
    """Returns names, one or several, as strings.

    Raises:
        ValueError: If there is anything else among them. A number could be a row or the name of a file.
    """
    given = [ids] if isinstance(ids, (str, bytes, os.PathLike)) else ids
    if not isinstance(given, Iterable):
        raise ValueError(f"cannot look up {ids!r} ({type(ids).__name__}) by name\n  help: pass an id, or a list of ids")
    strings = []
    for name in given:
        if isinstance(name, str):
            strings.append(name)
        elif isinstance(name, os.PathLike):
            strings.append(os.fsdecode(name))
        else:
            advice = "decode it" if isinstance(name, bytes) else "pass names as str; rows() also takes row numbers, not mixed with names"
            raise ValueError(f"cannot look up {name!r} ({type(name).__name__}) by name\n  help: {advice}")
    return strings
