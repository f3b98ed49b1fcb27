"""RoIAlign along one axis of a map: weights of the cells in each part of a box."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Windows(NamedTuple):
    """The cells that each part of a box depends on along one axis, and their weights."""

    cells: torch.Tensor
    """int64 ``[B, parts, n]``."""
    weights: torch.Tensor
    """``[B, parts, n]``."""

    def of(self, images: slice) -> Windows:
        """Returns the windows of some images of the batch."""
        return Windows(self.cells[images], self.weights[images])

    def mirrored(self, flip: torch.Tensor) -> Windows:
        """Returns the windows with the order of the parts reversed where ``flip`` (bool ``[B]``) is true."""
        flip = flip[:, None, None]
        return Windows(
            torch.where(flip, self.cells.flip(1), self.cells), torch.where(flip, self.weights.flip(1), self.weights)
        )

    def to(self, device: torch.device) -> Windows:
        """Returns the windows on a device."""
        return Windows(self.cells.to(device), self.weights.to(device))


def align_windows(low: torch.Tensor, high: torch.Tensor, cells: int, parts: int, dtype: torch.dtype) -> Windows:
    """Returns the windows of boxes with the sides ``low`` and ``high`` (float32 ``[B]``, in ``map`` coordinates).

    With one part, a window is the entire axis. Otherwise all windows have the length of the longest, which is read from the device.
    """
    weights = align_weights(low, high, cells, parts, dtype)
    has_weight = weights != 0
    first = has_weight.int().argmax(2)
    length = cells
    if parts > 1 and len(weights):
        last = cells - 1 - has_weight.flip(2).int().argmax(2)
        length = int((last - first).masked_fill(~has_weight.any(2), 0).max()) + 1
    window = first.clamp(max=cells - length)[..., None] + torch.arange(length, device=weights.device)
    return Windows(window, weights.gather(2, window))


def align_weights(low: torch.Tensor, high: torch.Tensor, cells: int, parts: int, dtype: torch.dtype) -> torch.Tensor:
    """Returns the weight of each cell in each part, ``[B, parts, cells]``.

    Positions of samples are computed in float32 with the operations of ``roi_align(aligned=False, sampling_ratio=-1)`` in their
    order.
    """
    low, length = low[:, None], (high - low).clamp(min=1)[:, None]
    part_length = length / parts
    count = part_length.ceil()
    start = low + torch.arange(parts, dtype=torch.float32, device=low.device) * part_length
    # Boxes may extend far beyond the map. There is more than half a cell between two samples of a part, so those that can be
    # within a cell of the map follow one another and their number has this limit.
    first = ((-1 - start) / (part_length / count)).floor().sub(1).clamp(min=0)
    sample = first[..., None] + torch.arange(2 * cells + 8, dtype=torch.float32, device=low.device)
    position = start[..., None] + (sample + 0.5) * part_length[..., None] / count[..., None]
    counts = (sample < count[..., None]) & (position >= -1) & (position <= cells)
    position = position.clamp(min=0, max=cells - 1)
    below = position.long()
    above = (below + 1).clamp(max=cells - 1)
    fraction = (position - below).to(dtype)
    share = counts / count[..., None].to(dtype)
    weights = torch.zeros(*start.shape, cells, dtype=dtype, device=low.device)
    return weights.scatter_add_(2, below, (1 - fraction) * share).scatter_add_(2, above, fraction * share)
