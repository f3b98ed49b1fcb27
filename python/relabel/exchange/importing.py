"""``relabel import``: creates a store from published files."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import relabel
from relabel import _relabel
from relabel.console import DONE, DONE_WITH_PROBLEMS, Interrupted, Output, Progress, Refusal, Usage, count, now

from . import detect, files, note
from .detect import Finding
from .files import FileProblem, Listed

REFERENCE_IMAGES = 256


def run(arguments: argparse.Namespace, output: Output, stop: threading.Event) -> int:
    """Runs the command and returns its exit code."""
    # Shards run in parallel, and each needs little of PyTorch.
    torch.set_num_threads(1)
    folder, started = Path(arguments.folder), now()
    listed = files.list_files(folder)
    noted = note.read(folder) or {}
    sample = _read_sample(folder, files.sample_of(listed))
    lengths, dtype = detect.common_form(sample)
    maps = [found.values for found in sample if (found.values.shape[1:], found.dtype) == (lengths, dtype)]
    classes, classes_from = _classes(arguments.classes, noted)
    ranks = detect.rank_axis(maps, arguments.rank_axis)
    cells = (lengths[1], lengths[2]) if ranks.value == "first" else (lengths[0], lengths[1])
    reference = None
    if arguments.reference is not None:
        reference = _compare_with_reference(folder, listed, arguments.reference, classes, lengths, dtype, ranks.value)
    orientation = detect.orientation(cells, arguments.orientation, arguments.map_size, noted.get("orientation"), reference)
    name, name_from = _teacher_name(arguments.teacher_name, noted)
    description = {
        "teacher_name": name,
        "fingerprint": files.fingerprint(folder, listed),
        "lengths": lengths,
        "rank_axis": ranks.value,
        "orientation": orientation.value,
        "dtype": dtype,
        "classes": classes,
        "origins": {
            "name": name_from,
            "classes": classes_from,
            "rank_axis": ranks.origin,
            "orientation": orientation.origin,
        },
        "source": folder.resolve().name,
        "shard_images": arguments.shard_size,
    }
    store = _open(arguments.out, description, listed)
    to_do = store.to_do()
    images_to_do = sum(end - first for _, first, end in to_do)
    warnings = _warnings(listed, classes, orientation)
    output.info(f"{count(len(listed), 'file')} of {[2, *lengths]} {dtype}: {ranks.text}; {orientation.text}")
    for warning in warnings:
        output.warn(warning)
    done_before = len(listed) - images_to_do
    output.info(
        f"creating store {arguments.out}" if store.is_new()
        else f"resuming {arguments.out}: {done_before:,} of {len(listed):,} images are done"
    )
    progress = Progress(output, "imported", images_to_do)
    job = _Job(folder, listed, (lengths, dtype), store, progress, stop, output)
    ended = "failed"
    try:
        job.run(to_do, arguments.threads)
        ended = "interrupted" if stop.is_set() else "done"
    finally:
        seconds, images_per_s = progress.finish()
        _write_run_note(store, started, ended, progress.done, seconds, images_per_s, arguments.threads)
    status = json.loads(store.status())
    if stop.is_set() and status["to_do"] > 0:
        kept = status["labelled"] + status["failed"]
        raise Interrupted(
            f"interrupted; {kept:,} of {len(listed):,} images are in {arguments.out}\n  help: the same command resumes"
        )
    if status["to_do"] > 0 or status["damaged_shards"]:
        raise Refusal(
            f"import incomplete: {status['to_do']:,} images are still to do: committed files were changed or deleted"
            "\n  help: make sure that nothing else writes to the store, and run the same command again"
        )
    document = {
        "store": arguments.out,
        "images": status["images"],
        "labelled": status["labelled"],
        "failed": status["failed"],
        "images_this_run": progress.done,
        "seconds": seconds,
        "images_per_s": images_per_s,
        "label_bytes": status["label_bytes"],
        "bytes_per_image": status["bytes_per_image"],
        "shape": [2, *lengths],
        "dtype": dtype,
        "rank_axis": _document(ranks),
        "orientation": _document(orientation) | {"reference": orientation.agreement},
        "classes": {"list": classes["list"], "count": classes["count"], "from": classes_from},
        "teacher": name,
        "assumed": [finding.text for finding in (ranks, orientation) if finding.origin == "assumed"],
        "warnings": warnings,
        "agreement": status["agreement"],
        "failures_by_kind": status["failures_by_kind"],
        "failed_images": status["failed_images"],
    }
    output.result(_summary(document), document)
    return DONE if status["failed"] == 0 else DONE_WITH_PROBLEMS


class _Job:
    """Imports shards, each on one thread: reads, checks, encodes and commits its files. An interrupted shard starts again."""

    def __init__(
        self,
        folder: Path,
        listed: Sequence[Listed],
        form: tuple[tuple[int, int, int], str],
        store: _relabel.Import,
        progress: Progress,
        stop: threading.Event,
        output: Output,
    ) -> None:
        self.folder, self.listed, (self.lengths, self.dtype) = folder, listed, form
        self.store, self.progress, self.stop, self.output = store, progress, stop, output

    def run(self, to_do: Sequence[tuple[int, int, int]], threads: int) -> None:
        """Imports all shards. Starts no more of them after a stop or an error."""
        with ThreadPoolExecutor(threads, thread_name_prefix="shard") as pool:
            futures = [pool.submit(self._shard, *shard) for shard in to_do]
            pending = set(futures)
            while pending:
                # With a timeout, so that Python runs signal handlers.
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                if any(future.exception() for future in done):
                    self.stop.set()
            for future in futures:
                future.result()

    def _shard(self, shard: int, first: int, end: int) -> None:
        size = 2 * int(np.prod(self.lengths))
        values = np.zeros((end - first, size), dtype=np.float32)
        failures = []
        for row in range(first, end):
            if self.stop.is_set():
                return
            try:
                values[row - first] = files.read_alike(self.folder, self.listed[row], self.lengths, self.dtype).ravel()
            except FileProblem as problem:
                failures.append((row, problem.kind, problem.reason))
                self.output.detail(f"{self.listed[row].path}: {problem}")
        self.store.commit(shard, values.ravel(), failures)
        self.progress.add(end - first)


def _read_sample(folder: Path, sample: Sequence[Listed]) -> list[files.PublishedMap]:
    found, problems = [], []
    for file in sample:
        try:
            found.append(files.read_map(folder, file))
        except FileProblem as problem:
            problems.append(f"{file.path}: {problem}")
    if not found:
        raise Refusal(f"{folder} contains no label maps: none of {count(len(sample), 'sampled file')} is one; {problems[0]}"
                      "\n  help: pass the folder of the published .pt files")
    return found


def _classes(flag: str | None, noted: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Returns the class list as the store's attributes have it, and its origin."""
    if flag is None and "classes" in noted:
        return noted["classes"], "note"
    try:
        return json.loads(_relabel.class_list(flag or "imagenet-1k")), "default" if flag is None else "flag"
    except ValueError as error:
        raise Usage(f"--classes {flag}: {error}") from error
    except (OSError, relabel.StoreError) as error:
        raise Refusal(f"--classes {flag}: {error}") from error


