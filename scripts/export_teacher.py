"""Exports a classifier of timm, torchvision or transformers to ONNX, with its teacher card.

`relabel run --teacher effnet-l2.onnx` then needs no other options. The exported file is compared with PyTorch by ONNX
Runtime, with several batch sizes and, if height and width are dynamic, at two sizes. A file that differs is deleted.

    python scripts/export_teacher.py tf_efficientnet_l2.ns_jft_in1k_475 -o effnet-l2.onnx --fp16
    python scripts/export_teacher.py torchvision:convnext_tiny -o convnext.onnx
    python scripts/export_teacher.py hf-hub:timm/resnet50.a1_in1k -o resnet50.onnx
    python scripts/export_teacher.py transformers:microsoft/swinv2-tiny-patch4-window8-256 -o swinv2.onnx
    python scripts/export_teacher.py resnet50 --checkpoint mine.pth --num-classes 120 -o dogs.onnx
    python scripts/export_teacher.py vit_base_patch16_224 --random-weights --global-pool avg -o try.onnx

It needs Python 3.11 or newer and: pip install torch torchvision timm onnx onnxscript onnxruntime
(and transformers, for names that begin with transformers:)
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import logging
import os
import shlex
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module

PACKAGES = ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime")
TORCHVISION = "torchvision:"
TRANSFORMERS = "transformers:"
# The limit of a protobuf file is 2 GiB, including the graph.
LARGEST_EMBEDDED_BYTES = 1_800_000_000
DEFAULT_OPSET = {"legacy": 17, "dynamo": 20}
# With a fixed seed, all exports of a network with random weights, and all callers of `timm_classifier`, have the same one.
RANDOM_WEIGHTS_SEED = 1
# In a deep random network the norms amplify rounding errors from layer to layer. Small activations keep the network nearly
# linear, which limits that. Difference of float16 and float32 on EfficientNet-L2, relative to the largest score: 39 % with
# 1, 27 % with 0.5, 4.8 % with 0.2, 0.2 % with 0.1.
RANDOM_NORM_SCALE = 0.1
# Relative to the largest score. float16 has three digits, and deep networks lose one of them.
TOLERANCE = {"float32": 1e-4, "float16": 2e-2}
# Added to the input size. The first reveals padding that was computed for one size; the second is for networks that need
# multiples of the stride.
OTHER_SIZES = ((33, 50), (32, 64))
AUXILIARY_HEAD = (
    "The scores are those of the auxiliary head, which was trained on the tokens of the map. The class token, whose scores the"
    " network adds to their maximum, has no position in the image and is omitted."
)
# Defaults of mean, std, filter and channel order.
DEFAULT_PREPROCESSING = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", "rgb")
FILTERS = ("nearest", "box", "bilinear", "bicubic", "lanczos")

Size = tuple[int, int]


class Refused(Exception):
    """The network cannot be exported. The message has the reason and what to do."""


@dataclass
class Classifier:
    """A network and its metadata. Sizes are height, width in pixels."""

    name: str
    module: Module
    input_size: Size
    mean: Sequence[float]
    std: Sequence[float]
    filter: str
    classes: str | list[str] | None
    remarks: dict[str, object]
    channel_order: str = "rgb"
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Attempt:
    """An exporter and its options."""

    exporter: str
    opset: int
    free_size: bool

    def __str__(self) -> str:
        size = "free height and width" if self.free_size else "fixed height and width"
        return f"{self.exporter} exporter, opset {self.opset}, {size}"


@dataclass(frozen=True)
class Check:
    """Difference between the exported file and PyTorch."""

    difference: float
    largest_score: float
    sizes: list[Size]

    def __str__(self) -> str:
        sizes = " and ".join(words(size) for size in self.sizes)
        return f"differs from PyTorch by at most {self.difference:.1e}, with scores up to {self.largest_score:.3g}, at {sizes}"


def main() -> int:
    args = arguments()
    # A terminated export then deletes its unfinished files.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        check_arguments(args)
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        classifier = classifier_of(args)
        refuse_networks_without_cells(classifier, args)
        export(classifier, args)
    except Refused as refusal:
        print(f"export_teacher: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("export_teacher: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def arguments() -> argparse.Namespace:
    about, _, examples = (__doc__ or "").partition("\n\n    ")
    parser = argparse.ArgumentParser(
        description=about, epilog=f"examples:\n    {examples}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", metavar="NAME",
        help="a timm model (with or without tag), hf-hub:REPOSITORY, torchvision:NAME[.WEIGHTS], or transformers:REPOSITORY (or a"
        " folder of save_pretrained; with --random-weights also a type, as transformers:swinv2)",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="T.onnx", help="output file; the card is written to T.toml")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="use the weights of a file (.pth, .safetensors)")
    weights.add_argument("--random-weights", action="store_true", help="use random weights, to test an export without a download")
    parser.add_argument("--num-classes", type=positive, metavar="N", help="number of outputs, with --checkpoint or --random-weights")
    parser.add_argument("--global-pool", metavar="POOL", help="pooling of a timm network that offers a choice, such as avg")
    parser.add_argument("--input-size", type=size_argument, metavar="H[xW]", help="input size in pixels; default: that of the weights' evaluation")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--dynamic", action="store_true", help="require dynamic height and width; default: dynamic if it works")
    sizes.add_argument("--fixed", action="store_true", help="fix height and width (the batch stays dynamic)")
    parser.add_argument("--fp16", action="store_true", help="weights and arithmetic in float16; input and scores stay float32")
    parser.add_argument("--external-data", action="store_true", help="write the weights to T.onnx.data; default above 1.8 GB")
    parser.add_argument("--exporter", choices=["auto", "legacy", "dynamo"], default="auto", help="auto: legacy, then dynamo if that fails")
    parser.add_argument("--opset", type=positive, metavar="N", help="ONNX opset; default: 17 (legacy), 20 (dynamo)")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    args = parser.parse_args()
    if args.out.suffix != ".onnx":
        parser.error(f"--out {args.out}: the file name must end in .onnx")
    if args.num_classes and not (args.checkpoint or args.random_weights):
        parser.error("--num-classes needs --checkpoint or --random-weights: published weights have a fixed number of classes")
    if args.global_pool and args.name.startswith((TORCHVISION, TRANSFORMERS)):
        parser.error("--global-pool: only timm networks offer a choice of pooling")
    return args


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def size_argument(text: str) -> Size:
    height, _, width = text.partition("x")
    return positive(height), positive(width or height)


def check_arguments(args: argparse.Namespace) -> None:
    """Checks everything that does not need PyTorch, which takes seconds to load."""
    if not args.out.parent.is_dir():
        raise Refused(f"--out {args.out}: folder {args.out.parent} not found")
    existing = [path for path in output_files(args.out) if path.exists()]
    if existing and not args.force:
        raise Refused(f"{existing[0]} exists: give another --out, or --force to overwrite it")
    if args.checkpoint and not args.checkpoint.is_file():
        raise Refused(f"--checkpoint {args.checkpoint}: file not found")
    needed = [*PACKAGES, "transformers"] if args.name.startswith(TRANSFORMERS) else PACKAGES
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        raise Refused(f"{' and '.join(missing)} missing in this Python; python -m pip install {' '.join(needed)}")


def output_files(out: Path) -> list[Path]:
    """Returns the possible output files: graph, external weights, card and class list."""
    return [out, out.with_name(f"{out.name}.data"), out.with_suffix(".toml"), out.with_suffix(".classes.txt")]


# Networks


def classifier_of(args: argparse.Namespace) -> Classifier:
    if args.name.startswith(TORCHVISION):
        return torchvision_classifier(args)
    if args.name.startswith(TRANSFORMERS):
        return transformers_classifier(args)
    return timm_classifier(args)


def timm_classifier(args: argparse.Namespace) -> Classifier:
    import timm
    import torch
    from timm.data import resolve_data_config

    settings = {"num_classes": args.num_classes, "global_pool": args.global_pool}
    settings = {key: value for key, value in settings.items() if value is not None}
    published = not (args.checkpoint or args.random_weights)
    # Attention as plain products, which both exporters support. timm's `exportable` does that too, but keeps the padding of
    # the first size, also in PyTorch, so the check at another size would compare wrong results with each other.
    timm.layers.set_fused_attn(False)

    def created(**more: object) -> Module:
        torch.manual_seed(RANDOM_WEIGHTS_SEED)
        return timm.create_model(args.name, pretrained=published, **settings, **more)

    try:
        module = created()
    except Exception as problem:  # timm raises many types.
        if "nknown model" in str(problem):
            raise Refused(unknown_name(args, [*timm.list_models(), *timm.list_pretrained()])) from problem
        raise Refused(creation_error(args, problem)) from problem
    config = module.pretrained_cfg
    if not module.num_classes:
        raise Refused(f"{args.name} has no classifier, only features: use fine-tuned weights, or --checkpoint with --num-classes")
    preprocessing = resolve_data_config({}, pretrained_cfg=config, use_test_size=not config.get("fixed_input_size"))
    size = args.input_size or tuple(preprocessing["input_size"][1:])
    other_size = size != tuple(config["input_size"][1:])
    if other_size and not hasattr(module, "set_input_size"):
        module = created_for(size, module, created, args)
    if args.checkpoint:
        load_checkpoint(module, args.checkpoint)
    if other_size and hasattr(module, "set_input_size"):
        try:
            module.set_input_size(img_size=size)
        except Exception as problem:  # Networks raise many types for an unsupported size.
            raise Refused(f"{args.name} cannot be set to {words(size)} pixels: {in_one_line(problem)}") from problem
    name = args.name.removeprefix("hf-hub:").split("/")[-1]
    tag = config.get("tag")
    name = name if "." in name or not tag or not published else f"{name}.{tag}"
    hub = config.get("hf_hub_id")
    remarks = {
        "source": f"timm: {name}",
        "weights": f"https://huggingface.co/{hub}" if hub else config.get("url") or "not stated by timm",
        "weights_origin": config.get("url") or None,
        "licence": config.get("license") or "not stated by timm",
        "crop_fraction": preprocessing["crop_pct"],
        "crop_mode": preprocessing["crop_mode"],
    }
    classes = timm_classes(module, config) if published else default_classes(module.num_classes)
    filter_name = preprocessing["interpolation"] if preprocessing["interpolation"] in FILTERS else "bilinear"
    classifier = Classifier(name, module.eval(), size, preprocessing["mean"], preprocessing["std"], filter_name, classes, remarks)
    if getattr(module, "aux_head", None) is not None:
        classifier.module = auxiliary_head(module, size)
        classifier.notes.append(AUXILIARY_HEAD)
        print(f"export_teacher: {AUXILIARY_HEAD}", file=sys.stderr)
    if args.global_pool and published:
        classifier.notes.append(f"Exported with --global-pool {args.global_pool}: correct only if the head was trained with this pooling.")
    return with_own_weights(classifier, args)


def created_for(size: Size, module: Module, created: Callable[..., Module], args: argparse.Namespace) -> Module:
    """Creates a network for `size` if its constructor takes the size (MaxViT, Hiera, XCiT, ...).

    Others support every size, or raise an error at the first image.
    """
    try:
        return created(img_size=size)
    except Exception as problem:
        if isinstance(problem, TypeError) and "img_size" in str(problem):
            return module
        raise Refused(f"{args.name} cannot be created for {words(size)} pixels: {in_one_line(problem)}") from problem


def auxiliary_head(network: Module, size: Size) -> Module:
    """Wraps a network that was trained with token labels. Returns scores of every token, `[batch, class, y, x]`."""
    import torch

    class AuxiliaryHead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.grid = size

        def forward(self, pixels):
            # The class token comes first, then the tokens of the map, row by row.
            tokens = self.network.forward_features(pixels)[:, 1:]
            return self.network.aux_head(tokens).transpose(1, 2).unflatten(2, self.grid)

    module = AuxiliaryHead().eval()
    shapes = []
    handle = network.network[-1].register_forward_hook(lambda _layer, _input, output: shapes.append(output.shape))
    try:
        with torch.no_grad():
            network.forward_features(random_pixels(1, size))
    except Exception as problem:
        raise Refused(f"{network.default_cfg['architecture']} does not support {words(size)} pixels: {in_one_line(problem)}") from problem
    finally:
        handle.remove()
    module.grid = tuple(shapes[-1][1:3])
    return module


def torchvision_classifier(args: argparse.Namespace) -> Classifier:
    import torch
    from torchvision import models

    torch.manual_seed(RANDOM_WEIGHTS_SEED)
    name, _, tag = args.name.removeprefix(TORCHVISION).partition(".")
    # Detectors and other tasks are in other modules, so this list has only classifiers.
    classifiers = models.list_models(module=models)
    if name not in classifiers:
        raise Refused(unknown_name(args, classifiers, TORCHVISION))
    try:
        known = models.get_model_weights(name)
        weights = known[tag] if tag else known.DEFAULT
        published = not (args.checkpoint or args.random_weights)
        settings = {} if published or not args.num_classes else {"num_classes": args.num_classes}
        module = models.get_model(name, weights=weights if published else None, **settings)
        recipe = weights.transforms()
        size, resized = recipe.crop_size[0], recipe.resize_size[0]
    except (KeyError, AttributeError) as problem:
        raise Refused(f"torchvision has no weights {tag or 'at all'} for {name}") from problem
    except Exception as problem:  # torchvision raises many types.
        raise Refused(creation_error(args, problem)) from problem
    if args.checkpoint:
        load_checkpoint(module, args.checkpoint)
    remarks = {
        "source": f"torchvision: {name}" + (f", weights {weights.name}" if published else ""),
        "weights": weights.url,
        "licence": weights.meta.get("license", "not stated by torchvision"),
        "crop_fraction": round(size / resized, 4),
    }
    classes = default_classes(args.num_classes or 1000)
    size = args.input_size or (size, size)
    classifier = Classifier(name, module.eval(), size, recipe.mean, recipe.std, recipe.interpolation.value, classes, remarks)
    return with_own_weights(classifier, args)


def transformers_classifier(args: argparse.Namespace) -> Classifier:
    import torch
    import transformers

    name = args.name.removeprefix(TRANSFORMERS)
    folder = Path(name).is_dir()
    published = not (args.checkpoint or args.random_weights)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(RANDOM_WEIGHTS_SEED)
    # Attention as plain products, which both exporters know.
    plain = {"attn_implementation": "eager"}
    auto = transformers.AutoModelForImageClassification
    try:
        config = transformers_config(name, args)
        preprocessing = transformers_preprocessing(name, published)
        # CLIP and SigLIP have a separate configuration for images.
        vision = next((part for part in (getattr(config, "vision_config", None), config) if hasattr(part, "image_size")), None)
        usual = size_of(vision.image_size) if vision else None
        size = args.input_size or (preprocessing and preprocessing.size) or usual or (224, 224)
        if vision and usual != size:
            vision.image_size = size[0] if size[0] == size[1] else list(size)
        network = auto.from_pretrained(name, config=config, **plain) if published else auto.from_config(config, **plain)
    except Refused:
        raise
    except Exception as problem:  # transformers raises many types.
        if "Unrecognized configuration class" in str(problem) or "not recognize" in str(problem):
            raise Refused(f"{args.name} is not an image classifier of transformers") from problem
        raise Refused(creation_error(args, problem)) from problem
    if args.checkpoint:
        load_checkpoint(network, args.checkpoint)

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels):
            return self.network(pixel_values=pixels).logits

    remarks = {
        "source": f"transformers: {Path(name).name if folder else name}",
        "architecture": type(network).__name__,
        "weights": Path(name).name if folder else f"https://huggingface.co/{name}",
        "licence": "see the page of the weights",
    }
    classes = named_classes(config) if published else default_classes(config.num_labels)
    notes = [] if preprocessing else ["The preprocessing is unknown: mean, std and filter are the usual values."]
    preprocessing = preprocessing or Preprocessing(None, *DEFAULT_PREPROCESSING)
    return with_own_weights(
        Classifier(
            Path(name).name, Scores().eval(), size, preprocessing.mean, preprocessing.std, preprocessing.filter, classes, remarks,
            preprocessing.channel_order, notes,
        ),
        args,
    )


def transformers_config(name: str, args: argparse.Namespace):
    """Returns the configuration of the hub or folder; with random weights also the default of a type (`swinv2`)."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if name in CONFIG_MAPPING and not Path(name).is_dir():
        if not args.random_weights:
            raise Refused(f"{args.name} is a network type without weights: give OWNER/NAME of the hub, a folder, or --random-weights")
        config = AutoConfig.for_model(name)
        config.num_labels = args.num_classes or 1000
        return config
    config = AutoConfig.from_pretrained(name)
    if args.num_classes:
        config.num_labels = args.num_classes
    return config


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a network's image processor."""

    # None: the processor does not resize.
    size: Size | None
    mean: Sequence[float]
    std: Sequence[float]
    filter: str
    channel_order: str


