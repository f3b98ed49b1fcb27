"""Counts the multiply-adds and the memory traffic of a network for one image, layer by layer, without running it.

    layers = network_costs.count("tf_efficientnet_l2.ns_jft_in1k_475", 475, "fp16")
    sum(layer.macs for layer in layers)

The network runs on PyTorch's `meta` device, whose tensors have shapes but no values. Its head counts once per cell.
The minimum traffic assumes that a convolution or product reads its input and writes its output once, with norm and
activation in the same kernel. Separate layers (activations, averages) are counted separately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.peer.model import LabelMaps

BYTES = {"fp16": 2, "fp32": 4}
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Layer:
    """Work of one layer for one image. Weights are read once per batch."""

    name: str
    kind: str
    macs: int
    moved_bytes: int
    weight_bytes: int

    def bytes_per_image(self, batch: int) -> float:
        return self.moved_bytes + self.weight_bytes / batch


def count(model: str, side: int, precision: str) -> list[Layer]:
    """Returns the layers: those with products by kind of product, all others as `elementwise`."""
    import timm

    with torch.device("meta"):
        module = timm.create_model(model, pretrained=False).eval()
        maps = LabelMaps(module, (0.0,) * 3, (1.0,) * 3, DTYPES[precision])
    size = BYTES[precision]
    layers: list[Layer] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            weight = getattr(layer, "weight", None)
            moved = (given[0].numel() + output.numel()) * size
            weight_bytes = 0 if weight is None else weight.numel() * size
            macs = output.numel() * weight[0].numel() if weight is not None and weight.ndim >= 2 else 0
            layers.append(Layer(name, kind(layer), macs, moved, weight_bytes))

        return hook

    for name, layer in maps.named_modules():
        # Norms are fused into the convolution before them.
        is_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
        if not list(layer.children()) and not is_norm and not isinstance(layer, nn.Identity):
            layer.register_forward_hook(note(name))
    with torch.inference_mode():
        maps(torch.empty(1, side, side, 3, dtype=torch.uint8, device="meta"))
    if not any(layer.macs for layer in layers):
        raise SystemExit(f"{model} has no convolution and no linear layer to count")
    return layers


def kind(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        if layer.groups > 1 and layer.groups == layer.in_channels:
            return "depthwise"
        return "pointwise" if set(layer.kernel_size) == {1} and layer.groups == 1 else "other"
    return "linear" if isinstance(layer, nn.Linear) else "elementwise"


@dataclass(frozen=True)
class Bound:
    """Minimum time for one image, in seconds, by bottleneck."""

    matrix_s: float
    memory_s: float
    launch_s: float
    alone_s: float

    @property
    def least_s(self) -> float:
        """Sum over the layers of the time of their products or of their bytes, whichever is longer."""
        return self.matrix_s + self.memory_s

    @property
    def bottleneck(self) -> str:
        """The largest of the three times."""
        times = {"matrix units": self.matrix_s, "memory traffic": self.memory_s, "launches": self.launch_s}
        return max(times, key=lambda name: times[name])


def bound(layers: list[Layer], batch: int, flop_per_s: float, bytes_per_s: float, launch_s: float) -> Bound:
    """Computes a roofline layer by layer.

    Layers without products count only in `alone_s`, because they can be fused into the kernel before them. Launches are
    counted for all layers.
    """
    matrix_s = memory_s = alone_s = 0.0
    for layer in layers:
        products, traffic = 2 * layer.macs / flop_per_s, layer.bytes_per_image(batch) / bytes_per_s
        if not layer.macs:
            alone_s += traffic
        elif products > traffic:
            matrix_s += products
        else:
            memory_s += traffic
    return Bound(matrix_s, memory_s, launch_s * len(layers) / batch, alone_s)
