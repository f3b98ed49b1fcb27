"""Canvases: images of several digits with one folder class, like photographs of several objects.

The digits are scikit-learn's 1,797 images of 8x8 pixels. Arrays are ``[.., y, x]``; boxes are ``x0, y0, x1, y1`` as
fractions (0 to 1) of the canvas.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

CANVAS_PIXELS = 64
CELL_PIXELS = 16  # a canvas has 4x4 cells, and at most one digit in each
DIGIT_PIXELS = 12
INPUT_PIXELS = 32  # side of the student's input
CLASSES = [str(digit) for digit in range(10)]
NOISE = 0.1  # standard deviation, of pixels in 0..1


@dataclass
class Digits:
    """Digits in 0..1, float32 ``[n, 1, 12, 12]``, and their classes, int64 ``[n]``."""

    images: Tensor
    classes: Tensor


@dataclass
class Canvases:
    """Canvases in 0..1, float32 ``[n, channels, 64, 64]``, with their ids and folder classes, int64 ``[n]``."""

    ids: list[str]
    images: Tensor
    classes: Tensor


def split_digits(seed: int, test_share: float = 1 / 3) -> tuple[Digits, Digits]:
    """Returns digits for the canvases and the teacher, and other digits for the test."""
    source = load_digits()
    images = F.interpolate(
        torch.from_numpy(source.images / 16).float()[:, None], size=DIGIT_PIXELS, mode="bilinear", align_corners=False
    )
    classes = torch.from_numpy(source.target).long()
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(classes)))
    cut = round(len(order) * test_share)
    test, train = order[:cut], order[cut:]
    return Digits(images[train], classes[train]), Digits(images[test], classes[test])


def save_canvases(digits: Digits, count: int, folder: Path, rng: np.random.Generator) -> None:
    """Draws canvases of 4 to 8 digits in noise, and saves each in the folder of one of its digits, chosen at random."""
    for number in range(count):
        canvas = np.zeros((CANVAS_PIXELS, CANVAS_PIXELS), dtype=np.float32)
        chosen = rng.choice(len(digits.classes), size=rng.integers(4, 9), replace=False)
        cells = rng.choice((CANVAS_PIXELS // CELL_PIXELS) ** 2, size=len(chosen), replace=False)
        for digit, cell in zip(chosen, cells):
            corner = np.array(divmod(cell, CANVAS_PIXELS // CELL_PIXELS)) * CELL_PIXELS
            y, x = corner + rng.integers(0, CELL_PIXELS - DIGIT_PIXELS + 1, size=2)
            canvas[y : y + DIGIT_PIXELS, x : x + DIGIT_PIXELS] = digits.images[digit, 0].numpy()
        canvas += rng.normal(0, NOISE, canvas.shape)
        folder_class = int(digits.classes[rng.choice(chosen)])
        path = folder / CLASSES[folder_class] / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((canvas.clip(0, 1) * 255).round().astype(np.uint8)).save(path)


def load_canvases(folder: Path, classes: list[str] = CLASSES) -> Canvases:
    """Loads the canvases of a folder, sorted by path: with one channel if they are grey, with three if not."""
    paths = sorted(folder.glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    return Canvases(
        ids=[path.relative_to(folder).with_suffix("").as_posix() for path in paths],
        images=torch.from_numpy(pixels).reshape(*pixels.shape[:3], -1).permute(0, 3, 1, 2).float() / 255,
        classes=torch.tensor([classes.index(path.parent.name) for path in paths]),
    )


def draw_singles(digits: Digits, count: int, side: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draws images of one digit each, at a random position in noise.

    Returns:
        Images ``[count, 1, side, side]``, classes ``[count]``, and the upper left corners of the digits ``[count, 2]``,
        ``y, x`` in pixels.
    """
    images = torch.from_numpy(rng.normal(0, NOISE, (count, 1, side, side))).float()
    chosen = torch.from_numpy(rng.integers(0, len(digits.classes), size=count))
    corners = rng.integers(0, side - DIGIT_PIXELS + 1, size=(count, 2))
    for image, digit, (y, x) in zip(images, digits.images[chosen], corners):
        image[:, y : y + DIGIT_PIXELS, x : x + DIGIT_PIXELS] += digit
    return images.clamp(0, 1), digits.classes[chosen], torch.from_numpy(corners)


def draw_crops(
    digits: Digits, count: int, digit_pixels: tuple[float, float], side: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draws resized crops that contain one complete digit.

    Args:
        digits: The digits to draw.
        count: Number of images.
        digit_pixels: Smallest and largest side of the digit in the resized crop, in pixels.
        side: Side of the resized crop in pixels.
        rng: Source of random numbers.

    Returns:
        Images ``[count, 1, side, side]`` and classes ``[count]``.
    """
    canvases, classes, corners = draw_singles(digits, count, CANVAS_PIXELS, rng)
    sizes = torch.from_numpy(rng.uniform(*digit_pixels, size=(count, 1)))
    sides = DIGIT_PIXELS * side / sizes
    lowest, highest = (corners + DIGIT_PIXELS - sides).clamp(min=0), corners.minimum(CANVAS_PIXELS - sides)
    corners = lowest + torch.from_numpy(rng.uniform(size=(count, 2))) * (highest - lowest)
    boxes = torch.cat([corners.flip(1), corners.flip(1) + sides], dim=1) / CANVAS_PIXELS
    return cut(canvases, boxes.float(), side), classes


def random_boxes(count: int, scale: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Draws boxes ``[count, 4]`` as torchvision's RandomResizedCrop does: ``scale`` of the area, aspect ratio 3:4 to 4:3,
    integer pixels."""
    area = CANVAS_PIXELS**2 * torch.empty(count).uniform_(*scale, generator=generator)
    ratio = torch.exp(torch.empty(count).uniform_(-1, 1, generator=generator) * np.log(4 / 3))
    width = torch.round(torch.sqrt(area * ratio)).clamp(1, CANVAS_PIXELS)
    height = torch.round(torch.sqrt(area / ratio)).clamp(1, CANVAS_PIXELS)
    x0 = torch.floor(torch.rand(count, generator=generator) * (CANVAS_PIXELS - width + 1))
    y0 = torch.floor(torch.rand(count, generator=generator) * (CANVAS_PIXELS - height + 1))
    return torch.stack([x0, y0, x0 + width, y0 + height], dim=1) / CANVAS_PIXELS


def cut(images: Tensor, boxes: Tensor, side: int = INPUT_PIXELS) -> Tensor:
    """Crops each image to its box with bilinear interpolation, ``[n, channels, side, side]``.

    With ``align_corners=False`` the outer edges of the corner pixels are at the box's corners, as in cropping and resizing.
    The outermost pixels may interpolate with pixels just outside the box.
    """
    x0, y0, x1, y1 = boxes.unbind(1)
    zero = torch.zeros_like(x0)
    across = torch.stack([x1 - x0, zero, x0 + x1 - 1], dim=1)
    down = torch.stack([zero, y1 - y0, y0 + y1 - 1], dim=1)
    grid = F.affine_grid(torch.stack([across, down], dim=1), [len(images), 1, side, side], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
