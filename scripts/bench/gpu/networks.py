"""The teachers of the GPU steps: timm networks with random weights of a fixed seed, so that PyTorch computes the same label
maps without the exported file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomllib

from bench import machine


@dataclass(frozen=True)
class Export:
    """Name of a teacher, name of its network in timm, and export options."""

    name: str
    model: str
    precision: str
    side: int
    # The legacy exporter is faster, except for EfficientNet-L2: 214 s, and 55 s with dynamo.
    exporter: str = "legacy"

    @property
    def key(self) -> str:
        return f"{self.name}.{self.precision}"


L2 = ("tf_efficientnet_l2_ns_475", "tf_efficientnet_l2.ns_jft_in1k_475")
EXPORTS = (
    Export(*L2, "fp16", 475, "dynamo"),
    Export(*L2, "fp32", 475, "dynamo"),
    Export("convnext_base", "convnext_base", "fp16", 224),
    Export("resnet50", "resnet50", "fp16", 224),
    Export("resnet50", "resnet50", "fp32", 224),
)


@dataclass(frozen=True)
class Teacher:
    """An exported teacher with random weights, and the network that its card names."""

    path: Path
    model: str
    precision: str
    side: int

    @property
    def name(self) -> str:
        return self.path.stem


def teacher(name: str) -> Teacher:
    """Returns a teacher by its file, or by the name under which `scripts/bench teachers` exported it."""
    path = Path(name) if name.endswith(".onnx") else machine.teacher(name)
    card_path = path.with_suffix(".toml")
    for needed in (path, card_path):
        if not needed.is_file():
            raise machine.Missing(f"{needed} not found: make it with `scripts/bench teachers {path.stem}`")
    card = tomllib.loads(card_path.read_text(encoding="utf-8"))
    source, _, model = str(card.get("source", "")).partition(": ")
    if source != "timm" or card.get("weights") != "none: random numbers":
        raise machine.Missing(f"{card_path} does not describe a timm network with random weights, which PyTorch can reproduce")
    precision = "fp16" if str(card["precision"]).startswith("float16") else "fp32"
    height, width = card["input_size"]
    if height != width:
        raise machine.Missing(f"{card_path}: the input is {height}x{width}; only square inputs are supported")
    return Teacher(path, model, precision, height)