def transformers_preprocessing(name: str, needed: bool) -> Preprocessing | None:
    """Measures the image processor on images of one colour.

    Its settings have many names, and some processors divide by the standard deviation twice, swap channels or do not
    normalise.
    """
    import numpy as np
    from PIL import Image
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(name)
    except Exception as problem:  # transformers raises many types for a missing file.
        if needed:
            raise Refused(
                f"the preprocessing of {name} is unknown (no image processor: {in_one_line(problem)}): put a preprocessor_config.json next"
                " to its config.json"
            ) from problem
        return None

    def processed(*colour: int, side: int = 640):
        pixels = np.asarray(processor(images=Image.new("RGB", (side, side), colour), return_tensors="np")["pixel_values"])
        if pixels.ndim != 4 or pixels.shape[:2] != (1, 3):
            raise Refused(f"{name} takes images as {list(pixels.shape)}, not as [1, 3, height, width]")
        return pixels[0]

    black, white, grey, red = processed(0, 0, 0), processed(255, 255, 255), processed(51, 51, 51), processed(255, 0, 0)
    at = (slice(None), black.shape[1] // 2, black.shape[2] // 2)
    slope = white[at] - black[at]
    size = black.shape[1:] if black.shape == processed(0, 0, 0, side=512).shape else None
    nonlinear = np.abs(grey - (black + 0.2 * (white - black))).max() > 1e-2 * np.abs(slope).max()
    if not (slope > 0).all() or nonlinear or np.ptp(black, axis=(1, 2)).max() > 1e-3:
        raise Refused(f"the image processor of {name} does not normalise all pixels equally, which a card cannot describe")
    responding = list(np.flatnonzero(np.abs(red[at] - black[at]) > 1e-3))
    if responding not in ([0], [2]):
        raise Refused(f"the image processor of {name} mixes the colour channels, which a card cannot describe")
    std = [round(float(1 / value), 6) for value in slope]
    mean = [round(float(-value / rise), 6) + 0.0 for value, rise in zip(black[at], slope, strict=True)]
    # PIL's numbers of the filters.
    filters = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}
    chosen = getattr(processor, "resample", None)
    if chosen is not None and int(chosen) not in filters:
        raise Refused(f"{name} resizes with PIL's filter {int(chosen)}, which relabel does not support")
    return Preprocessing(size, mean, std, filters[2 if chosen is None else int(chosen)], "rgb" if responding == [0] else "bgr")


