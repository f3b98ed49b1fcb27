"""Counts what a network needs, and measures the peak rates of a device (matrix products, copies, kernel launches). Prints
one JSON document.

    scripts/bench ceiling --model resnet50 --size 224 --precision fp16 --batch 64
    scripts/bench ceiling --model resnet50 --size 224 --precision fp16 --batch 64 --images-per-s 3000 --device cuda

The first counts multiply-adds and the minimum memory traffic by kind of layer. With a measured rate, it also computes the
share of the measured peak that the rate reaches, and its bottleneck: each layer takes at least the time of its products or of
its bytes.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable

import torch

from bench import machine
from bench.command import parser_of
from bench.gpu import network_costs
from bench.gpu.network_costs import Layer

# Sides of square matrices. Small ones do not fill a large device.
SIDES = {"cuda": (4096, 8192, 12288, 16384), "cpu": (512, 1024)}
COPIED_BYTES = {"cuda": 2**30, "cpu": 2**26}
# Minimum duration of a measurement, in seconds.
MEASURE_S = 0.3


def measure_device(device: torch.device, precision: str) -> dict[str, float]:
    """Returns products in FLOP/s (a multiply-add counts as two), copies in bytes/s read and written, seconds per launch."""
    torch.backends.cuda.matmul.allow_tf32 = False
    return {
        "flop_per_s": product_flop_per_s(device, network_costs.DTYPES[precision]),
        "copy_bytes_per_s": copy_bytes_per_s(device),
        "launch_s": launch_s(device),
    }


def product_flop_per_s(device: torch.device, dtype: torch.dtype) -> float:
    best = 0.0
    for side in SIDES[device.type]:
        first, second = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.empty(side, side, device=device, dtype=dtype)
        product = functools.partial(torch.matmul, first, second, out=out)
        best = max(best, 2 * side**3 / seconds_each(product, device))
    return best


def copy_bytes_per_s(device: torch.device) -> float:
    source = torch.randint(0, 256, (COPIED_BYTES[device.type],), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds_each(lambda: target.copy_(source), device)


def launch_s(device: torch.device) -> float:
    """Returns the seconds per launch of a minimal kernel."""
    number = torch.zeros(1, device=device)
    return seconds_each(lambda: number.add_(1), device)


def seconds_each(work: Callable[[], object], device: torch.device) -> float:
    """Returns the seconds per call, the best of three series: the peak of the device, not its average."""
    for _ in range(3):
        work()
    calls, best = 1, float("inf")
    for _ in range(3):
        while True:
            spent = timed(work, calls, device)
            if spent >= MEASURE_S / 3:
                break
            calls *= 2
        best = min(best, spent / calls)
    return best


def timed(work: Callable[[], object], calls: int, device: torch.device) -> float:
    synchronize = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)
    synchronize()
    started = time.perf_counter()
    for _ in range(calls):
        work()
    synchronize()
    return time.perf_counter() - started


def flops(layers: list[Layer], batch: int) -> dict[str, object]:
    """Returns the sums for one image, in total and by kind of layer."""
    names = sorted({layer.kind for layer in layers})
    kinds = {name: [layer for layer in layers if layer.kind == name] for name in names}
    return {
        "macs": sum(layer.macs for layer in layers),
        "bytes": sum(layer.bytes_per_image(batch) for layer in layers if layer.macs),
        "layers": len(layers),
        "kinds": {
            kind: {
                "layers": len(some),
                "macs": sum(layer.macs for layer in some),
                "bytes": sum(layer.bytes_per_image(batch) for layer in some),
            }
            for kind, some in kinds.items()
        },
    }


def share(layers: list[Layer], batch: int, images_per_s: float, device: dict[str, float]) -> dict[str, object]:
    """Returns the share of the peak that a rate reaches, and the rate that the roofline model allows."""
    peak = device["flop_per_s"]
    bound = network_costs.bound(layers, batch, peak, device["copy_bytes_per_s"], device["launch_s"])
    used = 2 * sum(layer.macs for layer in layers) * images_per_s
    return {
        "share_of_peak": used / peak,
        "roofline_images_per_s": 1 / bound.least_s,
        "share_of_roofline": images_per_s * bound.least_s,
        "bound_by": bound.bottleneck,
        "matrix_bound_s": bound.matrix_s,
        "memory_bound_s": bound.memory_s,
        "activations_alone_s": bound.alone_s,
        "launches_s": bound.launch_s,
    }


def main(words: list[str]) -> int:
    parser = parser_of("ceiling", __doc__)
    parser.add_argument("--model", required=True, help="name of a timm model")
    parser.add_argument("--size", type=int, default=224, help="side of the input in pixels (default: 224)")
    parser.add_argument("--precision", choices=sorted(network_costs.BYTES), default="fp16")
    parser.add_argument("--batch", type=int, default=64, help="images that share one read of the weights (default: 64)")
    parser.add_argument("--images-per-s", type=float, help="the measured rate; the device is measured, too")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
    chosen = parser.parse_args(words)
    layers = network_costs.count(chosen.model, chosen.size, chosen.precision)
    document = flops(layers, chosen.batch)
    if chosen.images_per_s:
        device = torch.device(chosen.device)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise machine.Missing("PyTorch finds no CUDA device; --device cpu measures the CPU")
        measured = measure_device(device, chosen.precision)
        document |= measured | share(layers, chosen.batch, chosen.images_per_s, measured)
    print(json.dumps(document))
    return 0
