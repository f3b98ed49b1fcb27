"""Targets of a batch: dense, as lists of classes, or left to the device as label maps."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Subset

from ..labels import Labels
from ..pool_arguments import target_dtype, whole_number
from .data import CropDataset, LabelMapDataset
from .iterable import CropIterable, LabelMapIterable
from .label_maps import CropMaps, LabelMaps
from .sparse_targets import SparseTargets
from .targets import CropArrays, TargetOptions, Targets

Form = Literal["dense", "sparse", "maps"]
"""Form of the targets of a batch: ``"dense"``: a tensor ``[B, classes]``; ``"sparse"``: :class:`SparseTargets`, for
:func:`soft_cross_entropy`; ``"maps"``: :class:`CropMaps`, for :func:`relabel.torch.pool` on the device."""

AnyTargets: TypeAlias = "torch.Tensor | SparseTargets | CropMaps"


class BatchTargets:
    """Computes the targets of batches in one of the forms.

    Args:
        dataset: A :class:`CropDataset`, a ``Subset`` of one, or a :class:`CropIterable`. Its transforms are checked for the options.
        options: See :class:`TargetOptions`.
        form: See :data:`Form`.
        top: Number of classes of a sparse target; the probability of the others is added to the rest. Default: all that the
            labels of the crop have.

        needs_sides: Whether the targets depend on where in the crop a pixel is, whatever the options.

    Raises:
        TypeError: If the data set returns targets instead of crops.
        ValueError: If the store cannot serve the options, or the form does not have them.
    """

    def __init__(
        self,
        dataset: Any,
        options: TargetOptions,
        form: Form = "dense",
        top: int | None = None,
        *,
        needs_sides: bool = False,
    ) -> None:
        while isinstance(dataset, Subset):
            dataset = dataset.dataset
        if isinstance(dataset, (LabelMapDataset, LabelMapIterable)) or not isinstance(dataset, (CropDataset, CropIterable)):
            raise TypeError(
                f"targets of a batch need the crops of its images, and {type(dataset).__name__} does not return them\n"
                "  help: use relabel.torch.CropDataset or CropIterable; a CropDataset takes a ConcatDataset of images"
            )
        if form not in ("dense", "sparse", "maps"):
            raise ValueError(f'form must be "dense", "sparse" or "maps", got {form!r}')
        if top is not None and form != "sparse":
            raise ValueError(f'top is the number of classes of form="sparse", got form={form!r}')
        self.labels: Labels = dataset.labels
        self.form = form
        self.top = None if top is None else whole_number(top, "top")
        if form == "maps":
            _refuse_for_maps(options, dataset.one_hot_rows)
            dataset.labels.maps([])
        if form == "sparse":
            _refuse("sparse", {"target": options.target != "crop", "dtype": target_dtype(options.dtype) != "float32"})
        # Maps may become token labels, which know horizontal flips only.
        dataset.check_options(options, needs_sides=needs_sides or form == "maps")
        self.dense = Targets(dataset.labels, options, dataset.rows, dataset.one_hot_rows)

    def __call__(self, crops: CropArrays, threads: int | None = None) -> AnyTargets:
        """Returns the targets of a batch."""
        if self.form == "maps":
            maps = LabelMaps.read(self.labels, crops.rows, threads=threads)
            return CropMaps(maps, torch.from_numpy(crops.boxes), torch.from_numpy(crops.flips))
        return self.dense(crops, threads) if self.form == "dense" else self._sparse(crops, threads)

    def _sparse(self, crops: CropArrays, threads: int | None) -> SparseTargets:
        dense, options = self.dense, self.dense.options
        targets = self._of_labels(crops, threads)
        if options.hard > 0:
            classes = torch.from_numpy(dense.folder_classes[crops.rows])
            weight: Any = options.hard
            if options.hard_weight == "disagreement":
                weight = weight * (1 - targets.prob_of(classes, dense.class_count))
            targets = targets.mixed(SparseTargets.one_hot(classes, _parts(targets)), weight, dense.class_count)
        return targets if self.top is None else targets.best(self.top)

    def _of_labels(self, crops: CropArrays, threads: int | None) -> SparseTargets:
        """Returns targets without a share of the folder class; its class alone for rows without labels."""
        one_hot_rows = self.dense.one_hot_rows
        if one_hot_rows is None:
            return self._soft(crops, threads)
        is_one_hot = one_hot_rows[crops.rows]
        has_labels, without = np.flatnonzero(~is_one_hot), np.flatnonzero(is_one_hot)
        soft = self._soft(crops.at(has_labels), threads)
        m = max(1, soft.ids.shape[1])
        folder = torch.from_numpy(self.dense.folder_classes[crops.rows[without]])
        hard = SparseTargets.one_hot(folder, _parts(soft)).best(m)
        position = torch.from_numpy(np.argsort(np.concatenate([has_labels, without])))
        return SparseTargets(*(torch.cat(pair)[position] for pair in zip(soft.best(m), hard, strict=True)))

    def _soft(self, crops: CropArrays, threads: int | None) -> SparseTargets:
        dense = self.dense
        options = {name: value for name, value in dense.options.pool_options().items() if name != "dtype"}
        targets = SparseTargets.from_numpy(
            self.labels.pool_sparse(crops.rows, crops.boxes, flip=crops.flips, threads=threads, **options)
        )
        if dense.columns is None:
            return targets
        return targets.selected(torch.from_numpy(dense.columns), self.labels.num_classes)


def _parts(targets: SparseTargets) -> tuple[int, ...]:
    return tuple(targets.rest.shape[1:])


def _refuse_for_maps(options: TargetOptions, one_hot_rows: NDArray[np.bool_] | None) -> None:
    """Refuses options of the targets, which are computed later: they belong to the call that pools."""
    given = dict.fromkeys(options.pool_options(), True)
    given |= {"target": options.target != "crop", "classes": options.classes is not None, "hard": options.hard > 0}
    _refuse("maps", given | {'missing="hard"': one_hot_rows is not None})


def _refuse(form: Form, given: dict[str, bool]) -> None:
    names = ", ".join(name for name, is_given in given.items() if is_given)
    if names:
        raise ValueError(f"form={form!r} does not take {names}\n  help: {_INSTEAD[form]}")


_INSTEAD = {
    "maps": "leave it out; output_size, temperature and fill are arguments of relabel.torch.pool",
    "sparse": "leave it out; these targets are float32, of crops",
}
