"""Writes the ONNX graph of a network with one of PyTorch's exporters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import onnx
import torch
from torch.nn import Module

from .comparison import random_pixels
from .options import ExportOptions, Size, external_data_file

DEFAULT_OPSET = {"legacy": 17, "dynamo": 20}
# The limit of a protobuf file is 2 GiB, including the graph.
LARGEST_EMBEDDED_BYTES = 1_800_000_000
NAMES: dict[str, Any] = {"input_names": ["input"], "output_names": ["logits"]}


@dataclass(frozen=True)
class Attempt:
    """An exporter and its options."""

    exporter: str
    opset: int
    free_size: bool

    def __str__(self) -> str:
        size = "free height and width" if self.free_size else "fixed height and width"
        return f"{self.exporter} exporter, opset {self.opset}, {size}"


def attempts(options: ExportOptions, may_be_free: bool) -> Iterator[Attempt]:
    """Returns the attempts that the options allow, the preferred one first.

    Args:
        options: The options of the export.
        may_be_free: The network supports another size.
    """
    exporters = ("legacy", "dynamo") if options.exporter == "auto" else (options.exporter,)
    free_sizes = [True] * (may_be_free and options.size != "fixed") + [False] * (options.size != "dynamic")
    for exporter, free_size in product(exporters, free_sizes):
        yield Attempt(exporter, options.opset or DEFAULT_OPSET[exporter], free_size)


def write_graph(module: Module, size: Size, attempt: Attempt, external_data: bool, path: Path) -> None:
    """Writes the graph with input ``input`` and output ``logits``, and its external weights if they are large.

    Args:
        module: The network.
        size: Height and width of the input.
        attempt: The exporter and its options.
        external_data: Write the weights to a file of their own also if they are small.
        path: The file. Other files in its folder are deleted.
    """
    weight_bytes = sum(weight.numel() * weight.element_size() for weight in module.state_dict().values())
    external = external_data or weight_bytes >= LARGEST_EMBEDDED_BYTES
    export = _export_legacy if attempt.exporter == "legacy" else _export_dynamo
    export(module, random_pixels(2, size), attempt, external, path)
    if external:
        _merge_external_data(path)


def _export_legacy(module: Module, pixels: torch.Tensor, attempt: Attempt, _external: bool, path: Path) -> None:
    axes = {0: "batch", 2: "height", 3: "width"} if attempt.free_size else {0: "batch"}
    torch.onnx.export(
        module,
        (pixels,),
        str(path),
        dynamo=False,
        opset_version=attempt.opset,
        dynamic_axes={"input": axes, "logits": {0: "batch"}},
        **NAMES,
    )


def _export_dynamo(module: Module, pixels: torch.Tensor, attempt: Attempt, external: bool, path: Path) -> None:
    free = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        module,
        (pixels,),
        str(path),
        dynamo=True,
        opset_version=attempt.opset,
        dynamic_shapes=({0: free, 2: free, 3: free} if attempt.free_size else {0: free},),
        external_data=external,
        verbose=False,
        **NAMES,
    )


def _merge_external_data(path: Path) -> None:
    """Merges the weight files that the exporters write into one."""
    model = onnx.load(path)
    for left in path.parent.iterdir():
        left.unlink()
    location = external_data_file(path).name
    onnx.save_model(model, path, save_as_external_data=True, location=location, size_threshold=1024)
