"""Emoji as pictures of several objects: canvases, and images of single emoji, on textured backgrounds.

The pictures are those of the npm packages ``emoji-datasource-VENDOR``: the same emoji in the drawing style of each vendor,
64x64 pixels with transparency. Classes are subgroups of emoji, such as ``animal-bird``. Arrays are ``[.., y, x]``.
"""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .data import CANVAS_PIXELS

GROUPS = ("Activities", "Animals & Nature", "Food & Drink", "Objects", "Travel & Places")
MIN_PICTURES = 9  # of a class
EMOJI_PIXELS = (16, 28)  # on a canvas
EMOJI_COUNT = (3, 6)  # on a canvas


@dataclass
class Pictures:
    """Pictures in 0..1 with premultiplied alpha, float32 ``[n, 4, 64, 64]``, and their classes, int64 ``[n]``."""

    images: Tensor
    classes: Tensor


def load_pictures(archives: list[Path]) -> tuple[Pictures, list[str]]:
    """Loads the pictures of all vendors, one archive each, and the names of the classes.

    All archives have the same pictures: those that each vendor drew.
    """
    names, paths = _listed(archives[0])
    drawn = [_drawn(archive) for archive in archives]
    classes, images = [], []
    for index, name in enumerate(names):
        for path in paths[name]:
            if all(path in vendor for vendor in drawn):
                classes.append(index)
                images.append([vendor[path] for vendor in drawn])
    pixels = torch.from_numpy(np.array(images)).permute(1, 0, 4, 2, 3).float() / 255
    pixels[:, :, :3] *= pixels[:, :, 3:]
    return Pictures(pixels.flatten(0, 1), torch.tensor(classes).repeat(len(archives))), names


def draw_singles(
    pictures: Pictures, count: int, side: int, pixels: tuple[float, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draws images of one emoji each, of ``pixels`` (smallest, largest), at a random position.

    Returns:
        Images ``[count, 3, side, side]`` and classes ``[count]``.
    """
    chosen = rng.integers(0, len(pictures.classes), size=count)
    images = _backgrounds(count, side, rng)
    for image, picture in zip(images, pictures.images[torch.from_numpy(chosen)]):
        size = round(rng.uniform(*pixels))
        y, x = rng.integers(0, side - size + 1, size=2)
        _paste(image, picture, int(y), int(x), size)
    return images, pictures.classes[torch.from_numpy(chosen)]


def save_canvases(pictures: Pictures, names: list[str], count: int, folder: Path, rng: np.random.Generator) -> None:
    """Draws canvases of several emoji that do not overlap, and saves each in the folder of one of them, chosen at random."""
    for number, canvas in enumerate(_backgrounds(count, CANVAS_PIXELS, rng)):
        taken: list[tuple[int, int, int]] = []
        shown = []
        for picture in rng.integers(0, len(pictures.classes), size=rng.integers(EMOJI_COUNT[0], EMOJI_COUNT[1] + 1)):
            for _ in range(20):
                size = int(rng.integers(EMOJI_PIXELS[0], EMOJI_PIXELS[1] + 1))
                y, x = (int(corner) for corner in rng.integers(0, CANVAS_PIXELS - size + 1, size=2))
                if all(y + size <= y2 or y2 + size2 <= y or x + size <= x2 or x2 + size2 <= x for y2, x2, size2 in taken):
                    taken.append((y, x, size))
                    shown.append(int(pictures.classes[picture]))
                    _paste(canvas, pictures.images[picture], y, x, size)
                    break
        path = folder / names[rng.choice(shown)] / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((canvas.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)


def _listed(archive: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Returns the names of the classes, and the file names of each."""
    with tarfile.open(archive) as package:
        member = package.extractfile("package/emoji.json")
        assert member is not None
        emoji = json.load(member)
    files: dict[str, list[str]] = {}
    for entry in emoji:
        if entry["category"] in GROUPS:
            files.setdefault(entry["subcategory"].replace(" & ", "-and-"), []).append(entry["image"])
    names = sorted(name for name, listed in files.items() if len(listed) >= MIN_PICTURES)
    return names, {name: sorted(files[name]) for name in names}


def _drawn(archive: Path) -> dict[str, np.ndarray]:
    """Returns the pictures of a vendor by file name, uint8 ``[64, 64, 4]``."""
    with tarfile.open(archive) as package:
        found = {}
        for member in package:
            parts = Path(member.name).parts
            if parts[1:2] == ("img",) and parts[3:4] == ("64",) and member.isfile():
                picture = Image.open(package.extractfile(member)).convert("RGBA").resize((64, 64))  # type: ignore[arg-type]
                found[parts[-1]] = np.asarray(picture)
        return found


def _backgrounds(count: int, side: int, rng: np.random.Generator) -> Tensor:
    """Draws textures: colours that vary slowly, and noise of two sizes, ``[count, 3, side, side]``."""
    image = torch.zeros(count, 3, side, side)
    for cells, strength in [(2, 0.35), (8, 0.15), (side // 2, 0.08)]:
        noise = torch.from_numpy(rng.uniform(-1, 1, (count, 3, cells, cells))).float()
        image += strength * F.interpolate(noise, size=side, mode="bilinear", align_corners=False)
    return (image + 0.5).clamp(0, 1)


def _paste(canvas: Tensor, picture: Tensor, y: int, x: int, size: int) -> None:
    small = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)
    part = canvas[:, y : y + size, x : x + size]
    part.mul_(1 - small[3]).add_(small[:3]).clamp_(0, 1)
