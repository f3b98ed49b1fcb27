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
from .batch_targets import AnyTargets, BatchTargets, Form
from .crops import Crop
from .data import CropDataset
from .iterable import CropIterable
from .mix import CutMix
from .sparse_targets import SparseTargets
from .targets import CropArrays, HardWeight, Target, TargetOptions


class PoolCollate:
    """Collates samples ``(image, Crop)`` into ``(images, targets)``. Pools the batch in one call and applies CutMix.

    CutMix by region needs this class, because it needs the boxes.

    Args:
        dataset: The data set of the loader, which gives ``(image, Crop)``. All samples must be from it.
        cutmix: Applied to the batch.
        form: See :data:`~relabel.torch.batch_targets.Form`.
        top: Number of classes of a sparse target. Default: all that the labels of the crop have.
        target: As in :class:`LabelMapDataset`, as are all arguments that are not listed here.

    Raises:
        ValueError: If the store cannot serve the options, or CutMix by region is combined with options that it does not have.
    """

    def __init__(
        self,
        dataset: CropDataset | CropIterable,
        *,
        cutmix: CutMix | None = None,
        form: Form = "dense",
        top: int | None = None,
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
            wrong = {
                "form": form != "dense",
                "target": target != "crop",
                "output_size": output_size is not None,
                "dtype": target_dtype(dtype) != "float32",
            }
            given = ", ".join(name for name, is_wrong in wrong.items() if is_wrong)
            if given:
                raise ValueError(f"CutMix by region does not take {given}\n  help: leave it out, or pass CutMix(region=False)")
        if cutmix is not None and form == "maps":
            raise ValueError(
                'CutMix mixes targets, and form="maps" leaves them to the device\n'
                "  help: apply CutMix to what relabel.torch.pool returns"
            )
        self.targets = BatchTargets(dataset, options, form, top, needs_sides=by_region)
        self.cutmix = cutmix

    def __call__(self, samples: Sequence[tuple[Any, Crop]]) -> tuple[torch.Tensor, AnyTargets]:
        crops = CropArrays.of([crop for _, crop in samples])
        images = default_collate([image for image, _ in samples])
        paste = None if self.cutmix is None else self.cutmix.paste(images)
        if paste is None:
            return images, self.targets(crops)
        dense = self.targets.dense
        if self.cutmix is not None and self.cutmix.region:
            return paste.images, dense.of_paste(crops, paste)
        targets = self.targets(crops)
        if isinstance(targets, SparseTargets):
            mixed = paste.mix(targets, dense.class_count)
            return paste.images, mixed if self.targets.top is None else mixed.best(self.targets.top)
        assert isinstance(targets, torch.Tensor)
        return paste.images, paste.mix(targets)