def size_of(value: object) -> Size:
    """Returns height and width of a configured size, which is one number or two."""
    sides = list(value) if isinstance(value, Iterable) else [value, value]
    return int(sides[0]), int(sides[-1])


def named_classes(config) -> str | list[str] | None:
    """Returns `imagenet-1k`, the names of the configuration, or None if it has none."""
    from timm.data import ImageNetInfo

    count = config.num_labels
    names = [" ".join(str(config.id2label.get(index, "")).split()) for index in range(count)]
    if not any(names) or names == [f"LABEL_{index}" for index in range(count)]:
        return default_classes(count)
    info = ImageNetInfo()
    described = [plain_name(info.index_to_description(index)) for index in range(1000)]
    if names == info.label_names() or [plain_name(name) for name in names] == described:
        return "imagenet-1k"
    # A class list has no empty and no repeated lines.
    unique = all(names) and len(set(names)) == count
    return names if unique else [f"{index}\t{name or f'class {index}'}" for index, name in enumerate(names)]


def plain_name(name: str) -> str:
    return name.split(",")[0].strip().lower()


def with_own_weights(classifier: Classifier, args: argparse.Namespace) -> Classifier:
    """Updates the remarks if the weights are not the published ones."""
    if args.checkpoint:
        classifier.remarks |= {"weights": args.checkpoint.name, "weights_sha256": sha256(args.checkpoint)}
        classifier.notes.append("Weights of a checkpoint: mean, std, filter and class order are those of the published network, unless changed here.")
    if args.random_weights:
        randomise(classifier.module)
        set_norm_statistics(classifier)
        classifier.remarks["weights"] = "none: random numbers"
        classifier.notes.append("Random weights, for testing. The labels are meaningless.")
    if args.checkpoint or args.random_weights:
        for key in ("weights_origin", "licence"):
            classifier.remarks.pop(key, None)
    return classifier


