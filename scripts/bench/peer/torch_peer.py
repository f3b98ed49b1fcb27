"""The peer with PyTorch: a timm network with the random weights of its export, compiled by `torch.compile`.

The memory format is channels last. A DataLoader decodes and resizes. The device normalises, applies the head to every cell
and takes the top five. Threads write one `.pt` file per image. float32 products are exact unless --tf32 is given.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from bench import estimates
from bench.peer import model
from bench.peer.feed import Images, Writer, batches
from bench.peer.files import list_images

# Batches until the queues are full. The steady rate excludes them if there are enough others.
FIRST_BATCHES = 4


def measure(chosen: argparse.Namespace, device: torch.device) -> dict[str, object]:
    """Measures the network alone, complete runs, or both, in one process: compilation takes minutes."""
    started = time.perf_counter()
    maps, resize_filter = model.load(chosen.model, chosen.input_size, chosen.precision, device, tf32=chosen.tf32)
    load_s = time.perf_counter() - started
    pixels = model.random_pixels(chosen.batch, chosen.input_size, device)
    compiled, mode, compile_s = model.ready(maps, chosen.compile, pixels)
    document: dict[str, object] = {
        "model": chosen.model, "precision": chosen.precision, "batch": chosen.batch, "compile": mode,
        "torch": torch.__version__, "load_s": load_s, "compile_s": compile_s,
    }  # fmt: skip
    if chosen.network_images:
        rates = [model.network_images_per_s(compiled, pixels, chosen.network_images) for _ in range(chosen.repeats)]
        document["network_images_per_s"] = rates
    runs = [run(chosen, compiled, resize_filter, device) for _ in range(chosen.repeats)]
    middle = estimates.middle(runs, key=lambda one: one["wall_s"])
    return document | {"workers": chosen.workers, "runs": runs} | middle


def run(chosen: argparse.Namespace, maps: nn.Module, resize_filter: str, device: torch.device) -> dict[str, float]:
    """Runs once over the photographs."""
    # It contains only the label maps of an earlier run.
    shutil.rmtree(chosen.out, ignore_errors=True)
    chosen.out.mkdir(parents=True)
    started = time.perf_counter()
    paths = list_images(chosen.source, chosen.limit)
    writer = Writer(chosen.out)
    images = Images(chosen.source, paths, chosen.input_size, resize_filter)
    ends: list[tuple[int, float]] = []
    in_flight = None
    done = 0
    with torch.inference_mode():
        for pixels in batches(images, chosen.batch, chosen.workers, device):
            on_device = pixels.to(device, non_blocking=True)
            missing = chosen.batch - len(pixels)
            # A smaller batch would be compiled again.
            padded = torch.nn.functional.pad(on_device, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else on_device
            launched = maps(padded)
            # The device computes this batch while the maps of the previous one are fetched.
            if in_flight is not None:
                done = hand_over(writer, paths, done, *in_flight)
                ends.append((done, time.perf_counter()))
            in_flight = (launched, len(pixels))
        if in_flight is not None:
            done = hand_over(writer, paths, done, *in_flight)
            ends.append((done, time.perf_counter()))
    writer.finish()
    wall_s = time.perf_counter() - started
    # A short run has no steady state.
    is_long = len(ends) >= 3 * FIRST_BATCHES
    from_images, from_time = ends[FIRST_BATCHES - 1] if is_long else (0, started)
    steady = (done - from_images) / (ends[-1][1] - from_time)
    return {"images": done, "wall_s": wall_s, "images_per_s": done / wall_s, "steady_images_per_s": steady}


def hand_over(writer: Writer, paths: list[Path], done: int, launched: Tensor, count: int) -> int:
    """Waits for the label maps of a batch and queues them for writing."""
    writer.put(paths[done : done + count], launched[:count].cpu())
    return done + count
