"""Collation of images and crops into batches with targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch.utils.data import default_collate

from ..labels import Convention, Fill, Pooling
from ..pool_arguments import target_dtype
from .crops import Crop
from .data import CropDataset
from .iterable import CropIterable
from .mix import CutMix
from .targets import CropArrays, HardWeight, Target, TargetOptions, Targets


class PoolCollate:
    """Collates samples ``(image, Crop)`` into ``(images, targets)``. Pools the batch in one call and applies CutMix.

    CutMix by region needs this class, because it needs the boxes.

    Args:
        dataset: The data set of the loader, which gives ``(image, Crop)``.
        cutmix: Applied to the batch.
        target: As in :class:`LabelMapDataset`, as are all arguments that are not listed here.

    Raises:
        ValueError: If the store cannot serve the options, or CutMix by region is combined with options that it does not have.
    """

    def __init__(
        self,
        dataset: CropDataset | CropIterable,
        *,
        cutmix: CutMix | None = None,
        target: Target = "crop",
        pooling: Pooling | None = None,
        output_size: int | tuple[int, int] | None = None,
        dtype: DTypeLike = np.float32,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        classes: Sequence[str] | None = None,
        hard: float = 0.0,
        hard_weight: HardWeight = "constant",
    ) -> None:
        options = TargetOptions(
            target, pooling, output_size, dtype, fill, temperature, convention, classes, hard, hard_weight
        )
        by_region = cutmix is not None and cutmix.region
        if by_region:
            wrong = {"target": target != "crop", "output_size": output_size is not None, "dtype": target_dtype(dtype) != "float32"}
            given = ", ".join(name for name, is_wrong in wrong.items() if is_wrong)
            if given:
                raise ValueError(f"CutMix by region does not take {given}\n  help: leave it out, or pass CutMix(region=False)")
        dataset.check_options(options, by_region=by_region)
        self.targets = Targets(dataset.labels, options, dataset.rows, dataset.one_hot_rows)
        self.cutmix = cutmix

    def __call__(self, samples: Sequence[tuple[Any, Crop]]) -> tuple[torch.Tensor, torch.Tensor]:
        crops = CropArrays.of([crop for _, crop in samples])
        images = default_collate([image for image, _ in samples])
        if self.cutmix is None:
            return images, self.targets(crops)
        if not self.cutmix.region:
            return self.cutmix.forward(images, self.targets(crops))
        paste = self.cutmix.paste(images)
        if paste is None:
            return images, self.targets(crops)
        return paste.images, self.targets.of_paste(crops, paste)
