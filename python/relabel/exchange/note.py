"""The note that an export leaves next to its files. It describes them, for resuming and for importing them again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from relabel.console import Refusal

from .files import read_regular

NAME = "relabel-export.json"


def read(folder: Path) -> dict[str, Any] | None:
    """Reads the note of a folder.

    Returns:
        The note, or None if the folder has none.

    Raises:
        Refusal: If the note cannot be read.
    """
    path = folder / NAME
    try:
        note = json.loads(read_regular(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Refusal(f"cannot read {path}: {error}\n  help: remove it, or choose a different folder") from error
    if not isinstance(note, dict):
        raise Refusal(f"{path} is not a note of an export\n  help: remove it, or choose a different folder")
    return note


def write(folder: Path, note: dict[str, Any]) -> None:
    """Writes the note atomically."""
    staged = folder / f".{NAME}.part"
    staged.write_text(json.dumps(note, indent=2, ensure_ascii=False) + "\n")
    os.replace(staged, folder / NAME)


def of_store(info: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Returns the note for an export of a store. Two exports may share a folder only if their notes are equal."""
    return {
        "what": "label maps, one .pt file per image: a tensor [2, k, y, x], scores and class ids",
        "teacher": {"name": info["teacher"]["name"], "sha256": info["teacher"]["sha256"]},
        "manifest_sha256": info["manifest_sha256"],
        "k": info["k"],
        "map_size": info["map_size"],
        "dtype": dtype,
        "rank_axis": "first",
        "orientation": "yx",
        "classes": info["classes"],
    }
