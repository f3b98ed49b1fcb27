"""LabelPooling written for clarity, and random crops as RandomResizedCrop draws them."""

from __future__ import annotations

import math
import random

import numpy as np

Box = tuple[float, float, float, float]


def random_box(draw: random.Random) -> Box:
    """Draws x0, y0, x1, y1 in 0..1 as RandomResizedCrop does on a square image."""
    for _ in range(10):
        area, ratio = draw.uniform(0.08, 1), math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= 1 and height <= 1:
            x0, y0 = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
            return x0, y0, x0 + width, y0 + height
    return 0, 0, 1, 1


def pooled_target(scores: np.ndarray, classes: np.ndarray, box: Box) -> np.ndarray:
    """LabelPooling: score 0 for classes outside the top-k, RoIAlign to 1x1, softmax over 1,000 classes."""
    _, height, width = scores.shape
    x0, y0, x1, y1 = box
    weights = np.outer(align_weights(y0, y1, height), align_weights(x0, x1, width))
    pooled = np.bincount(classes.ravel(), (scores * weights).ravel(), minlength=1000)
    exponentials = np.exp(pooled - pooled.max())
    return np.asarray(exponentials / exponentials.sum())


def align_weights(start: float, end: float, cells: int) -> np.ndarray:
    """Returns the weight of each cell along one axis in `roi_align(aligned=False, sampling_ratio=-1)` to 1x1."""
    # In float32, as in torchvision: the number of samples changes if the length is an integer number of cells.
    first, last = np.float32(start * cells - 0.5), np.float32(end * cells - 0.5)
    length = float(max(last - first, np.float32(1)))
    samples = math.ceil(length)
    weights = np.zeros(cells)
    for sample in range(samples):
        position = float(first) + (sample + 0.5) * length / samples
        if position < -1 or position > cells:
            continue
        below = min(int(max(position, 0)), cells - 1)
        above = min(below + 1, cells - 1)
        fraction = min(max(position, 0), cells - 1) - below
        weights[below] += (1 - fraction) / samples
        weights[above] += fraction / samples
    return weights
