"""Arguments of ``export-teacher``. The program prints the help."""

from __future__ import annotations

import argparse
from pathlib import Path

from relabel.command_line import Parser, global_flags
from relabel.console import Usage

from .options import TORCHVISION, TRANSFORMERS, ExportOptions, NetworkOptions, Size


def parser() -> Parser:
    """Returns the parser of the command."""
    parser = Parser(
        "relabel export-teacher",
        description="Export a classifier of timm, torchvision or transformers to ONNX, with its teacher card.",
        parents=[global_flags()],
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a timm model (with or without tag), hf-hub:OWNER/NAME, torchvision:NAME[.WEIGHTS], or transformers:OWNER/NAME (or"
        " a folder of save_pretrained; with --random-weights also a type, as transformers:swinv2)",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="T.onnx", help="output file; the card is written to T.toml"
    )
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="use the weights of a file (.pth, .safetensors)")
    weights.add_argument("--random-weights", action="store_true", help="use random weights, to test an export without a download")
    parser.add_argument(
        "--num-classes", type=_positive, metavar="N", help="number of outputs, with --checkpoint or --random-weights"
    )
    parser.add_argument("--global-pool", metavar="POOL", help="pooling of a timm network that offers a choice, such as avg")
    parser.add_argument(
        "--input-size", type=_size, metavar="H[xW]", help="input size in pixels; default: that of the weights' evaluation"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--dynamic", action="store_true", help="require dynamic height and width; default: dynamic if it works")
    sizes.add_argument("--fixed", action="store_true", help="fix height and width (the batch stays dynamic)")
    parser.add_argument("--fp16", action="store_true", help="weights and arithmetic in float16; input and scores stay float32")
    parser.add_argument("--external-data", action="store_true", help="write the weights to T.onnx.data; default above 1.8 GB")
    parser.add_argument(
        "--exporter", choices=["auto", "legacy", "dynamo"], default="auto", help="auto: legacy, then dynamo if that fails"
    )
    parser.add_argument("--opset", type=_positive, metavar="N", help="ONNX opset; default: 17 (legacy), 20 (dynamo)")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    return parser


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def _size(text: str) -> Size:
    height, _, width = text.partition("x")
    return _positive(height), _positive(width or height)


def options_of(arguments: argparse.Namespace) -> tuple[NetworkOptions, ExportOptions]:
    """Returns the options.

    Raises:
        Usage: If they contradict each other.
    """
    network = NetworkOptions(
        name=arguments.name,
        checkpoint=arguments.checkpoint,
        random_weights=arguments.random_weights,
        num_classes=arguments.num_classes,
        global_pool=arguments.global_pool,
        input_size=arguments.input_size,
    )
    if network.num_classes and network.published:
        raise Usage(
            "--num-classes requires --checkpoint or --random-weights: published weights have a fixed number of classes\n  help:"
            " omit --num-classes"
        )
    if network.global_pool and network.name.startswith((TORCHVISION, TRANSFORMERS)):
        raise Usage("--global-pool: only timm networks offer a choice of pooling\n  help: omit --global-pool")
    return network, ExportOptions(
        out=arguments.out,
        size="dynamic" if arguments.dynamic else "fixed" if arguments.fixed else "auto",
        fp16=arguments.fp16,
        external_data=arguments.external_data,
        exporter=arguments.exporter,
        opset=arguments.opset,
        force=arguments.force,
    )
