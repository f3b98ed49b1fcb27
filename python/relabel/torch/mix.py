"""CutMix and MixUp for soft targets."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from .. import _relabel
from ..pool_arguments import real_number


class Paste(NamedTuple):
    """A batch after pasting."""

    images: torch.Tensor
    """The mixed images, ``[B, channels, height, width]``."""
    partners: torch.Tensor
    """int64 ``[B]``: position in the batch of the image that was pasted into each."""
    rect: tuple[int, int, int, int]
    """The pasted rectangle, ``x0, y0, x1, y1`` in pixels, half-open."""
    lam: float
    """λ: visible share of each host, computed from the clipped rectangle."""
    input_size: tuple[int, int]
    """Height and width of the images in pixels."""


class CutMix(torch.nn.Module):
    """CutMix (arXiv 1905.04899) for soft targets.

    Draws λ from Beta(``beta``, ``beta``), clips a rectangle with sides W√(1−λ) and H√(1−λ) around a uniform centre to the
    image, and pastes it from a random permutation of the batch. λ becomes the visible share, and the target is
    ``λ·host + (1 − λ)·pasted``. One λ and one rectangle for a batch, as in the paper's code. Uses torch's random numbers.

    With ``region=True`` each of the two targets is pooled over the visible region of its image (``docs/label-pooling.md``).
    This needs the boxes: pass the instance to :class:`relabel.torch.PoolCollate`.

    Args:
        beta: Parameter of the Beta distribution, above 0; 1 in the paper for ImageNet.
        prob: Probability that a batch is mixed, 0 to 1.
        region: Pool targets by region instead of mixing them by area only.
    """

    def __init__(self, beta: float = 1.0, *, prob: float = 1.0, region: bool = False) -> None:
        super().__init__()
        self._beta = _beta(beta, "beta")
        self.prob = _probability(prob)
        if not isinstance(region, bool):
            raise ValueError(f"region is {region!r}\n  help: pass True or False")
        self.region = region

    def paste(self, images: torch.Tensor) -> Paste | None:
        """Mixes images ``[B, channels, height, width]``. Returns None if this batch is not mixed (``prob``)."""
        if images.ndim != 4:
            raise ValueError(f"images must have shape [B, channels, height, width], got {list(images.shape)}")
        if torch.rand(()) >= self.prob:
            return None
        height, width = images.shape[-2:]
        lam = float(self._beta.sample())
        centre_x, centre_y = int(torch.randint(width, ())), int(torch.randint(height, ()))
        (x0, y0, x1, y1), lam = _relabel.cut_rect(height, width, lam, centre_x, centre_y)
        partners = torch.randperm(len(images))
        pasted = images.clone()
        pasted[..., y0:y1, x0:x1] = images[partners.to(images.device), :, y0:y1, x0:x1]
        return Paste(pasted, partners, (x0, y0, x1, y1), lam, (height, width))

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixed images ``[B, channels, height, width]`` and targets ``[B, classes]``; the inputs are not modified."""
        if self.region:
            raise ValueError("CutMix by region needs the crops\n  help: use relabel.torch.PoolCollate(dataset, cutmix=...)")
        _check_soft(images, targets)
        paste = self.paste(images)
        if paste is None:
            return images, targets
        return paste.images, _mix(targets, paste.partners, paste.lam)

    def extra_repr(self) -> str:
        return f"beta={float(self._beta.concentration0)}, prob={self.prob}, region={self.region}"


class MixUp(torch.nn.Module):
    """MixUp (arXiv 1710.09412) for soft targets: mixes images and targets with λ from Beta(``alpha``, ``alpha``).

    Args:
        alpha: Parameter of the Beta distribution, above 0; 0.2 in the paper for ImageNet.
        prob: Probability that a batch is mixed, 0 to 1.
    """

    def __init__(self, alpha: float = 0.2, *, prob: float = 1.0) -> None:
        super().__init__()
        self._beta = _beta(alpha, "alpha")
        self.prob = _probability(prob)

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mixed images ``[B, ...]`` (floating point) and targets ``[B, classes]``; the inputs are not modified."""
        _check_soft(images, targets)
        if not images.is_floating_point():
            raise TypeError(f"MixUp needs images of floating point, got {images.dtype}")
        if torch.rand(()) >= self.prob:
            return images, targets
        lam = float(self._beta.sample())
        partners = torch.randperm(len(images))
        return _mix(images, partners, lam), _mix(targets, partners, lam)

    def extra_repr(self) -> str:
        return f"alpha={float(self._beta.concentration0)}, prob={self.prob}"


def _mix(hosts: torch.Tensor, partners: torch.Tensor, lam: float) -> torch.Tensor:
    return lam * hosts + (1 - lam) * hosts[partners.to(hosts.device)]


def _check_soft(images: torch.Tensor, targets: torch.Tensor) -> None:
    if not targets.is_floating_point() or targets.ndim != 2 or len(targets) != len(images):
        raise ValueError(
            f"targets of {len(images)} images must be probabilities [{len(images)}, classes], got {targets.dtype} "
            f"{list(targets.shape)}"
        )


def _beta(concentration: float, name: str) -> torch.distributions.Beta:
    given = real_number(concentration)
    value = torch.tensor(math.nan if given is None else given, dtype=torch.float32)
    if not (value > 0 and value.isfinite()):
        raise ValueError(f"{name} is {concentration!r}\n  help: pass a finite number above 0")
    return torch.distributions.Beta(value, value)


def _probability(prob: float) -> float:
    given = real_number(prob)
    if given is None or not 0 <= given <= 1:
        raise ValueError(f"prob is {prob!r}\n  help: pass a number from 0 to 1")
    return given
