"""The teachers that the scripts of this folder export and measure, and the same networks in PyTorch.

Weights are random but the same each time (`export_teacher.py`), so that the exported file and the network that
`peer.py` runs give the same label maps.

    made = network("resnet50", 224)      # as `export_teacher.py resnet50 --random-weights --input-size 224`
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import machine

if TYPE_CHECKING:
    from export_teacher import Classifier

SCRIPTS = Path(__file__).resolve().parent.parent
PRECISIONS = ("fp16", "fp32")


@dataclass(frozen=True)
class Export:
    """A teacher's name here, the network's name in timm, and how it is exported."""

    name: str
    model: str
    precision: str
    side: int
    # The legacy exporter is the faster one, but not for EfficientNet-L2: 214 s there, and 55 s with dynamo.
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
    """An exported teacher with random weights, and what its card says of the network."""

    path: Path
    model: str
    precision: str
    side: int

    @property
    def name(self) -> str:
        return self.path.stem


def teacher(name: str) -> Teacher:
    """A file, or the name of a teacher that `scripts/gpu/teachers` has exported."""
    path = Path(name) if name.endswith(".onnx") else machine.teacher(name)
    card_path = path.with_suffix(".toml")
    for needed in (path, card_path):
        if not needed.is_file():
            raise SystemExit(f"there is no {needed}: make it with scripts/gpu/teachers {path.stem}")
    card = tomllib.loads(card_path.read_text(encoding="utf-8"))
    source, _, model = str(card.get("source", "")).partition(": ")
    if source != "timm" or card.get("weights") != "none: random numbers":
        raise SystemExit(f"{card_path} is not of a timm network with random weights, which PyTorch could make again")
    precision = "fp16" if str(card["precision"]).startswith("float16") else "fp32"
    height, width = card["input_size"]
    if height != width:
        raise SystemExit(f"{card_path}: input of {height}x{width}; only square inputs are measured here")
    return Teacher(path, model, precision, height)


def export_module():
    """`export_teacher.py`, which lies one folder above."""
    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))
    import export_teacher

    return export_teacher


def network(model: str, side: int) -> Classifier:
    """The network with the random weights that its export has, in float32 on the processor."""
    exporting = export_module()
    args = argparse.Namespace(
        name=model, num_classes=None, global_pool=None, checkpoint=None, random_weights=True, input_size=(side, side)
    )
    try:
        return exporting.timm_classifier(args)
    except exporting.Refused as refusal:
        raise SystemExit(str(refusal)) from refusal