def randomise(module: Module) -> None:
    """Randomises constant weights: heads and norms often start as zeros and ones, which would hide errors."""
    import torch

    draw = torch.Generator().manual_seed(RANDOM_WEIGHTS_SEED)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.numel() > 1 and weight.std() < 1e-3:
                weight.add_(torch.randn(weight.shape, generator=draw), alpha=0.1 if weight.ndim == 1 else 0.02)


def set_norm_statistics(classifier: Classifier) -> None:
    """Sets the statistics of batch norms from a few images, as training would.

    With the initial statistics, activations of a deep random network vanish or overflow float16, and images are not
    distinguished.
    """
    import torch

    norms = [layer for layer in classifier.module.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.affine and norm.track_running_stats]
    if not norms:
        return
    before = [(norm.training, norm.momentum) for norm in norms]
    with torch.no_grad():
        for norm in norms:
            norm.weight.mul_(RANDOM_NORM_SCALE)
            # The statistics become those of the next batch.
            norm.train()
            norm.momentum = 1.0
    try:
        scores(classifier.module, varied_images(classifier.input_size))
    except Exception as problem:  # Networks raise many types for an unsupported size.
        raise Refused(unsupported_size(classifier, problem)) from problem
    finally:
        for norm, (training, momentum) in zip(norms, before, strict=True):
            norm.train(training)
            norm.momentum = momentum


