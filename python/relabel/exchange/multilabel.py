"""``relabel export --format multilabel-tsv``: writes a multi-label set, one line for each image, from masks of objects.

The label of a mask is the best class of its target (:meth:`relabel.Labels.pool_masks`). An image has the classes of its masks,
each with the largest probability among them, as MultiLabel-ImageNet (https://arxiv.org/abs/2603.05729) merges them.
"""

from __future__ import annotations

import argparse
import os
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import relabel
from relabel.console import DONE, DONE_WITH_PROBLEMS, Interrupted, Output, Progress, Refusal, Usage, count

from .coco_masks import MaskFile, list_mask_files, read_mask_file

BATCH = 4096
"""Masks that are pooled at a time."""


def run(arguments: argparse.Namespace, output: Output, stop: threading.Event) -> int:
    """Runs the command and returns its exit code."""
    out = Path(arguments.out)
    _check_arguments(arguments, out)
    try:
        labels = relabel.open(arguments.store)
        labelled, failed, paths = labels.labelled(), labels.failed(), labels._core.paths()
    except relabel.StoreError as error:
        raise Refusal(str(error)) from error
    if labels.map_size is None:
        raise Refusal(
            f"cannot pool masks: store {arguments.store} has predictions only, and no label maps\n"
            "  help: label with a teacher that has cells"
        )
    files = list_mask_files(Path(arguments.masks))
    found = _MaskLabels(labels, labelled, paths)
    progress = Progress(output, "pooled", int(labelled.sum()))
    for file in files:
        found.add(read_mask_file(file), stop, progress)
    seconds, images_per_s = progress.finish()
    if not found.has_masks.any():
        example = found.unknown_example or "none"
        raise Refusal(
            f"cannot match masks with images: {arguments.masks} has no mask of a labelled image; it names `{example}`, the store has "
            f"`{paths[0] if paths else 'no image'}`\n  help: pass masks of the labelled images, with file_name as in the store"
        )
    rows = np.flatnonzero(labelled)
    classes = _image_classes(found, arguments.min_prob, labels.folder_classes() if arguments.folder_class else None)
    mean = _write(out, rows, found.names, labels.folder_classes(), classes)
    warnings = []
    if found.unknown:
        warnings.append(
            f"{count(found.unknown, 'image')} of the masks {'is' if found.unknown == 1 else 'are'} not labelled in the store; the first is "
            f"`{found.unknown_example}`"
        )
    without = int((labelled & ~found.has_masks).sum())
    if without:
        warnings.append(f"{count(without, 'labelled image')} {'has' if without == 1 else 'have'} no mask")
    for warning in warnings:
        output.warn(warning)
    to_do = len(paths) - len(rows) - len(failed)
    document: dict[str, Any] = {
        "store": arguments.store,
        "out": arguments.out,
        "format": "multilabel-tsv",
        "masks": arguments.masks,
        "mask_files": len(files),
        "images": len(paths),
        "exported": len(rows),
        "masks_pooled": found.count,
        "images_without_masks": without,
        "mask_images_not_labelled": found.unknown,
        "min_prob": arguments.min_prob,
        "folder_class": arguments.folder_class,
        "classes_per_image": mean,
        "skipped": {"failed": len(failed), "to_do": to_do},
        "warnings": warnings,
        "seconds": seconds,
        "images_per_s": images_per_s,
    }
    text = f"exported {len(rows):,} of {len(paths):,} images, {mean:.3g} classes each, from {found.count:,} masks in {seconds:.1f} s\n"
    if failed or to_do:
        text += f"skipped  {len(failed):,} failed and {to_do:,} images to do, which have no line\n"
    text += f"file     {out}: file, folder class, classes, probabilities\n"
    output.result(text, document)
    return DONE_WITH_PROBLEMS if failed or to_do else DONE


def _check_arguments(arguments: argparse.Namespace, out: Path) -> None:
    if arguments.masks is None:
        raise Usage("--format multilabel-tsv needs --masks\n  help: pass a COCO file with masks of objects, or a folder of such files")
    if arguments.dtype != "float32":
        raise Usage(f"--dtype {arguments.dtype} does not apply to --format multilabel-tsv\n  help: leave it out")
    if out.exists():
        raise Usage(f"cannot write {out}: it exists\n  help: pass another --out, or remove it")
    if not out.parent.is_dir():
        raise Usage(f"cannot write {out}: folder {out.parent} does not exist\n  help: create it, or pass another --out")


