"""Label maps of a batch as tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..image_ids import Ids
from ..labels import Labels


class LabelMaps(NamedTuple):
    """Label maps of ``B`` images, as :meth:`relabel.Labels.maps` returns them.

    A DataLoader collates and pins them as any tuple of tensors. :func:`relabel.torch.pool` computes targets from them.
    """

    scores: torch.Tensor
    """float16 ``[B, k, y, x]``: scores of the best classes of each cell."""
    classes: torch.Tensor
    """Class ids of these scores, of the same shape: int16, or int32 for teachers with more than 32,768 classes."""

    @classmethod
    def read(cls, labels: Labels, ids: Ids, *, threads: int | None = None) -> LabelMaps:
        """Reads the label maps of images.

        Args:
            labels: The store.
            ids: ``B`` ids or row numbers.
            threads: As in :meth:`relabel.Labels.pool`.

        Raises:
            ValueError: If the store has no label maps.
            KeyError: If an id is missing in the store.
            NotLabelled: If an image failed or is not done yet.
            StoreError: If a shard is damaged.
        """
        scores, classes = labels.maps(ids, threads=threads)
        return cls(torch.from_numpy(scores), torch.from_numpy(classes))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> LabelMaps:
        """Returns the maps on a device."""
        scores = self.scores.to(device, non_blocking=non_blocking)
        return LabelMaps(scores, self.classes.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> LabelMaps:
        """Returns the maps in page-locked memory, from which copies to a GPU need not wait."""
        return LabelMaps(self.scores.pin_memory(), self.classes.pin_memory())


class CropMaps(NamedTuple):
    """Crops of ``B`` images with their label maps: what :func:`relabel.torch.pool` needs, as a batch of a loader."""

    maps: LabelMaps
    boxes: torch.Tensor
    """float32 ``[B, 4]``, ``x0, y0, x1, y1`` as fractions of the image."""
    flips: torch.Tensor
    """bool ``[B]``: whether the crop was mirrored left to right. Only token labels depend on it."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> CropMaps:
        """Returns maps, boxes and flips on a device."""
        maps = self.maps.to(device, non_blocking=non_blocking)
        return CropMaps(maps, *(values.to(device, non_blocking=non_blocking) for values in self[1:]))

    def pin_memory(self) -> CropMaps:
        """Returns them in page-locked memory, from which copies to a GPU need not wait."""
        return CropMaps(self.maps.pin_memory(), self.boxes.pin_memory(), self.flips.pin_memory())
