"""The job of `relabel run`, written in Python as usual: the baseline of the benchmark.

The loader works like PyTorch's DataLoader: worker processes decode with PIL, convert to RGB, resize, normalise to float32
CHW and collate batches into shared memory. The main process runs ONNX Runtime on the classifier with its head applied to
every cell, takes the top 5 of the dense scores with NumPy, and writes one file per image, `[2, 5, h, w]` float32 (scores,
class ids), the layout of the published label maps.

As with DataLoader's defaults, each worker prefetches two batches. Two things are faster than in DataLoader: batches are
processed out of order, and the main process reads the workers' memory without a copy.

The measurement begins before the workers start and ends after the last file, without imports, rewriting of the graph and
loading of the model. Prints one JSON line: {"images": ..., "seconds": ..., "images_per_s": ...}.

    bench_peer.py --teacher T.onnx --in DIR --out DIR --input-size 224 --batch 32 --workers 2 --limit 500
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

TOP_K = 5
BATCHES_PER_WORKER = 2
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of the teacher's input."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def list_images(folder: Path, limit: int | None) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    return sorted(found, key=lambda path: os.fsencode(path))[:limit]


def per_cell(model: onnx.ModelProto) -> onnx.ModelProto:
    """Applies a linear head to every cell: GlobalAveragePool, flatten, Gemm becomes Transpose, Flatten, Gemm."""
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    head = next(node for node in reversed(graph.node) if node.op_type == "Gemm")
    flatten = producers[head.input[0]]
    pool = producers[flatten.input[0]]
    if flatten.op_type not in ("Flatten", "Reshape") or pool.op_type != "GlobalAveragePool":
        raise SystemExit("bench_peer.py supports only classifiers that end in GlobalAveragePool, Flatten or Reshape, Gemm")
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


def load_image(path: Path, preprocessing: Preprocessing, into: np.ndarray) -> None:
    """Does what torchvision's loader, Resize, ToTensor and Normalize do, in two passes over the floats."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((preprocessing.side, preprocessing.side), Image.Resampling.BILINEAR))
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    np.multiply(pixels.transpose(2, 0, 1), 1 / (255 * std), out=into)
    into -= mean / std


def batch_in(memory: SharedMemory, images: int, side: int) -> np.ndarray:
    return np.ndarray((images, 3, side, side), np.float32, buffer=memory.buf)


def work(batches: list[list[Path]], preprocessing: Preprocessing, todo, free, ready) -> None:
    """Runs in a worker: takes the number of a batch and a free block of shared memory, and fills it."""
    attached: dict[str, SharedMemory] = {}
    while (number := todo.get()) is not None:
        name = free.get()
        if name not in attached:
            attached[name] = SharedMemory(name)
        into = batch_in(attached[name], len(batches[number]), preprocessing.side)
        for path, slot in zip(batches[number], into, strict=True):
            load_image(path, preprocessing, slot)
        ready.put((number, name))


def top_of_cells(scores: np.ndarray, images: int) -> np.ndarray:
    """Converts scores `[cells, classes]` of a batch to maps `[images, 2, 5, h, w]`, each cell by falling score."""
    best = np.argpartition(scores, -TOP_K, axis=1)[:, -TOP_K:]
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1)
    pair = np.stack([np.take_along_axis(array, order, axis=1).astype(np.float32) for array in (values, best)])
    side = round((len(scores) / images) ** 0.5)
    return pair.reshape(2, images, side, side, TOP_K).transpose(1, 0, 4, 2, 3)


def write_maps(maps: np.ndarray, paths: list[Path], source: Path, out: Path) -> None:
    for path, label_map in zip(paths, maps, strict=True):
        target = (out / path.relative_to(source)).with_suffix(".npy")
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.ascontiguousarray(label_map))


def label(session: onnxruntime.InferenceSession, batches: list[list[Path]], preprocessing: Preprocessing, workers: int, source: Path, out: Path) -> None:
    context = multiprocessing.get_context("fork")
    todo, free, ready = context.Queue(), context.Queue(), context.Queue()
    bytes_of_batch = 4 * 3 * preprocessing.side**2 * max(map(len, batches))
    memories = [SharedMemory(create=True, size=bytes_of_batch) for _ in range(BATCHES_PER_WORKER * workers)]
    by_name = {memory.name: memory for memory in memories}
    for name in by_name:
        free.put(name)
    for number in [*range(len(batches)), *[None] * workers]:
        todo.put(number)
    processes = [context.Process(target=work, args=(batches, preprocessing, todo, free, ready), daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    input_name = session.get_inputs()[0].name
    for _ in batches:
        number, name = ready.get()
        paths = batches[number]
        scores = session.run(None, {input_name: batch_in(by_name[name], len(paths), preprocessing.side)})[0]
        free.put(name)
        write_maps(top_of_cells(scores, len(paths)), paths, source, out)
    for process in processes:
        process.join()
    for memory in memories:
        memory.close()
        memory.unlink()


def three(text: str) -> tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    if len(values) != 3:
        raise argparse.ArgumentTypeError("expected three numbers separated by commas")
    return values


def arguments() -> argparse.Namespace:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="ONNX classifier with a linear head")
    parser.add_argument("--in", dest="source", type=Path, required=True, help="folder of images")
    parser.add_argument("--out", type=Path, required=True, help="folder for the label maps")
    parser.add_argument("--input-size", type=int, default=224, help="side of the input in pixels")
    parser.add_argument("--batch", type=int, default=32, help="images in a batch")
    parser.add_argument("--workers", type=int, default=cores, help="loader processes")
    parser.add_argument("--threads", type=int, default=cores, help="threads of ONNX Runtime")
    parser.add_argument("--no-spinning", action="store_true", help="idle threads of ONNX Runtime sleep instead of spinning")
    parser.add_argument("--limit", type=int, help="only the first N images")
    parser.add_argument("--mean", type=three, default=(0.5, 0.5, 0.5))
    parser.add_argument("--std", type=three, default=(0.5, 0.5, 0.5))
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    paths = list_images(chosen.source, chosen.limit)
    batches = [paths[first : first + chosen.batch] for first in range(0, len(paths), chosen.batch)]
    session = open_session(chosen.teacher, chosen.threads, not chosen.no_spinning)
    started = time.perf_counter()
    preprocessing = Preprocessing(chosen.input_size, chosen.mean, chosen.std)
    label(session, batches, preprocessing, chosen.workers, chosen.source, chosen.out)
    seconds = time.perf_counter() - started
    print(json.dumps({"images": len(paths), "seconds": seconds, "images_per_s": len(paths) / seconds}))


if __name__ == "__main__":
    main()
