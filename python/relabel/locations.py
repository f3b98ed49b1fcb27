"""Locations of stores and of the cache. They do not depend on the current folder, which a program may change."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from . import _relabel

Cache = str | os.PathLike[str] | Literal[False] | None
"""Folder for copies of remote files; see :func:`relabel.open`."""

_COLLAPSED_URL = re.compile("([A-Za-z][A-Za-z0-9+]+):/(?!/)")
"""A URL that became a ``pathlib.Path``, which merges slashes."""


def store_location(path: Any) -> str:
    """Returns an absolute path, or a URL unchanged.

    Raises:
        ValueError: If the path is empty, or its user is unknown.
    """
    location = _text(path, "the path of a store")
    if _is_url(location):
        return location
    if isinstance(path, os.PathLike) and (collapsed := _COLLAPSED_URL.match(location)):
        url = f"{collapsed[1]}://{location[collapsed.end():]}"
        raise ValueError(f"cannot open {location}: pathlib changes URLs\n  help: pass the URL as a string: {url!r}")
    return _absolute(location)


def cache_setting(cache: Any) -> str | Path | Literal[False] | None:
    """Returns ``cache`` with an absolute path, a string or a ``pathlib.Path`` as it was given.

    Raises:
        ValueError: If it is not a folder.
    """
    if cache is None or cache is False:
        return cache
    folder = _text(cache, "cache")
    if _is_url(folder):
        raise ValueError(f"cache is {folder}\n  help: pass a folder of this machine, or False to keep no copies")
    absolute = _absolute(folder)
    return Path(absolute) if isinstance(cache, os.PathLike) else absolute


def cache_folder(cache: str | Path | Literal[False] | None) -> str | None:
    """Returns the folder for copies of remote files, or None to keep no copies."""
    if cache is False:
        return None
    if cache is not None:
        return str(cache)
    if folder := os.environ.get("RELABEL_CACHE"):
        return _absolute(folder)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # A user without a home folder, as in some containers.
    return None if caches.startswith("~") else _absolute(os.path.join(caches, "relabel"))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise ValueError(f"{name} is {value!r} ({type(value).__name__})\n  help: pass a string or a pathlib.Path")
    text = os.fsdecode(value)
    if not text:
        raise ValueError(f"{name} is empty\n  help: pass . for the current folder")
    return text


def _is_url(location: str) -> bool:
    # Names of files need not be valid Unicode.
    return _relabel.is_url(location.encode("utf-8", "replace").decode())


def _absolute(path: str) -> str:
    """Unlike ``os.path.abspath``, keeps ``..``, which leads elsewhere after a symlink."""
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        home = expanded.split("/")[0]
        raise ValueError(f"cannot open {path}: {home} has no home folder\n  help: pass ./{path} for a folder of this name")
    return str(Path(expanded).absolute())