def varied_images(size: Size):
    """Returns noise, dim noise, large shapes, and shapes with noise: normalised inputs `[4, 3, height, width]`."""
    import torch

    draw = torch.Generator().manual_seed(RANDOM_WEIGHTS_SEED)
    noise = torch.randn(3, 3, *size, generator=draw)
    shapes = torch.nn.functional.interpolate(torch.randn(2, 3, 6, 6, generator=draw), size=size, mode="bicubic")
    return torch.stack([noise[0], 0.3 * noise[1] - 1, shapes[0], shapes[1] + 0.3 * noise[2]])


def unknown_name(args: argparse.Namespace, names: list[str], prefix: str = "") -> str:
    asked = args.name.removeprefix(prefix)
    close = difflib.get_close_matches(asked, names, n=5) or difflib.get_close_matches(asked.split(".")[0], names, n=5)
    advice = f"; similar names: {', '.join(prefix + name for name in close)}" if close else ""
    return f"unknown image classifier {args.name}{advice}"


def creation_error(args: argparse.Namespace, problem: Exception) -> str:
    text = " ".join(str(problem).split()) or type(problem).__name__
    if "404" in text or "401" in text:
        return f"{args.name} is not on the hub, or needs a login: {text[:200]}"
    if isinstance(problem, OSError) and args.name.startswith(TRANSFORMERS):
        return (
            f"{args.name} is not a folder and could not be downloaded ({text[:120]}). Download all files of the repository"
            " elsewhere and give transformers:FOLDER, or test the export with a type (transformers:swinv2) and --random-weights"
        )
    if isinstance(problem, OSError):
        return (
            f"the weights of {args.name} could not be downloaded ({text[:120]}). Download them elsewhere and give"
            " --checkpoint FILE, or test the export with --random-weights"
        )
    if any(words in text for words in ("size mismatch", "Missing key", "ignore_mismatched_sizes")):
        return f"the published weights of {args.name} do not match the network with {args.global_pool or 'these'} settings: {text[:300]}"
    return f"cannot create {args.name}: {text[:300]}"