def _teacher_name(flag: str | None, noted: dict[str, Any]) -> tuple[str, str]:
    if flag is not None:
        return flag, "flag"
    if "teacher" in noted:
        return str(noted["teacher"]["name"]), "note"
    return "imported", "default"


def _compare_with_reference(
    folder: Path,
    listed: Sequence[Listed],
    path: str,
    classes: dict[str, Any],
    lengths: tuple[int, int, int],
    dtype: str,
    ranks: str,
) -> Finding:
    """Compares the best classes of all cells with those of a store of some of the same images."""
    try:
        reference = relabel.open(path)
        if reference.info.get("imported"):
            raise Usage(
                f"--reference {path} was imported itself and shows no orientation\n  help: pass a store that `relabel run` made"
            )
        if reference.info["classes"]["ids"] != classes["ids"]:
            ours, theirs = classes["count"], reference.num_classes
            raise Usage(f"--reference {path} has different classes: {theirs} of {reference.info['classes']['list']}, the files "
                        f"have {ours} of {classes['list']}\n  help: pass the class list of the files with --classes, or a "
                        "different --reference")
        rows = reference.find_rows([file.path.removesuffix(".pt") for file in listed])
        has_labels = reference.labelled()
        shared = [(file, int(row)) for file, row in zip(listed, rows) if row >= 0 and has_labels[row]]
        if not shared:
            raise Usage(f"--reference {path} has labels of none of these images: its first image is `{reference.ids()[0]}`, the "
                        f"first file is `{listed[0].path.removesuffix('.pt')}`\n  help: pass a store of the same images")
        step = max(1, len(shared) // REFERENCE_IMAGES)
        pairs = []
        for file, row in shared[::step][:REFERENCE_IMAGES]:
            try:
                values = files.read_alike(folder, file, lengths, dtype)
            except FileProblem:
                continue
            pairs.append((_best_classes(values, ranks), reference.map(row)[1][0]))
    except relabel.StoreError as error:
        raise Refusal(f"--reference: {error}") from error
    if not pairs:
        raise Refusal(f"cannot read any of the files that --reference {path} has labels of"
                      "\n  help: pass a --reference with labels of other images, or --orientation")
    return detect.compare_with_reference(pairs, path)


def _best_classes(values: NDArray[np.float32], ranks: str) -> NDArray[np.int64]:
    scores, ids = values if ranks == "first" else np.moveaxis(values, 3, 1)
    best = np.take_along_axis(ids, scores.argmax(axis=0)[None], axis=0)[0]
    classes: NDArray[np.int64] = np.nan_to_num(best, nan=-1, posinf=-1, neginf=-1).astype(np.int64)
    return classes


def _open(out: str, description: dict[str, Any], listed: Sequence[Listed]) -> _relabel.Import:
    holder = f"process {os.getpid()} on {socket.gethostname()}"
    paths, lengths = [file.path for file in listed], [file.length for file in listed]
    try:
        return _relabel.Import(out, json.dumps(description), paths, lengths, holder)
    except ValueError as error:
        raise Usage(str(error)) from error
    except (OSError, relabel.StoreError) as error:
        raise Refusal(str(error)) from error


def _warnings(listed: Sequence[Listed], classes: dict[str, Any], orientation: Finding) -> list[str]:
    warnings = []
    known = set(classes["ids"]) | set(classes["names"])
    folders = {file.path.split("/")[0] for file in listed if "/" in file.path}
    if classes["list"] != "unnamed" and not folders & known:
        warnings.append(
            f"no folder is a class of {classes['list']}; the first file is {listed[0].path}\n  help: training code finds a map by "
            "its path: pass the folder that contains the class folders, and with --classes the class list of the teacher"
        )
    if orientation.agreement and orientation.origin != "reference":
        straight, transposed = orientation.agreement["yx"], orientation.agreement["xy"]
        if (transposed > straight + 0.02 and orientation.value == "yx") or (
            straight > transposed + 0.02 and orientation.value == "xy"
        ):
            warnings.append(
                f"the reference contradicts `{orientation.text}`: {100 * straight:.1f} % of best classes agree as [y, x], "
                f"{100 * transposed:.1f} % as [x, y]"
            )
    return warnings


def _write_run_note(
    store: _relabel.Import, started: str, ended: str, images: int, seconds: float, images_per_s: float, threads: int
) -> None:
    run_note = {
        "command": "import",
        "started": started,
        "finished": now(),
        "ended": ended,
        "part": "0-of-1",
        "images": images,
        "seconds": seconds,
        "images_per_s": images_per_s,
        "threads": threads,
        "torch": torch.__version__,
        "tool_version": relabel.__version__,
    }
    # Nothing depends on the note, and its failure must not hide another error.
    with contextlib.suppress(OSError, relabel.StoreError):
        store.note(f"{started.replace(':', '')}-{os.getpid()}", json.dumps(run_note))


def _document(finding: Finding) -> dict[str, Any]:
    return {"value": finding.value, "from": finding.origin, "description": finding.text}


def _summary(document: dict[str, Any]) -> str:
    text = f"imported {document['labelled']:,} of {document['images']:,} images"
    if document["images_this_run"]:
        text += f"; now {document['images_this_run']:,} in {document['seconds']:.1f} s ({document['images_per_s']:,.0f} images/s)"
    else:
        text += "; nothing left to do"
    text += "\n"
    if document["failed"]:
        kind, most = max(document["failures_by_kind"].items(), key=lambda item: item[1])
        text += (
            f"failed   {document['failed']:,}, most often {kind} ({most:,}); list them with: relabel status {document['store']} "
            "--failed\n"
        )
    text += "".join(f"assumed  {assumption}\n" for assumption in document["assumed"])
    agreement = document["agreement"]
    if agreement["compared"]:
        top1, top5 = (100 * agreement[key] / agreement["compared"] for key in ("top1", "top5"))
        text += (
            f"agrees   with the folder's class in {top1:.1f} % (top 5: {top5:.1f} %) of {agreement['compared']:,} images\n"
        )
    if document["bytes_per_image"]:
        text += f"size     {document['bytes_per_image']:.0f} bytes per image\n"
    return text + f"store    {document['store']}\n"
