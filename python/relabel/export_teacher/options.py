"""Options of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Size = tuple[int, int]
"""Height and width in pixels."""

TORCHVISION = "torchvision:"
TRANSFORMERS = "transformers:"


@dataclass(frozen=True)
class NetworkOptions:
    """A network and its weights.

    Args:
        name: A name of timm, ``hf-hub:OWNER/NAME``, ``torchvision:NAME[.WEIGHTS]`` or ``transformers:OWNER/NAME``.
        checkpoint: File of the weights. Default: the published weights, which are downloaded.
        random_weights: Use random weights, the same ones each time.
        num_classes: Number of outputs, with ``checkpoint`` or ``random_weights``.
        global_pool: Pooling of a timm network that offers a choice.
        input_size: Height and width in pixels. Default: those of the weights' evaluation.
    """

    name: str
    checkpoint: Path | None = None
    random_weights: bool = False
    num_classes: int | None = None
    global_pool: str | None = None
    input_size: Size | None = None

    @property
    def published(self) -> bool:
        """Whether the weights are the published ones."""
        return not (self.checkpoint or self.random_weights)


@dataclass(frozen=True)
class ExportOptions:
    """The files to write.

    Args:
        out: Path of the ONNX file. The card and other files are written next to it.
        size: Require dynamic height and width, or fix them. ``auto``: dynamic if that works.
        fp16: Weights and arithmetic in float16. Input and scores stay float32.
        external_data: Write the weights to a file of their own. Otherwise only if they are large.
        exporter: PyTorch's exporter. ``auto``: legacy, then dynamo if that fails.
        opset: ONNX opset. Default: 17 (legacy), 20 (dynamo).
        force: Overwrite existing files.
    """

    out: Path
    size: Literal["auto", "dynamic", "fixed"] = "auto"
    fp16: bool = False
    external_data: bool = False
    exporter: Literal["auto", "legacy", "dynamo"] = "auto"
    opset: int | None = None
    force: bool = False


def output_files(out: Path) -> list[Path]:
    """Returns the possible output files: graph, external weights, card and class list."""
    return [out, external_data_file(out), card_file(out), class_list_file(out)]


def external_data_file(out: Path) -> Path:
    """Returns the path of the external weights."""
    return out.with_name(f"{out.name}.data")


def card_file(out: Path) -> Path:
    """Returns the path of the teacher card."""
    return out.with_suffix(".toml")


def class_list_file(out: Path) -> Path:
    """Returns the path of the class list."""
    return out.with_suffix(".classes.txt")


def size_text(size: Size) -> str:
    """Formats a size: ``224x224``."""
    return f"{size[0]}x{size[1]}"


def packages_for(name: str) -> list[str]:
    """Returns the packages that the export of a network needs."""
    packages = ["torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime"]
    return [*packages, "transformers"] if name.startswith(TRANSFORMERS) else packages
