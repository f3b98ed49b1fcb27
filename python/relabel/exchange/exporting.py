"""``relabel export``: writes published files from a store, for training code that reads such files."""

from __future__ import annotations

import argparse
import fcntl
import io
import os
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import relabel
from relabel.console import DONE, DONE_WITH_PROBLEMS, Interrupted, Output, Progress, Refusal, Usage, count

from . import note
from .files import DTYPES, EXACT_UP_TO


def run(arguments: argparse.Namespace, output: Output, stop: threading.Event) -> int:
    """Runs the command and returns its exit code."""
    for flag, is_given in (("--masks", arguments.masks is not None), ("--min-prob", arguments.min_prob > 0), ("--folder-class", arguments.folder_class)):
        if is_given:
            raise Usage(f"{flag} does not apply to --format pt\n  help: leave it out, or pass --format multilabel-tsv")
    try:
        labels = relabel.open(arguments.store)
        ids, labelled, failed = labels.ids(), labels.labelled(), labels.failed()
    except relabel.StoreError as error:
        raise Refusal(str(error)) from error
    if labels.num_classes > EXACT_UP_TO[arguments.dtype] + 1:
        raise Usage(
            f"--dtype {arguments.dtype} represents class ids exactly only up to {EXACT_UP_TO[arguments.dtype]:,}; the store has "
            f"{labels.num_classes:,} classes\n  help: use --dtype float32, the default"
        )
    size = labels.map_size
    if size is None:
        raise Refusal(
            f"cannot export label maps: store {arguments.store} has predictions only, and no label maps\n"
            "  help: use the predictions of images and tiles, or label with a teacher that has cells"
        )
    _check_ids(ids)
    folder = Path(arguments.out)
    rows = np.flatnonzero(labelled)
    to_do = len(ids) - len(rows) - len(failed)
    hidden = [ids[row] for row in rows if not _old_readers_find(ids[row])]
    warnings = []
    if hidden:
        warnings.append(
            f"the public readers look for <class folder>/<name up to its first dot>.pt and do not find the maps of "
            f"{count(len(hidden), 'image')}; the first is `{hidden[0]}`"
        )
    tiles = (labels.info.get("tiles") or {}).get("boxes", [])
    if tiles:
        warnings.append(f"the labels of {count(len(tiles), 'tile')} of each image are left out: the files contain its label map only")
    known = set(ids)
    mistaken = next((name for name in ids if _old_readers_name(name) != name and _old_readers_name(name) in known), None)
    if mistaken is not None:
        warnings.append(
            f"the public readers cut names at their first dot and give `{mistaken}` the map of another image, "
            f"`{_old_readers_name(mistaken)}`\n  help: do not train on these maps with them"
        )
    with _claim(folder, note.of_store(labels.info, arguments.dtype)):
        _check_distinct_files(ids, folder)
        for warning in warnings:
            output.warn(warning)
        output.info(f"{count(len(rows), 'label map')} of {arguments.store} as {arguments.dtype} into {folder}")
        progress = Progress(output, "exported", len(rows))
        written = _write_files(labels, ids, rows, folder, arguments.dtype, progress, stop)
        seconds, images_per_s = progress.finish()
    if progress.done < len(rows):
        raise Interrupted(f"interrupted; {progress.done:,} of {len(rows):,} files are in {folder}\n  help: the same command resumes")
    document: dict[str, Any] = {
        "store": arguments.store,
        "out": arguments.out,
        "format": "pt",
        "dtype": arguments.dtype,
        "shape": [2, labels.k, *size],
        "images": len(ids),
        "exported": len(rows),
        "files_now": written,
        "skipped": {"failed": len(failed), "to_do": to_do},
        "tiles_left_out": len(tiles),
        "warnings": warnings,
        "seconds": seconds,
        "images_per_s": images_per_s,
    }
    text = f"exported {len(rows):,} of {len(ids):,} images, {written:,} of them now, in {seconds:.1f} s\n"
    if failed or to_do:
        text += f"skipped  {len(failed):,} failed and {to_do:,} images to do, which have no file\n"
    text += f"files    {folder}/<id>.pt, each [2, {labels.k}, {size[0]}, {size[1]}] {arguments.dtype}\n"
    output.result(text, document)
    return DONE_WITH_PROBLEMS if failed or to_do else DONE