def load_checkpoint(module: Module, path: Path) -> None:
    from timm.models import load_state_dict

    try:
        found = load_state_dict(str(path))
    except Exception as problem:  # torch and safetensors raise many types.
        raise Refused(f"cannot read --checkpoint {path}: {' '.join(str(problem).split())[:200]}") from problem
    wanted = module.state_dict()
    differing = [
        f"{key} is {tuple(found[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted if key in found and found[key].shape != wanted[key].shape
    ]
    for key, kind in [(key, "missing") for key in wanted if key not in found] + [(key, "unknown") for key in found if key not in wanted]:
        differing.append(f"{key} is {kind}")
    if differing:
        more = f", and {len(differing) - 6} more" if len(differing) > 6 else ""
        advice = "--num-classes" if any("fc" in line or "head" in line or "classifier" in line for line in differing[:2]) else "the name"
        if "fc_norm.weight is unknown" in differing:
            advice = "--global-pool avg"
        raise Refused(f"--checkpoint {path} does not match the network: {'; '.join(differing[:6])}{more}. Check {advice}")
    module.load_state_dict(found)


def timm_classes(module: Module, config: dict) -> str | list[str] | None:
    """Returns `imagenet-1k`, the lines of a class list (id, tab, name), or None if unknown."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    labels = config.get("label_names")
    if labels and len(labels) == module.num_classes:
        if list(labels) == ImageNetInfo().label_names():
            return "imagenet-1k"
        named = config.get("label_descriptions") or {}
        return [f"{label}\t{named[label]}" if label in named else label for label in labels]
    subset = infer_imagenet_subset({"num_classes": module.num_classes})
    if subset is None or subset == "imagenet-1k":
        return subset
    info = ImageNetInfo(subset)
    return [f"{info.index_to_label_name(index)}\t{info.index_to_description(index)}" for index in range(module.num_classes)]


def default_classes(count: int) -> str | None:
    return "imagenet-1k" if count == 1000 else None


def refuse_networks_without_cells(classifier: Classifier, args: argparse.Namespace) -> None:
    """Refuses networks that relabel would refuse, before the export."""
    module = classifier.module
    kind = type(module).__name__
    pooling = getattr(module, "global_pool", None) or getattr(getattr(module, "head", None), "global_pool", None)
    pooling = pooling if isinstance(pooling, str) else getattr(pooling, "pool_type", None)
    refuse_position_dependent_attention(module, args)
    if pooling == "token" and hasattr(module, "num_prefix_tokens") and kind not in ("Xcit", "Cait"):
        raise Refused(
            f"{args.name} classifies from its class token, so its cells have no scores. If the head of these weights was trained on"
            " the mean of the tokens (as after MAE, or with `gap` in the name), use --global-pool avg; otherwise use another teacher"
        )
    if pooling == "token" or hasattr(module, "class_token"):
        raise Refused(f"{args.name} classifies from a token that attends to the others, so its cells have no scores: use another teacher")
    if pooling in ("max", "avgmax", "catavgmax"):
        raise Refused(f"{args.name} takes the maximum over the map, so its cells have no scores: use another teacher")
    if kind in ("VGG", "AlexNet"):
        raise Refused(f"{args.name} feeds the entire map to its first linear layer, so its cells have no scores: use another teacher")


def refuse_position_dependent_attention(module: Module, args: argparse.Namespace) -> None:
    """Refuses attention pooling that depends on positions. Pooling over a set of tokens (SigLIP, AIMv2) works for one cell."""
    from timm.layers import AttentionPool2d, AttentionPoolLatent, RotAttentionPool2d

    for layer in module.modules():
        if isinstance(layer, (AttentionPool2d, RotAttentionPool2d)) or getattr(layer, "pos_embed", None) is not None and isinstance(layer, AttentionPoolLatent):
            raise Refused(
                f"{args.name} pools by attention with position embeddings, so its cells have no scores of their own: use"
                " another teacher"
            )
        if isinstance(layer, AttentionPoolLatent) and getattr(module, "num_prefix_tokens", 0):
            raise Refused(
                f"{args.name} pools by attention over its tokens and a class token, so its cells have no scores of their own: use"
                " another teacher (for ViT, one with `gap` in its name)"
            )


# Files


def export(classifier: Classifier, args: argparse.Namespace) -> None:
    """Exports into a temporary folder next to the target, and moves the verified files; the graph comes last."""
    reference, module = references(classifier.module, args.fp16)
    other_sizes = supported_sizes(reference, classifier, () if args.fixed else OTHER_SIZES)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=args.out.parent) as folder:
        staged = Path(folder) / args.out.name
        attempt, check = first_verified(module, reference, classifier, other_sizes, args, staged)
        if isinstance(classifier.classes, list):
            lines = "\n".join(classifier.classes) + "\n"
            staged.with_suffix(".classes.txt").write_text(lines, encoding="utf-8")
        staged.with_suffix(".toml").write_text(card(classifier, args, attempt, check), encoding="utf-8")
        for path in reversed(output_files(staged)):
            target = args.out.with_name(path.name)
            if path.exists():
                os.replace(path, target)
            elif path != staged:
                target.unlink(missing_ok=True)
    megabytes = sum(path.stat().st_size for path in output_files(args.out) if path.exists()) / 1e6
    print(f"{args.out} ({attempt}, {megabytes:,.1f} MB) {check}")
    print(f"next: relabel teacher {shlex.quote(str(args.out))}")


def references(module: Module, fp16: bool) -> tuple[Module, Module]:
    """Returns the float32 reference for the comparison, and the module to export. They differ only for float16."""
    import copy

    import torch

    if not fp16:
        return module, module

    class Half(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = copy.deepcopy(module).half()

        def forward(self, pixels):
            return self.inner(pixels.half()).float()

    return module, Half().eval()


def supported_sizes(module: Module, classifier: Classifier, others: Sequence[Size]) -> list[Size]:
    """Returns the first supported size among the input size enlarged by `others`, or an empty list if the size is fixed."""
    height, width = classifier.input_size
    try:
        scores(module, random_pixels(1, classifier.input_size))
    except Exception as problem:
        raise Refused(unsupported_size(classifier, problem)) from problem
    taken = []
    for more_height, more_width in others:
        size = (height + more_height, width + more_width)
        try:
            scores(module, random_pixels(1, size))
            taken.append(size)
        except Exception:  # Networks raise many types for an unsupported size.
            continue
    return taken[:1]


def unsupported_size(classifier: Classifier, problem: Exception) -> str:
    return f"{classifier.name} does not support {words(classifier.input_size)} pixels: {' '.join(str(problem).split())[:200]}"


def first_verified(
    module: Module, reference: Module, classifier: Classifier, other_sizes: list[Size], args: argparse.Namespace, staged: Path
) -> tuple[Attempt, Check]:
    failures = []
    for attempt in attempts(args, bool(other_sizes)):
        for left in staged.parent.iterdir():
            left.unlink()
        try:
            write_graph(module, classifier.input_size, attempt, args, staged)
            check = compared(staged, reference, [classifier.input_size, *(other_sizes if attempt.free_size else [])])
        except Exception as problem:  # Exporters raise many types.
            failures.append(f"{attempt}: {type(problem).__name__}: {' '.join(str(problem).split())[:200]}")
            continue
        if check.difference <= TOLERANCE["float16" if args.fp16 else "float32"] * check.largest_score:
            for failure in failures:
                print(f"export_teacher: rejected: {failure}", file=sys.stderr)
            return attempt, check
        failures.append(f"{attempt}: it {check}")
    if args.dynamic and not other_sizes:
        failures.append(f"the network supports only {words(classifier.input_size)}; omit --dynamic")
    raise Refused("no export reproduces PyTorch's scores; nothing was written:\n  " + "\n  ".join(failures))


def attempts(args: argparse.Namespace, may_be_free: bool) -> Iterator[Attempt]:
    exporters = ("legacy", "dynamo") if args.exporter == "auto" else (args.exporter,)
    freedoms = [True] * (may_be_free and not args.fixed) + [False] * (not args.dynamic)
    for exporter, free_size in itertools.product(exporters, freedoms):
        yield Attempt(exporter, args.opset or DEFAULT_OPSET[exporter], free_size)


def write_graph(module: Module, size: Size, attempt: Attempt, args: argparse.Namespace, path: Path) -> None:
    import contextlib

    import onnx
    import torch

    pixels = random_pixels(2, size)
    names = {"input_names": ["input"], "output_names": ["logits"]}
    weight_bytes = sum(weight.numel() * weight.element_size() for weight in module.state_dict().values())
    external = args.external_data or weight_bytes >= LARGEST_EMBEDDED_BYTES
    # Exporters print progress to stdout.
    with contextlib.redirect_stdout(sys.stderr if os.environ.get("EXPORT_TEACHER_VERBOSE") else open(os.devnull, "w")):
        if attempt.exporter == "legacy":
            axes = {0: "batch", 2: "height", 3: "width"} if attempt.free_size else {0: "batch"}
            axes = {"input": axes, "logits": {0: "batch"}}
            torch.onnx.export(module, (pixels,), str(path), dynamo=False, opset_version=attempt.opset, dynamic_axes=axes, **names)
        else:
            free = torch.export.Dim.DYNAMIC
            shapes = ({0: free, 2: free, 3: free} if attempt.free_size else {0: free},)
            torch.onnx.export(
                module, (pixels,), str(path), dynamo=True, opset_version=attempt.opset, dynamic_shapes=shapes,
                external_data=external, verbose=False, **names,
            )
    if external:
        # The exporters write several weight files: merge them into one.
        model = onnx.load(path)
        for left in path.parent.iterdir():
            left.unlink()
        onnx.save_model(model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024)


def compared(path: Path, reference: Module, sizes: list[Size]) -> Check:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    difference, largest = 0.0, 0.0
    for batch, size in [(1, sizes[0]), *((3, size) for size in sizes)]:
        pixels = random_pixels(batch, size)
        expected = scores(reference, pixels)
        given = session.run(None, {"input": pixels.numpy()})[0]
        if given.shape != expected.shape:
            raise ValueError(f"scores have the shape {given.shape}, not {expected.shape}")
        apart = float(np.abs(given - expected).max())
        # max() ignores NaN, so it must become infinity.
        difference = max(difference, apart if np.isfinite(apart) else float("inf"))
        largest = max(largest, float(np.abs(expected).max()))
    return Check(difference, largest, sizes)


def scores(module: Module, pixels):
    import torch

    with torch.no_grad():
        output = module(pixels)
    if not isinstance(output, torch.Tensor) or output.ndim not in (2, 4):
        raise ValueError("the output is not a row or a map of scores for each image")
    return output.numpy()


def random_pixels(batch: int, size: Size):
    import torch

    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(batch))


# Card


def card(classifier: Classifier, args: argparse.Namespace, attempt: Attempt, check: Check) -> str:
    """Returns the card as TOML, in the order of the cards in `models/`."""
    file = args.out.with_suffix(".classes.txt").name
    keys = {
        "name": classifier.name,
        "input_size": list(classifier.input_size),
        "mean": list(classifier.mean),
        "std": list(classifier.std),
        "filter": classifier.filter,
        "channel_order": classifier.channel_order,
        "classes": file if isinstance(classifier.classes, list) else classifier.classes,
        "grid": token_grid(classifier),
    }
    used = [*PACKAGES, "transformers"] if args.name.startswith(TRANSFORMERS) else PACKAGES
    versions = [f"{name} {importlib.metadata.version(name)}" for name in used]
    remarks = classifier.remarks | {
        "parameters": sum(weight.numel() for weight in classifier.module.parameters()),
        "precision": "float16, with float32 input and scores" if args.fp16 else "float32",
        "exported_with": f"{attempt}; {', '.join(versions)}",
        "export_tested": f"the file {check}",
        # Without folders: the card is published with the labels.
        "export": shlex.join(["python", "scripts/export_teacher.py", *map(without_folder, sys.argv[1:])]),
    }
    lines = [f"{key} = {toml(value)}" for key, value in keys.items() if value is not None]
    lines += ["", *(f"{key} = {toml(value)}" for key, value in remarks.items() if value is not None)]
    lines += ["", *(f"notes = '''\n{note}\n'''" for note in ["\n".join(classifier.notes)] if note)]
    return "\n".join(lines).rstrip() + "\n"


def without_folder(word: str) -> str:
    """Returns an argument of the command line without the folders of this machine."""
    library, colon, name = word.rpartition(":")
    is_path = os.sep in word if not colon else library == TRANSFORMERS[:-1] and Path(name).is_dir()
    return f"{library}{colon}{Path(name).name}" if is_path else word


def token_grid(classifier: Classifier) -> list[int] | None:
    """Returns rows and columns of the tokens, for networks that end in tokens."""
    import torch

    module = classifier.module
    grid = getattr(getattr(module, "patch_embed", None), "grid_size", None) or getattr(getattr(module, "stem", None), "grid_size", None)
    if grid is None or not hasattr(module, "forward_features"):
        return None
    with torch.no_grad():
        features = module.forward_features(random_pixels(1, classifier.input_size))
    prefix = getattr(module, "num_prefix_tokens", 0)
    fits = isinstance(features, torch.Tensor) and features.ndim == 3 and features.shape[1] == grid[0] * grid[1] + prefix
    return list(grid) if fits else None


def toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def in_one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__


def words(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
