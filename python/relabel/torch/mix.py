"""CutMix and MixUp for soft targets."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import torch

from .. import _relabel
from ..pool_arguments import real_number
from .sparse_targets import SparseTargets

SoftTargets = TypeVar("SoftTargets", torch.Tensor, SparseTargets)
"""Probabilities ``[B, classes]``, token labels ``[B, classes, p, p]``, or both as :class:`SparseTargets`."""


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

    def mix(self, targets: SoftTargets, num_classes: int | None = None) -> SoftTargets:
        """Returns the targets of the batch after pasting: by area, and token labels by the covered area of each token.

        Args:
            targets: Targets of the batch before pasting.
            num_classes: Number of classes of the teacher; only needed for sparse targets.
        """
        grid = _grid(targets)
        if not grid:
            return _mix(targets, self.partners, 1 - self.lam, num_classes)
        return _mix(targets, self.partners, self.coverage((grid[0], grid[1])).to(_values(targets)), num_classes)

    def coverage(self, grid: tuple[int, int]) -> torch.Tensor:
        """Returns the part of each token's area that the rectangle covers, float64 ``[p, p]``, for ``grid`` tokens."""
        x0, y0, x1, y1 = self.rect
        height, width = self.input_size
        return _covered(y0, y1, height, grid[0])[:, None] * _covered(x0, x1, width, grid[1])


class CutMix(torch.nn.Module):
    """CutMix (arXiv 1905.04899) for soft targets.

    Draws λ from Beta(``beta``, ``beta``), clips a rectangle with sides W√(1−λ) and H√(1−λ) around a uniform centre to the
    image, and pastes it from a random permutation of the batch. λ becomes the visible share, and the target is
    ``λ·host + (1 − λ)·pasted``. One λ and one rectangle for a batch, as in the paper's code. Uses torch's random numbers.

    With ``region=True`` each of the two targets is pooled over the visible region of its image (``docs/label-pooling.md``).
    This needs the boxes: pass the instance to :class:`relabel.torch.PoolCollate`.

    Token labels are mixed token by token, by the part of the token's area that the rectangle covers: each token has the target of
    the image that it shows, so ``region=True`` does not apply to them.

    Args:
        beta: Parameter of the Beta distribution, above 0; 1 in the paper for ImageNet.
        prob: Probability that a batch is mixed, 0 to 1.
        region: Pool targets by region instead of mixing them by area only.
        num_classes: Number of classes of the teacher; only needed for sparse targets.
    """

    def __init__(
        self, beta: float = 1.0, *, prob: float = 1.0, region: bool = False, num_classes: int | None = None
    ) -> None:
        super().__init__()
        self._beta = _beta(beta, "beta")
        self.prob = _probability(prob)
        if not isinstance(region, bool):
            raise ValueError(f"region is {region!r}\n  help: pass True or False")
        self.region = region
        self.num_classes = num_classes

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

    def forward(self, images: torch.Tensor, targets: SoftTargets) -> tuple[torch.Tensor, SoftTargets]:
        """Returns mixed images ``[B, channels, height, width]`` and targets of the same kind; the inputs are not modified.

        Args:
            images: The batch.
            targets: ``[B, classes]``, or token labels ``[B, classes, p, p]``, or :class:`SparseTargets`.
        """
        if self.region:
            raise ValueError("CutMix by region needs the crops\n  help: use relabel.torch.PoolCollate(dataset, cutmix=...)")
        _check_soft(images, targets, self.num_classes)
        paste = self.paste(images)
        if paste is None:
            return images, targets
        return paste.images, paste.mix(targets, self.num_classes)

    def extra_repr(self) -> str:
        return f"beta={float(self._beta.concentration0)}, prob={self.prob}, region={self.region}"


class MixUp(torch.nn.Module):
    """MixUp (arXiv 1710.09412) for soft targets: mixes images and targets with λ from Beta(``alpha``, ``alpha``).

    Args:
        alpha: Parameter of the Beta distribution, above 0; 0.2 in the paper for ImageNet.
        prob: Probability that a batch is mixed, 0 to 1.
        num_classes: Number of classes of the teacher; only needed for sparse targets.
    """

    def __init__(self, alpha: float = 0.2, *, prob: float = 1.0, num_classes: int | None = None) -> None:
        super().__init__()
        self._beta = _beta(alpha, "alpha")
        self.prob = _probability(prob)
        self.num_classes = num_classes

    def forward(self, images: torch.Tensor, targets: SoftTargets) -> tuple[torch.Tensor, SoftTargets]:
        """Returns mixed images ``[B, ...]`` (floating point) and targets as those of :class:`CutMix`; the inputs are not
        modified."""
        _check_soft(images, targets, self.num_classes)
        if not images.is_floating_point():
            raise TypeError(f"MixUp needs images of floating point, got {images.dtype}")
        if torch.rand(()) >= self.prob:
            return images, targets
        lam = float(self._beta.sample())
        partners = torch.randperm(len(images))
        return _mix(images, partners, 1 - lam, None), _mix(targets, partners, 1 - lam, self.num_classes)

    def extra_repr(self) -> str:
        return f"alpha={float(self._beta.concentration0)}, prob={self.prob}"


def _mix(
    hosts: SoftTargets, partners: torch.Tensor, pasted_share: torch.Tensor | float, num_classes: int | None
) -> SoftTargets:
    if isinstance(hosts, SparseTargets):
        pasted = SparseTargets(*(values[partners.to(values.device)] for values in hosts))
        return hosts.mixed(pasted, pasted_share, _known(num_classes))
    return (1 - pasted_share) * hosts + pasted_share * hosts[partners.to(hosts.device)]


def _covered(low: int, high: int, length: int, parts: int) -> torch.Tensor:
    """Returns the fraction of each of ``parts`` equal parts of ``length`` pixels that is between ``low`` and ``high``."""
    edges = torch.arange(parts + 1, dtype=torch.float64) * length / parts
    covered = edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)
    return (covered * parts / length).clamp(0, 1)


def _values(targets: torch.Tensor | SparseTargets) -> torch.Tensor:
    return targets.probs if isinstance(targets, SparseTargets) else targets


def _grid(targets: torch.Tensor | SparseTargets) -> tuple[int, ...]:
    """Returns rows and columns of token labels, nothing for targets of entire crops."""
    return tuple(_values(targets).shape[2:])


def _known(num_classes: int | None) -> int:
    if num_classes is None:
        raise ValueError("sparse targets are mixed with the number of classes\n  help: pass num_classes=labels.num_classes")
    return num_classes


def _check_soft(images: torch.Tensor, targets: torch.Tensor | SparseTargets, num_classes: int | None) -> None:
    values = _values(targets)
    if isinstance(targets, SparseTargets):
        _known(num_classes)
    if not values.is_floating_point() or values.ndim not in (2, 4) or len(values) != len(images):
        raise ValueError(
            f"targets of {len(images)} images must be probabilities [{len(images)}, classes] or [{len(images)}, classes, p, p], "
            f"got {values.dtype} {list(values.shape)}"
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
