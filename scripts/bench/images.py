"""Images for the benchmarks: the sample photographs, and seeded crops and flips of them."""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from bench import machine

SEED = 20_261_123
SAMPLES = machine.GOLDEN_IMAGES
# ImageNet's most frequent size.
PHOTOGRAPH = (500, 375)


def sources() -> list[Path]:
    return [*sorted((SAMPLES / "photos").iterdir()), SAMPLES / "odd" / "large_2400x1800.JPEG"]


def crop(photograph: Image.Image, size: tuple[int, int], scale: float, draw: random.Random) -> Image.Image:
    """Returns a random crop with a scale relative to the largest, resized and flipped at random."""
    aspect = size[0] / size[1]
    width = min(photograph.width, photograph.height * aspect) * scale
    height = min(photograph.height, photograph.width / aspect) * scale
    x0, y0 = draw.uniform(0, photograph.width - width), draw.uniform(0, photograph.height - height)
    resized = photograph.resize(size, Image.Resampling.BICUBIC, (x0, y0, x0 + width, y0 + height))
    return resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else resized


def random_crop(draw: random.Random, size: tuple[int, int]) -> Image.Image:
    """Returns a random crop of half to all of a sample photograph's area."""
    with Image.open(draw.choice(sources())) as image:
        photograph = image.convert("RGB")
    return crop(photograph, size, math.sqrt(draw.uniform(0.5, 1)), draw)


def make_once(name: str, fill: Callable[[Path], None]) -> Path:
    """Returns a folder below `data`, filled once. A complete folder of an earlier run is reused."""
    folder = machine.folder() / "data" / name
    if not folder.is_dir():
        unfinished = folder.with_name(f"{name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        fill(unfinished)
        unfinished.rename(folder)
    return folder


def crops(count: int, size: tuple[int, int] = PHOTOGRAPH) -> Path:
    """Returns a folder of random crops."""

    def fill(folder: Path) -> None:
        draw = random.Random(SEED)
        for index in range(count):
            random_crop(draw, size).save(folder / f"{index:05}.jpg", quality=90)

    return make_once(f"crops-{count}-{size[0]}x{size[1]}", fill)


def repeated(files: Path, count: int) -> Path:
    """Returns a folder with `count` links to the images of another, in subfolders of a thousand."""

    def fill(folder: Path) -> None:
        for index, file in zip(range(count), itertools.cycle(sorted(files.iterdir())), strict=False):
            target = folder / f"{index // 1000:03}" / f"{index:06}.jpg"
            target.parent.mkdir(exist_ok=True)
            os.link(file, target)

    return make_once(f"{files.name}-{count}", fill)


def samples_and_crops(count: int) -> Path:
    """Returns the readable sample photographs, and crops of them up to a number."""

    def fill(folder: Path) -> None:
        for name in ("photos", "odd"):
            shutil.copytree(SAMPLES / name, folder / name)
        missing = count - sum(file.is_file() for file in folder.rglob("*"))
        (folder / "crops").mkdir()
        for file in sorted(crops(missing).iterdir()):
            shutil.copy(file, folder / "crops")

    return make_once(f"samples-{count}", fill)


def classes_of_crops(count: int) -> Path:
    """Returns random crops in ten folders, as ImageFolder reads them."""

    def fill(folder: Path) -> None:
        draw = random.Random(7)
        for at in range(count):
            subfolder = folder / f"class_{at % 10}"
            subfolder.mkdir(exist_ok=True)
            random_crop(draw, PHOTOGRAPH).save(subfolder / f"{at:05}.JPEG", quality=90)

    return make_once(f"epoch-{count}", fill)
