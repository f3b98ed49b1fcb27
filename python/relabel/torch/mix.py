"""CutMix and MixUp on soft targets."""

from __future__ import annotations

from typing import NamedTuple

import torch

from .. import _relabel


class Paste(NamedTuple):
    """A batch after pasting, and what was pasted where."""

    images: torch.Tensor
    """``[B, channels, height, width]``"""
    partners: torch.Tensor
    """int64 ``[B]``: position of the image that was pasted into each."""
    rect: tuple[int, int, int, int]
    """``x0, y0, x1, y1`` of the pasted part in pixels, half-open."""
    lam: float
    """Share of each host that stays visible, from the clipped area."""
    input_size: tuple[int, int]
    """Height and width of the images."""


class CutMix(torch.nn.Module):
    """CutMix (arXiv 1905.04899) for soft targets.

    λ is drawn from Beta(``beta``, ``beta``); a box with sides W√(1−λ) and H√(1−λ) around a uniform centre is clipped to the
    image and pasted from the batch in random order; λ becomes the share that stays visible; the target is
    ``λ·host + (1 − λ)·pasted``. One λ and one box for a batch, as in the paper's code. Random numbers are torch's.

    ``region=True`` pools each of the two labels over what is seen of its image (``docs/label-pooling.md``). It needs the boxes:
    give it to :class:`relabel.torch.PoolCollate`.

    Args:
        beta: parameter of the distribution; 1 is the paper's for ImageNet.
        prob: share of batches that are mixed.
        region: labels by region instead of by area.
    """

    def __init__(self, beta: float = 1.0, *, prob: float = 1.0, region: bool = False) -> None:
        super().__init__()
        self._beta = _beta(beta, "beta")
        self.prob = _share(prob)
        self.region = region

    def paste(self, images: torch.Tensor) -> Paste | None:
        """Pastes within a batch ``[B, channels, height, width]``; None when this batch is left alone."""
        if images.ndim != 4:
            raise ValueError(f"images have the shape {list(images.shape)}; a batch is [B, channels, height, width]")
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
        """Images ``[B, channels, height, width]`` and targets ``[B, classes]``, on any device; neither is changed."""
        if self.region:
            raise ValueError("CutMix by region must know the crops: use relabel.torch.PoolCollate(dataset, cutmix=...)")
        _check_soft(images, targets)
        paste = self.paste(images)
        if paste is None:
            return images, targets
        return paste.images, _mix(targets, paste.partners, paste.lam)

    def extra_repr(self) -> str:
        return f"beta={float(self._beta.concentration0)}, prob={self.prob}, region={self.region}"


class MixUp(torch.nn.Module):
    """MixUp (arXiv 1710.09412) for soft targets: images and targets are mixed with λ from Beta(``alpha``, ``alpha``).

    Args:
        alpha: parameter of the distribution; 0.2 is the paper's for ImageNet.
        prob: share of batches that are mixed.
    """

    def __init__(self, alpha: float = 0.2, *, prob: float = 1.0) -> None:
        super().__init__()
        self._beta = _beta(alpha, "alpha")
        self.prob = _share(prob)

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images ``[B, ...]`` of floating point and targets ``[B, classes]``, on any device; neither is changed."""
        _check_soft(images, targets)
        if not images.is_floating_point():
            raise TypeError(f"images are {images.dtype}; MixUp adds them up, so convert them to floating point first")
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
            f"targets are {targets.dtype} {list(targets.shape)}; {len(images)} images need probabilities "
            f"[{len(images)}, classes]"
        )


def _beta(concentration: float, name: str) -> torch.distributions.Beta:
    if not concentration > 0:
        raise ValueError(f"{name} is {concentration}; it is above 0")
    return torch.distributions.Beta(torch.tensor(float(concentration)), torch.tensor(float(concentration)))


def _share(prob: float) -> float:
    if not 0 <= prob <= 1:
        raise ValueError(f"prob is {prob}; it is a share, 0 to 1")
    return prob
