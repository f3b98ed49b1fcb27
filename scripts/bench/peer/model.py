"""A timm network that computes label maps: its head applied to every cell, and the top five classes, on the device.

    maps, resize_filter = load("resnet50", 224, "fp16", torch.device("cuda"), tf32=False)
    maps(pixels)        # uint8 [batch, height, width, 3] to float32 [batch, 2, 5, rows, columns]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.peer.files import TOP_K


class LabelMaps(nn.Module):
    """The rewritten teacher: takes pixels, returns the best classes of every cell."""

    def __init__(self, module: nn.Module, mean: Sequence[float], std: Sequence[float], precision: torch.dtype) -> None:
        super().__init__()
        self.module = module.to(dtype=precision, memory_format=torch.channels_last)
        self.precision = precision
        # Normalisation is float32, as in relabel, also for a network in float16.
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        # This is channels last already, because pixels are [height, width, channel].
        normalised = (pixels.permute(0, 3, 1, 2) / 255 - self.mean) / self.std
        features = self.module.forward_features(normalised.to(self.precision))
        scores = self.cell_scores(features)
        best = scores.float().topk(TOP_K, dim=-1)
        pair = torch.stack([best.values, best.indices.float()], dim=1)
        return pair.permute(0, 1, 4, 2, 3).contiguous()

    def cell_scores(self, features: Tensor) -> Tensor:
        """Applies the head to each cell as if it were an image. Returns `[batch, rows, columns, class]`."""
        batch, channels, rows, columns = features.shape
        cells = features.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
        return self.module.forward_head(cells).reshape(batch, rows, columns, -1)


def load(model: str, side: int, precision: str, device: torch.device, *, tf32: bool) -> tuple[LabelMaps, str]:
    """Returns the network with the random weights of its export, on the device, and the filter for resizing its images."""
    from relabel.export_teacher import NetworkOptions, create_classifier

    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    made = create_classifier(NetworkOptions(model, random_weights=True, input_size=(side, side)))
    dtype = torch.float16 if precision == "fp16" else torch.float32
    maps = LabelMaps(made.module, tuple(made.mean), tuple(made.std), dtype).eval().to(device)
    return maps, made.filter


def ready(maps: LabelMaps, mode: str, pixels: Tensor) -> tuple[nn.Module, str, float]:
    """Compiles the network, unless the mode is `none`, and warms it up.

    Compilation for a GPU needs a C compiler. If it fails, the network runs uncompiled.

    Returns:
        The network, a description of the mode, and the seconds until it runs at full speed.
    """
    started = time.perf_counter()
    if mode != "none":
        compiled = torch.compile(maps, mode=mode)
        try:
            warm_up(compiled, pixels)
            return compiled, mode, time.perf_counter() - started
        except Exception as problem:  # The stages of the compiler raise many types.
            reason = " ".join(str(problem).split())[:200]
            print(f"peer: torch.compile failed, so the network runs uncompiled: {reason}", file=sys.stderr)
            mode = f"none, torch.compile failed ({type(problem).__name__})"
    warm_up(maps, pixels)
    return maps, mode, time.perf_counter() - started


def random_pixels(batch: int, side: int, device: torch.device) -> Tensor:
    draw = torch.Generator().manual_seed(batch)
    return torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8, generator=draw).to(device)


def warm_up(maps: nn.Module, pixels: Tensor, runs: int = 3) -> None:
    """Runs the network until it is compiled and has chosen its algorithms."""
    with torch.inference_mode():
        for _ in range(runs):
            maps(pixels)
    synchronize(pixels.device)


def network_images_per_s(maps: nn.Module, pixels: Tensor, images: int) -> float:
    """Returns images/s of the network alone, on pixels on the device."""
    batches = max(1, -(-images // len(pixels)))
    synchronize(pixels.device)
    started = time.perf_counter()
    with torch.inference_mode():
        for _ in range(batches):
            maps(pixels)
    synchronize(pixels.device)
    return batches * len(pixels) / (time.perf_counter() - started)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
