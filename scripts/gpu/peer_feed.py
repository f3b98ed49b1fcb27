"""Images into batches and label maps into files, as a PyTorch program does both.

Worker processes of a DataLoader decode with PIL and squash the image to the input's size; batches of uint8 pixels come
in page-locked memory. Label maps are written by threads, one `.pt` file an image, float32 `[2, 5, rows, columns]`
(scores, classes), as the published maps are laid out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp"}
WRITING_THREADS = 4
# Batches whose files may still be to write; more would be memory that grows.
UNWRITTEN_BATCHES = 8


def list_images(folder: Path, limit: int | None) -> list[Path]:
    """In the order of relabel's rows: by path below the folder, byte by byte."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS]
    if not found:
        raise SystemExit(f"there is no image in {folder}: name a folder of photographs with --in")
    return sorted(found, key=lambda path: os.fsencode(path))[:limit]


def map_file(out: Path, image: Path) -> Path:
    """Where an image's label map lies."""
    return (out / image).with_suffix(".pt")


@dataclass
class Images(Dataset[Tensor]):
    """The photographs as the network takes them."""

    folder: Path
    paths: Sequence[Path]
    side: int
    filter: str

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> Tensor:
        with Image.open(self.folder / self.paths[at]) as image:
            resized = image.convert("RGB").resize((self.side, self.side), Image.Resampling[self.filter.upper()])
        return torch.from_numpy(np.array(resized))


def batches(images: Images, batch: int, workers: int, device: torch.device) -> DataLoader[Tensor]:
    """Batches in order; the last one may be smaller."""
    return DataLoader(images, batch, num_workers=workers, pin_memory=device.type == "cuda", collate_fn=torch.stack)


class Writer:
    """Writes the label maps of batches beside the work on the next ones."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.pool = ThreadPoolExecutor(WRITING_THREADS)
        self.room = threading.BoundedSemaphore(UNWRITTEN_BATCHES)
        self.failed: BaseException | None = None

    def put(self, paths: Sequence[Path], maps: Tensor) -> None:
        """Takes the maps of these images, and waits while too many are unwritten."""
        self.room.acquire()
        if self.failed:
            raise self.failed
        self.pool.submit(self._write, paths, maps).add_done_callback(lambda _: self.room.release())

    def _write(self, paths: Sequence[Path], maps: Tensor) -> None:
        try:
            for path, label_map in zip(paths, maps, strict=True):
                file = map_file(self.out, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                # A view would be saved with the whole batch behind it.
                torch.save(label_map.clone(), file)
        except BaseException as problem:
            self.failed = problem

    def finish(self) -> None:
        """Waits for the last file."""
        self.pool.shutdown(wait=True)
        if self.failed:
            raise self.failed
