"""The peer with ONNX Runtime on the CPU: the teacher's file, with its head applied to every cell.

The loader works like PyTorch's DataLoader: worker processes decode with PIL, convert to RGB, resize, normalise to float32
CHW and collate batches into shared memory. The main process runs ONNX Runtime, takes the top 5 of the dense scores with
NumPy, and writes one `.npy` file per image.

As with DataLoader's defaults, each worker prefetches two batches. Two things are faster than in DataLoader: batches are
processed out of order, and the main process reads the workers' memory without a copy.
"""

from __future__ import annotations

import multiprocessing
import shutil
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from bench.peer.files import TOP_K, decode, list_images, map_file

BATCHES_PER_WORKER = 2


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of the teacher's input."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def per_cell(model: onnx.ModelProto) -> onnx.ModelProto:
    """Applies a linear head to every cell: GlobalAveragePool, flatten, Gemm becomes Transpose, Flatten, Gemm."""
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    head = next(node for node in reversed(graph.node) if node.op_type == "Gemm")
    flatten = producers[head.input[0]]
    pool = producers[flatten.input[0]]
    if flatten.op_type not in ("Flatten", "Reshape") or pool.op_type != "GlobalAveragePool":
        raise SystemExit("peer onnx supports only classifiers that end in GlobalAveragePool, Flatten or Reshape, Gemm")
    cells = "cells_last_channels"
    at = list(graph.node).index(pool)
    graph.node.remove(pool)
    graph.node.insert(at, onnx.helper.make_node("Transpose", [pool.input[0]], [cells], perm=[0, 2, 3, 1]))
    flatten.CopyFrom(onnx.helper.make_node("Flatten", [cells], [head.input[0]], axis=3))
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(head.output[0], onnx.TensorProto.FLOAT, ["cells", "classes"]))
    return model


def open_session(teacher: Path, threads: int, spinning: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    model = per_cell(onnx.load(teacher))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def load_image(file: Path, preprocessing: Preprocessing, into: np.ndarray) -> None:
    """Does what torchvision's loader, Resize, ToTensor and Normalize do, in two passes over the floats."""
    pixels = np.asarray(decode(file, preprocessing.side, "bilinear"))
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    np.multiply(pixels.transpose(2, 0, 1), 1 / (255 * std), out=into)
    into -= mean / std


def batch_in(memory: SharedMemory, images: int, side: int) -> np.ndarray:
    return np.ndarray((images, 3, side, side), np.float32, buffer=memory.buf)


def work(
    folder: Path, batches: list[list[Path]], preprocessing: Preprocessing,
    todo: Queue[int | None], free: Queue[str], ready: Queue[tuple[int, str]],
) -> None:  # fmt: skip
    """Runs in a worker: takes the number of a batch and a free block of shared memory, and fills it."""
    attached: dict[str, SharedMemory] = {}
    while (number := todo.get()) is not None:
        name = free.get()
        if name not in attached:
            attached[name] = SharedMemory(name)
        into = batch_in(attached[name], len(batches[number]), preprocessing.side)
        for path, slot in zip(batches[number], into, strict=True):
            load_image(folder / path, preprocessing, slot)
        ready.put((number, name))


def top_of_cells(scores: np.ndarray, images: int) -> np.ndarray:
    """Converts scores `[cells, classes]` of a batch to maps `[images, 2, 5, h, w]`, each cell by falling score."""
    best = np.argpartition(scores, -TOP_K, axis=1)[:, -TOP_K:]
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1)
    pair = np.stack([np.take_along_axis(array, order, axis=1).astype(np.float32) for array in (values, best)])
    side = round((len(scores) / images) ** 0.5)
    return pair.reshape(2, images, side, side, TOP_K).transpose(1, 0, 4, 2, 3)


def write_maps(maps: np.ndarray, paths: list[Path], out: Path) -> None:
    for path, label_map in zip(paths, maps, strict=True):
        file = map_file(out, path, ".npy")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.ascontiguousarray(label_map))


def run(
    session: onnxruntime.InferenceSession, source: Path, out: Path, preprocessing: Preprocessing,
    batch: int, workers: int, limit: int | None,
) -> dict[str, float]:  # fmt: skip
    """Labels a folder. Times from before the workers start until after the last file."""
    paths = list_images(source, limit)
    batches = [paths[first : first + batch] for first in range(0, len(paths), batch)]
    # It contains only the label maps of an earlier run.
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    label(session, source, batches, preprocessing, workers, out)
    seconds = time.perf_counter() - started
    return {"images": len(paths), "wall_s": seconds, "images_per_s": len(paths) / seconds}


def label(
    session: onnxruntime.InferenceSession, source: Path, batches: list[list[Path]], preprocessing: Preprocessing,
    workers: int, out: Path,
) -> None:  # fmt: skip
    context = multiprocessing.get_context("fork")
    todo, free, ready = context.Queue(), context.Queue(), context.Queue()
    bytes_of_batch = 4 * 3 * preprocessing.side**2 * max(map(len, batches))
    memories = [SharedMemory(create=True, size=bytes_of_batch) for _ in range(BATCHES_PER_WORKER * workers)]
    by_name = {memory.name: memory for memory in memories}
    for name in by_name:
        free.put(name)
    for number in [*range(len(batches)), *[None] * workers]:
        todo.put(number)
    job = (source, batches, preprocessing, todo, free, ready)
    processes = [context.Process(target=work, args=job, daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    input_name = session.get_inputs()[0].name
    for _ in batches:
        number, name = ready.get()
        paths = batches[number]
        scores = session.run(None, {input_name: batch_in(by_name[name], len(paths), preprocessing.side)})[0]
        free.put(name)
        write_maps(top_of_cells(scores, len(paths)), paths, out)
    for process in processes:
        process.join()
    for memory in memories:
        memory.close()
        memory.unlink()