class _MaskLabels:
    """The best class of every mask, with its probability, and the row of its image."""

    def __init__(self, labels: relabel.Labels, labelled: NDArray[np.bool_], paths: list[str]) -> None:
        self._labels, self._labelled = labels, labelled
        self.names = paths
        """Name of each row: that of the masks, or the path of an image without masks."""
        self.has_masks = np.zeros(len(paths), dtype=np.bool_)
        self.unknown, self.unknown_example = 0, ""
        self.count = 0
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []

    def add(self, file: MaskFile, stop: threading.Event, progress: Progress) -> None:
        """Pools the masks of a file."""
        rows = self._rows_of(file)
        images = np.array(file.images, dtype=np.int64)
        # Masks of one image follow each other, so that its map is decoded once.
        kept = np.flatnonzero(rows[images] >= 0) if len(images) else images
        kept = kept[np.argsort(rows[images[kept]], kind="stable")]
        new = np.unique(rows[images[kept]])
        progress.add(int((~self.has_masks[new]).sum()))
        self.has_masks[new] = True
        for start in range(0, len(kept), BATCH):
            if stop.is_set():
                raise Interrupted("interrupted; nothing was written\n  help: repeat the command")
            batch = kept[start : start + BATCH]
            of = rows[images[batch]]
            targets = self._pool(file, batch, of)
            best = targets.argmax(axis=1)
            self._parts.append((of, best, targets[np.arange(len(best)), best]))
            self.count += len(batch)

    def _rows_of(self, file: MaskFile) -> NDArray[np.int64]:
        """Returns the row of each image of a file, -1 if it is not labelled."""
        try:
            rows = self._labels.find_rows(file.file_names)
        except KeyError as error:
            raise Refusal(f"cannot match masks of {file.path} with images: {error.args[0]}") from error
        rows = np.where((rows >= 0) & self._labelled[rows], rows, -1)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown) and not self.unknown:
            self.unknown_example = file.file_names[unknown[0]]
        self.unknown += len(unknown)
        for name, row in zip(file.file_names, rows.tolist(), strict=True):
            if row >= 0:
                self.names[row] = name
        return rows

    def _pool(self, file: MaskFile, batch: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            targets: NDArray[np.float32] = self._labels.pool_masks(rows, [file.masks[at] for at in batch])
            return targets
        except ValueError as error:
            found = re.match(r"mask (\d+): (.*)", str(error), re.DOTALL)
            if found is None:
                raise
            annotation = file.ids[batch[int(found[1])]]
            raise Refusal(f"cannot use masks of {file.path}: annotation {annotation!r}: {found[2]}") from error
        except relabel.StoreError as error:
            raise Refusal(f"{error}\n  help: run relabel verify {self._labels.path}") from error

    def merged(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Returns rows, classes and probabilities, sorted by row and class: the largest probability of each class of an image."""
        rows, classes, probs = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        order = np.lexsort((-probs, classes, rows))
        rows, classes, probs = rows[order], classes[order], probs[order]
        first = np.ones(len(rows), dtype=np.bool_)
        first[1:] = (np.diff(rows) != 0) | (np.diff(classes) != 0)
        return rows[first], classes[first], probs[first]


def _image_classes(
    found: _MaskLabels, min_prob: float, folder_classes: NDArray[np.int64] | None
) -> dict[int, list[tuple[int, float]]]:
    """Returns classes and probabilities of each row, by increasing class."""
    classes: dict[int, dict[int, float]] = {}
    for row, number, prob in zip(*(part.tolist() for part in found.merged()), strict=True):
        if prob >= min_prob:
            classes.setdefault(row, {})[number] = prob
    if folder_classes is not None:
        for row, number in enumerate(folder_classes.tolist()):
            if number >= 0:
                classes.setdefault(row, {})[number] = 1.0
    return {row: sorted(of_row.items()) for row, of_row in classes.items()}


def _write(
    out: Path,
    rows: NDArray[np.int64],
    names: list[str],
    folder_classes: NDArray[np.int64],
    classes: dict[int, list[tuple[int, float]]],
) -> float:
    """Writes the file atomically and returns the mean number of classes of an image."""
    lines, total = [], 0
    for row in rows.tolist():
        of_row = classes.get(row, [])
        total += len(of_row)
        name = names[row]
        if name.startswith('"') or any(letter in name for letter in "\t\r\n"):
            raise Refusal(f"cannot write `{name}` into a table: its name contains a tab, a line break or a leading quote\n"
                          "  help: rename the image, and label again")
        ids, probs = ",".join(str(number) for number, _ in of_row), ",".join(f"{prob:.4f}" for _, prob in of_row)
        lines.append(f"{name}\t{folder_classes[row]}\t{ids}\t{probs}\n")
    staged = out.with_name(f".{out.name}.part")
    staged.write_text("".join(lines), encoding="utf-8", newline="")
    os.replace(staged, out)
    return total / max(len(rows), 1)
