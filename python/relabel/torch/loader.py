"""Targets in the training process, for a loader whose workers return crops only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..labels import Convention, Fill, Pooling
from .batch_targets import AnyTargets, BatchTargets, Form
from .crops import Crop
from .targets import CropArrays, HardWeight, Target, TargetOptions


class TargetLoader:
    """Batches ``(images, targets)`` from a loader of ``(images, crops)``. The targets of a batch are pooled in a thread of the
    training process, while the previous batch trains.

    The workers of :class:`LabelMapDataset` return dense targets, a megabyte for 256 images of 1,000 classes. Those of
    :class:`CropDataset` return a row and a box for each image.

    Args:
        loader: A ``DataLoader`` (or ``StatefulDataLoader``) of a :class:`CropDataset` (or a ``Subset`` of one) or
            :class:`CropIterable`, with the default collation.
        dataset: This data set, for loaders without the attribute ``dataset``.
        threads: Threads that pool.
        form: See :data:`~relabel.torch.batch_targets.Form`.
        top: Number of classes of a sparse target. Default: all that the labels of the crop have.
        target: As in :class:`LabelMapDataset`, as are all arguments that are not listed here.
    """

    def __init__(
        self,
        loader: Any,
        *,
        dataset: Any = None,
        threads: int = 1,
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
        self.loader = loader
        self.threads = threads
        self.targets = BatchTargets(loader.dataset if dataset is None else dataset, options, form, top)
        self._state: Any = None

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Any, AnyTargets]]:
        pending: deque[tuple[Any, Future[AnyTargets], Any]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="relabel-targets") as executor:
            for images, crops in self.loader:
                if not isinstance(crops, Crop):
                    raise TypeError(
                        f"TargetLoader needs batches (images, crops), got {type(crops).__name__} instead of crops\n"
                        "  help: leave out collate_fn"
                    )
                targets = executor.submit(self.targets, CropArrays.of_collated(crops), self.threads)
                pending.append((images, targets, self._state_of_loader()))
                if len(pending) > 1:
                    yield self._next(pending)
            while pending:
                yield self._next(pending)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of a ``StatefulDataLoader`` after the batch that was returned last: its own is one batch ahead. Empty for
        other loaders."""
        return (self._state_of_loader() if self._state is None else self._state) or {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the state of a ``StatefulDataLoader``."""
        self._state = None
        if state:
            self.loader.load_state_dict(state)

    def _next(self, pending: deque[tuple[Any, Future[AnyTargets], Any]]) -> tuple[Any, AnyTargets]:
        images, targets, self._state = pending.popleft()
        return images, targets.result()

    def _state_of_loader(self) -> Any:
        try:
            return self.loader.state_dict()
        except AttributeError:
            # Accelerate's loaders have the method, which raises this if their own loader does not have it.
            return None
