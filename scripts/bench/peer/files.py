"""Photographs and label maps of the peers: listing, decoding, names of files."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

TOP_K = 5
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


def list_images(folder: Path, limit: int | None) -> list[Path]:
    """Lists the images in the order of relabel's rows: by the bytes of the path below the folder."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS]
    if not found:
        raise SystemExit(f"{folder} contains no images: name a folder of photographs with --in")
    return sorted(found, key=lambda path: os.fsencode(path))[:limit]


def decode(file: Path, side: int, filter_name: str) -> Image.Image:
    """Does what torchvision's loader and Resize do."""
    with Image.open(file) as image:
        return image.convert("RGB").resize((side, side), Image.Resampling[filter_name.upper()])


def map_file(out: Path, image: Path, suffix: str) -> Path:
    """Returns the path of an image's label map, `.pt` or `.npy`: float32 `[2, 5, rows, columns]` (scores, class ids)."""
    return (out / image).with_suffix(suffix)


def refuse_foreign_files(out: Path) -> None:
    """Refuses an output folder with other files: the run empties it."""
    foreign = next((file for file in out.rglob("*") if file.is_file() and file.suffix not in (".pt", ".npy")), None)
    if foreign:
        raise SystemExit(f"peer: {foreign} is not a label map, so {out} is not emptied: name another --out")