def _write_files(
    labels: relabel.Labels,
    ids: list[str],
    rows: np.ndarray[Any, Any],
    folder: Path,
    dtype: str,
    progress: Progress,
    stop: threading.Event,
) -> int:
    """Writes the missing files and returns their number."""
    torch_dtype = {name: dtype for dtype, name in DTYPES.items()}[dtype]
    written, length, made = 0, None, set()
    for row in rows:
        if stop.is_set():
            break
        path = folder / f"{ids[row]}.pt"
        # All maps have one shape, so all files have one length; any other length is a file that a power cut left incomplete.
        if length is None or not path.is_file() or path.stat().st_size != length:
            try:
                scores, classes = labels.map(int(row))
            except relabel.StoreError as error:
                raise Refusal(f"{error}\n  help: run relabel verify {labels.path}") from error
            tensor = torch.from_numpy(np.stack([scores.astype(np.float32), classes.astype(np.float32)])).to(torch_dtype)
            content = io.BytesIO()
            torch.save(tensor, content)
            length = content.getbuffer().nbytes
            if not path.is_file() or path.stat().st_size != length:
                if path.parent not in made:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    made.add(path.parent)
                staged = path.with_name(f".{path.name}.part")
                staged.write_bytes(content.getbuffer())
                os.replace(staged, path)
                written += 1
        progress.add(1)
    return written


@contextmanager
def _claim(folder: Path, wanted: dict[str, Any]) -> Iterator[None]:
    """Reserves the folder for this store's maps and for this process."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refusal(f"another export is writing to {folder}\n  help: wait until it ends, or stop it") from error
        found = note.read(folder)
        if found is None:
            foreign = next((name for name in sorted(os.listdir(folder)) if name != f".{note.NAME}.part"), None)
            if foreign is not None:
                raise Refusal(
                    f"{folder} is not empty and not an earlier export: it contains `{foreign}`\n  help: choose another --out"
                )
            note.write(folder, wanted)
        elif found != wanted:
            differing = [key for key in wanted if found.get(key) != wanted[key]]
            lines = "".join(f"\n  - {key}: {_short(found.get(key))} there, {_short(wanted[key])} requested" for key in differing)
            raise Refusal(f"{folder} contains a different export:{lines}\n  help: choose another --out")
        yield
    finally:
        os.close(descriptor)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _check_ids(ids: list[str]) -> None:
    """Refuses ids that are not paths below a folder: ids may come from a user's list."""
    for name in ids:
        if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise Refusal(f"cannot write a file for the id `{name}`: not a path below a folder\n  help: label again with ids "
                          "that are relative paths without `..` and `//`")


def _check_distinct_files(ids: list[str], folder: Path) -> None:
    """Refuses ids whose files would be one file: some file systems ignore case or the Unicode form of a name."""
    first: dict[str, str] = {}
    for name in ids:
        folded = unicodedata.normalize("NFC", name).casefold()
        other = first.setdefault(folded, name)
        if other == name:
            continue
        with tempfile.TemporaryDirectory(prefix=".relabel-", dir=folder) as probe:
            (Path(probe) / "\u00c9").touch()
            if any((Path(probe) / same).exists() for same in ("\u00e9", "E\u0301")):
                raise Refusal(f"`{other}.pt` and `{name}.pt` are the same file in {folder}\n  help: choose an --out on a file system "
                              "that distinguishes them")
        return


def _old_readers_name(name: str) -> str:
    """Returns the id that the public readers derive from an image's path."""
    folder, _, file = name.rpartition("/")
    return f"{folder.split('/')[-1]}/{file.split('.')[0]}"


def _old_readers_find(name: str) -> bool:
    return name.count("/") == 1 and "." not in name
