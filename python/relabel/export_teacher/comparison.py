"""Comparison of an exported file with PyTorch, on random input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.nn import Module

from .options import Size, size_text


@dataclass(frozen=True)
class Comparison:
    """Difference between the scores of the exported file and those of PyTorch."""

    max_difference: float
    max_score: float
    sizes: list[Size]

    def __str__(self) -> str:
        sizes = " and ".join(size_text(size) for size in self.sizes)
        return f"differs from PyTorch by at most {self.max_difference:.1e}, with scores up to {self.max_score:.3g}, at {sizes}"


def compare(path: Path, reference: Module, sizes: Sequence[Size]) -> Comparison:
    """Runs a file and the network with one image, and with three images at every size.

    Raises:
        ValueError: If the scores have another shape than those of PyTorch.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    max_difference, max_score = 0.0, 0.0
    for batch, size in [(1, sizes[0]), *((3, size) for size in sizes)]:
        pixels = random_pixels(batch, size)
        expected = scores(reference, pixels)
        given = session.run(None, {"input": pixels.numpy()})[0]
        if given.shape != expected.shape:
            raise ValueError(f"scores have the shape {given.shape}, not {expected.shape}")
        difference = float(np.abs(given - expected).max())
        # max() ignores NaN, so it must become infinity.
        max_difference = max(max_difference, difference if np.isfinite(difference) else float("inf"))
        max_score = max(max_score, float(np.abs(expected).max()))
    return Comparison(max_difference, max_score, list(sizes))


def scores(module: Module, pixels: torch.Tensor) -> NDArray[np.float32]:
    """Returns the scores of a network, ``[batch, class]`` or ``[batch, class, y, x]``.

    Raises:
        ValueError: If the output has another form.
    """
    with torch.no_grad():
        output = module(pixels)
    if not isinstance(output, torch.Tensor) or output.ndim not in (2, 4):
        raise ValueError("the output is not a row or a map of scores for each image")
    found: NDArray[Any] = output.numpy()
    return found


def random_pixels(batch: int, size: Size) -> torch.Tensor:
    """Returns normalised random images, the same ones for the same batch and size."""
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(batch))
