"""Loads images into batches and writes label maps to files, as a PyTorch program does.

Worker processes of a DataLoader decode with PIL and resize to the input size; batches of uint8 pixels are in page-locked
memory. Threads write one `.pt` file per image, the layout of the published maps.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.peer.files import decode, map_file

WRITING_THREADS = 4
# Maximum number of batches that wait for writing, to bound the memory.
UNWRITTEN_BATCHES = 8


@dataclass
class Images(Dataset[Tensor]):
    """The photographs as network inputs, uint8 `[side, side, 3]`."""

    folder: Path
    paths: Sequence[Path]
    side: int
    filter: str

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> Tensor:
        return torch.from_numpy(np.array(decode(self.folder / self.paths[at], self.side, self.filter)))


def batches(images: Images, batch: int, workers: int, device: torch.device) -> DataLoader[Tensor]:
    """Returns a loader of batches in order. The last batch may be smaller."""
    return DataLoader(images, batch, num_workers=workers, pin_memory=device.type == "cuda", collate_fn=torch.stack)


class Writer:
    """Writes label maps in the background."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.pool = ThreadPoolExecutor(WRITING_THREADS)
        self.slots = threading.BoundedSemaphore(UNWRITTEN_BATCHES)
        self.failed: BaseException | None = None

    def put(self, paths: Sequence[Path], maps: Tensor) -> None:
        """Queues the maps of these images. Blocks while too many batches wait."""
        self.slots.acquire()
        if self.failed:
            raise self.failed
        self.pool.submit(self._write, paths, maps).add_done_callback(lambda _: self.slots.release())

    def _write(self, paths: Sequence[Path], maps: Tensor) -> None:
        try:
            for path, label_map in zip(paths, maps, strict=True):
                file = map_file(self.out, path, ".pt")
                file.parent.mkdir(parents=True, exist_ok=True)
                # Saving a view would write the entire batch.
                torch.save(label_map.clone(), file)
        except BaseException as problem:
            self.failed = problem

    def finish(self) -> None:
        """Waits until all files are written."""
        self.pool.shutdown(wait=True)
        if self.failed:
            raise self.failed
