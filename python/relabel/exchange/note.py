"""The note that an export leaves beside its files: what they are, for resuming and for importing them again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .files import read_regular
from .output import Refusal

NAME = "relabel-export.json"


def read(folder: Path) -> dict[str, Any] | None:
    """The note in a folder, if there is one.

    Raises:
        Refusal: there is one that cannot be read.
    """
    path = folder / NAME
    try:
        note = json.loads(read_regular(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be read: {error}. Remove it, or name another folder") from error
    if not isinstance(note, dict):
        raise Refusal(f"{path} is no note of an export. Remove it, or name another folder")
    return note


def write(folder: Path, note: dict[str, Any]) -> None:
    """Puts the note into its place, whole."""
    staged = folder / f".{NAME}.part"
    staged.write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n")
    os.replace(staged, folder / NAME)


def of_store(info: dict[str, Any], dtype: str) -> dict[str, Any]:
    """What an export of a store notes. Two exports may fill one folder only when this is equal."""
    return {
        "what": "label maps, one .pt file an image: a tensor [2, k, y, x], scores and class ids",
        "teacher": {"name": info["teacher"]["name"], "sha256": info["teacher"]["sha256"]},
        "manifest_sha256": info["manifest_sha256"],
        "k": info["k"],
        "map_size": info["map_size"],
        "dtype": dtype,
        "rank_axis": "first",
        "orientation": "yx",
        "classes": info["classes"],
    }
