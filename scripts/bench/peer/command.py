"""The job of `relabel run`, written in Python as usual, as a baseline: from a folder of photographs to a file of label maps
per image, float32 `[2, 5, rows, columns]` (scores, class ids), the layout of the published maps. Prints one JSON document.

    scripts/bench peer onnx --teacher T.onnx --in DIR --out DIR --input-size 224 --batch 32 --workers 2 --limit 500
    scripts/bench peer torch --model resnet50 --input-size 224 --precision fp16 --in photographs --out maps
    scripts/bench peer compare --store labels --pt maps --in photographs

`onnx` runs a teacher's file with ONNX Runtime on the CPU, `torch` a timm network with PyTorch on any device. Both begin to
measure (wall_s) before the loader's workers start and end after the last file, without imports, compilation and loading.
`torch` repeats the run in one process, because compilation takes minutes (compile_s). Its steady_images_per_s excludes the
first batches and the writing of the last. `compare` compares its maps with a store, cell by cell.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench import machine
from bench.command import parser_of
from bench.peer.files import refuse_foreign_files

MODES = ("default", "max-autotune-no-cudagraphs", "none")


def main(words: list[str]) -> int:
    chosen = arguments(words)
    if chosen.command != "compare":
        refuse_foreign_files(chosen.out)
    print(json.dumps({"onnx": run_onnx, "torch": run_torch, "compare": compare}[chosen.command](chosen)))
    return 0


def run_onnx(chosen: argparse.Namespace) -> dict[str, float]:
    from bench.peer import onnx_peer

    session = onnx_peer.open_session(chosen.teacher, chosen.threads, not chosen.no_spinning)
    preprocessing = onnx_peer.Preprocessing(chosen.input_size, chosen.mean, chosen.std)
    return onnx_peer.run(
        session, chosen.source, chosen.out, preprocessing, chosen.batch, chosen.workers, chosen.limit
    )


def run_torch(chosen: argparse.Namespace) -> dict[str, object]:
    import torch

    from bench.peer import torch_peer

    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise machine.Missing("PyTorch finds no CUDA device; --device cpu runs on the CPU")
    return torch_peer.measure(chosen, device)


def compare(chosen: argparse.Namespace) -> dict[str, float]:
    from bench.peer import compare

    return compare.compare(chosen.store, chosen.pt, chosen.source)


def three(text: str) -> tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    if len(values) != 3:
        raise argparse.ArgumentTypeError("expected three numbers separated by commas")
    return values


def arguments(words: list[str]) -> argparse.Namespace:
    parser = parser_of("peer", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    onnx = commands.add_parser("onnx", help="label photographs with ONNX Runtime on the CPU")
    torch = commands.add_parser("torch", help="label photographs with PyTorch")
    match = commands.add_parser("compare", help="compare the label maps of `torch` with a store")
    cores = machine.cores()
    for command in (onnx, torch, match):
        command.add_argument("--in", dest="source", type=Path, required=True, metavar="FOLDER", help="photographs")
    for command in (onnx, torch):
        out = "for label maps; those of an earlier run are deleted"
        command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help=out)
        command.add_argument("--input-size", type=int, default=224, metavar="PIXELS", help="side of the input (default: 224)")
        command.add_argument("--workers", type=int, default=cores, help=f"decoding processes (default: {cores})")
        command.add_argument("--limit", type=int, metavar="N", help="only the first N photographs")
    onnx.add_argument("--teacher", type=Path, required=True, help="ONNX classifier with a linear head")
    onnx.add_argument("--batch", type=int, default=32, help="images in a batch (default: 32)")
    onnx.add_argument("--threads", type=int, default=cores, help=f"threads of ONNX Runtime (default: {cores})")
    onnx.add_argument("--no-spinning", action="store_true", help="idle threads of ONNX Runtime sleep instead of spinning")
    onnx.add_argument("--mean", type=three, default=(0.5, 0.5, 0.5))
    onnx.add_argument("--std", type=three, default=(0.5, 0.5, 0.5))
    torch.add_argument("--model", required=True, help="name of a timm model")
    torch.add_argument("--batch", type=int, default=64, help="images in a batch (default: 64)")
    torch.add_argument("--precision", choices=["fp16", "fp32"], default="fp16")
    torch.add_argument("--tf32", action="store_true", help="allow TF32 products, with 10 bits of each factor")
    torch.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
    torch.add_argument("--compile", choices=MODES, default="default", help="mode of torch.compile, or none")
    torch.add_argument("--repeats", type=int, default=1, help="number of runs; the median is reported (default: 1)")
    torch.add_argument("--network-images", type=int, default=0, metavar="N", help="also run the network alone on N images")
    match.add_argument("--store", type=Path, required=True, help="label maps of relabel")
    match.add_argument("--pt", type=Path, required=True, metavar="FOLDER", help="label maps of `torch`")
    chosen = parser.parse_args(words)
    if min(getattr(chosen, name, 1) for name in ("batch", "repeats", "input_size", "workers")) < 1:
        parser.error("--batch, --repeats, --input-size and --workers must be at least 1")
    return chosen
