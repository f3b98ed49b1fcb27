"""The job of `relabel run`, written as a PyTorch user would write it: the baseline of the benchmarks.

The timm network has the random weights of its export (`scripts/gpu/teachers`), the memory format channels last, and is
compiled by `torch.compile`. A DataLoader decodes and resizes. The device normalises, applies the head to every cell and
takes the top five. Threads write one `.pt` file per image. float32 products are exact unless --tf32 is given.

    peer.py end-to-end --model resnet50 --input-size 224 --precision fp16 --in photos --out maps --json
    peer.py resident --model resnet50 --input-size 224 --precision fp16 --batch 64 --images 2048 --json
    peer.py compare --store labels --pt maps --in photos --json

`end-to-end` repeats the run in one process, because compilation takes minutes. wall_s begins before the loader's workers
start and ends after the last file, without imports, compilation (compile_s) and loading. steady_images_per_s excludes the
first batches and the writing of the last. `compare` compares the maps with a store, cell by cell.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

MODES = ("default", "max-autotune-no-cudagraphs", "none")
# Batches until the queues are full. The steady rate excludes them if there are enough others.
FIRST_BATCHES = 4


def main() -> int:
    chosen = arguments()
    if chosen.command == "compare":
        from peer_compare import compare

        return show(chosen, compare(chosen.store, chosen.pt, chosen.source))
    import torch

    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("peer: PyTorch finds no CUDA device; --device cpu runs on the CPU", file=sys.stderr)
        return 1
    if chosen.command == "end-to-end":
        refuse_foreign_files(chosen.out)
    import peer_model

    started = time.perf_counter()
    maps, resize_filter = peer_model.load(chosen.model, chosen.input_size, chosen.precision, device, tf32=chosen.tf32)
    load_s = time.perf_counter() - started
    pixels = peer_model.random_pixels(chosen.batch, chosen.input_size, device)
    maps, compiled, compile_s = peer_model.ready(maps, chosen.compile, pixels)
    document: dict[str, object] = {
        "model": chosen.model, "precision": chosen.precision, "batch": chosen.batch, "compile": compiled,
        "torch": torch.__version__, "load_s": load_s, "compile_s": compile_s,
    }  # fmt: skip
    if chosen.command == "resident" or chosen.resident_images:
        images = chosen.images if chosen.command == "resident" else chosen.resident_images
        rates = [peer_model.resident_images_per_s(maps, pixels, images) for _ in range(chosen.repeats)]
        document["resident_images_per_s"] = rates
        if chosen.command == "resident":
            return show(chosen, document | {"images_per_s": statistics.median(rates)})
    runs = [end_to_end(chosen, maps, resize_filter, device) for _ in range(chosen.repeats)]
    middle = sorted(runs, key=lambda run: run["wall_s"])[len(runs) // 2]
    return show(chosen, document | {"workers": chosen.workers, "runs": runs} | middle)


def end_to_end(chosen: argparse.Namespace, maps, resize_filter: str, device) -> dict[str, float]:
    """Runs once over the photographs."""
    import torch

    from peer_feed import Images, Writer, batches, list_images

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


def refuse_foreign_files(out: Path) -> None:
    """Refuses an output folder with other files: the run empties it."""
    foreign = next((file for file in out.rglob("*") if file.is_file() and file.suffix != ".pt"), None)
    if foreign:
        raise SystemExit(f"peer: {foreign} is not a label map, so {out} is not emptied: name another --out")


def hand_over(writer, paths: list[Path], done: int, launched, count: int) -> int:
    """Waits for the label maps of a batch and queues them for writing."""
    writer.put(paths[done : done + count], launched[:count].cpu())
    return done + count


def show(chosen: argparse.Namespace, document: dict[str, object]) -> int:
    if chosen.json:
        print(json.dumps(document))
    else:
        for key, value in document.items():
            print(f"{key:<24} {value}")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    job = commands.add_parser("end-to-end", help="label photographs into files of label maps")
    alone = commands.add_parser("resident", help="run the network alone, on pixels on the device")
    match = commands.add_parser("compare", help="compare the files of label maps with a store")
    for command in (job, alone):
        command.add_argument("--model", required=True, help="name of a timm model")
        command.add_argument("--input-size", type=int, default=224, metavar="PIXELS", help="side of the input (default: 224)")
        command.add_argument("--precision", choices=["fp16", "fp32"], default="fp16")
        command.add_argument("--tf32", action="store_true", help="allow TF32 products, with 10 bits of each factor")
        command.add_argument("--batch", type=int, default=64, help="images in a batch (default: 64)")
        command.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
        command.add_argument("--compile", choices=MODES, default="default", help="mode of torch.compile, or none")
        command.add_argument("--no-compile", dest="compile", action="store_const", const="none", help="same as --compile none")
        command.add_argument("--repeats", type=int, default=1, help="number of runs; the median is reported (default: 1)")
        command.add_argument("--json", action="store_true")
    alone.add_argument("--images", type=int, default=1024, help="number of images (default: 1024)")
    cores = len(os.sched_getaffinity(0))
    job.add_argument("--in", dest="source", type=Path, required=True, metavar="FOLDER", help="photographs")
    job.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for .pt files; those of an earlier run are deleted")
    job.add_argument("--workers", type=int, default=cores, help=f"decoding processes (default: {cores})")
    job.add_argument("--limit", type=int, metavar="N", help="only the first N photographs")
    job.add_argument("--resident-images", type=int, metavar="N", help="also run the network alone on N images")
    match.add_argument("--store", type=Path, required=True, help="label maps of relabel")
    match.add_argument("--pt", type=Path, required=True, metavar="FOLDER", help="label maps of end-to-end")
    match.add_argument("--in", dest="source", type=Path, required=True, metavar="FOLDER", help="the photographs")
    match.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if min(getattr(chosen, name, 1) for name in ("batch", "repeats", "input_size", "images")) < 1:
        parser.error("--batch, --repeats, --input-size and --images must be at least 1")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
