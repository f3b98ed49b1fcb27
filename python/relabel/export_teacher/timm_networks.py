"""Classifiers of timm, and their tokens' auxiliary head (VOLO)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from torch.nn import Module

from relabel.console import Refusal, Usage

from .class_lists import default_classes, timm_classes
from .classifier import Classifier
from .comparison import random_pixels
from .network_errors import creation_error, in_one_line, unknown_name
from .options import NetworkOptions, Size, size_text
from .random_weights import RANDOM_WEIGHTS_SEED
from .weights import load_checkpoint, with_own_weights

FILTERS = ("nearest", "box", "bilinear", "bicubic", "lanczos")
AUXILIARY_HEAD = (
    "The scores are those of the auxiliary head, which was trained on the tokens of the map. The class token, whose scores the"
    " network adds to their maximum, has no position in the image and is omitted."
)


def timm_classifier(options: NetworkOptions) -> Classifier:
    """Creates a network of timm."""
    module = _created(options)
    config: dict[str, Any] = module.pretrained_cfg
    preprocessing = resolve_data_config({}, pretrained_cfg=config, use_test_size=not config.get("fixed_input_size"))
    size = options.input_size or tuple(preprocessing["input_size"][1:])
    other_size = size != tuple(config["input_size"][1:])
    if other_size and not hasattr(module, "set_input_size"):
        module = _created_for(size, module, options)
    if options.checkpoint:
        load_checkpoint(module, options.checkpoint)
    if other_size and hasattr(module, "set_input_size"):
        try:
            module.set_input_size(img_size=size)
        except Exception as problem:  # Networks raise many types for an unsupported size.
            raise Usage(_unsupported_size(options.name, size, problem)) from problem
    name = _card_name(options, config)
    classifier = Classifier(
        name,
        module.eval(),
        size,
        preprocessing["mean"],
        preprocessing["std"],
        preprocessing["interpolation"] if preprocessing["interpolation"] in FILTERS else "bilinear",
        timm_classes(module, config) if options.published else default_classes(module.num_classes),
        _remarks(name, config, preprocessing),
    )
    if getattr(module, "aux_head", None) is not None:
        classifier.module = auxiliary_head(module, size)
        classifier.notes.append(AUXILIARY_HEAD)
    if options.global_pool and options.published:
        classifier.notes.append(
            f"Exported with --global-pool {options.global_pool}: correct only if the head was trained with this pooling."
        )
    return with_own_weights(classifier, options)


def _created(options: NetworkOptions, **more: object) -> Any:
    """Creates the network, without the weights of a checkpoint."""
    # Attention as plain products, which both exporters support. timm's `exportable` does that too, but keeps the padding of
    # the first size, also in PyTorch, so the check at another size would compare wrong results with each other.
    timm.layers.set_fused_attn(False)
    settings = {"num_classes": options.num_classes, "global_pool": options.global_pool}
    settings = {key: value for key, value in settings.items() if value is not None}
    torch.manual_seed(RANDOM_WEIGHTS_SEED)
    try:
        module = timm.create_model(options.name, pretrained=options.published, **settings, **more)
    except Exception as problem:  # timm raises many types.
        if more:
            raise
        if "nknown model" in str(problem):
            raise unknown_name(options.name, [*timm.list_models(), *timm.list_pretrained()]) from problem
        raise creation_error(options, problem) from problem
    if not module.num_classes:
        raise Usage(
            f"cannot export {options.name}: it has no classifier, only features\n  help: use fine-tuned weights, or --checkpoint"
            " with --num-classes"
        )
    return module


def _created_for(size: Size, module: Module, options: NetworkOptions) -> Any:
    """Creates a network for ``size`` if its constructor takes the size (MaxViT, Hiera, XCiT, ...).

    Others support every size, or raise an error at the first image.
    """
    try:
        return _created(options, img_size=size)
    except Refusal:
        raise
    except Exception as problem:
        if isinstance(problem, TypeError) and "img_size" in str(problem):
            return module
        raise Usage(_unsupported_size(options.name, size, problem)) from problem


def _unsupported_size(name: str, size: Size, problem: Exception) -> str:
    return f"cannot create {name} for {size_text(size)} pixels: {in_one_line(problem)}\n  help: choose another --input-size"


def _card_name(options: NetworkOptions, config: dict[str, Any]) -> str:
    """Returns the name with the tag of the weights."""
    name = options.name.removeprefix("hf-hub:").split("/")[-1]
    tag = config.get("tag")
    return name if "." in name or not tag or not options.published else f"{name}.{tag}"


def _remarks(name: str, config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, object]:
    hub = config.get("hf_hub_id")
    return {
        "source": f"timm: {name}",
        "weights": f"https://huggingface.co/{hub}" if hub else config.get("url") or "not stated by timm",
        "weights_origin": config.get("url") or None,
        "licence": config.get("license") or "not stated by timm",
        "crop_fraction": preprocessing["crop_pct"],
        "crop_mode": preprocessing["crop_mode"],
    }


class _AuxiliaryHead(Module):
    """Scores of every token, ``[batch, class, y, x]``, of a network that was trained with token labels."""

    def __init__(self, network: Any, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.grid = network, grid

    def forward(self, pixels: torch.Tensor) -> Any:
        # The class token comes first, then the tokens of the map, row by row.
        tokens = self.network.forward_features(pixels)[:, 1:]
        return self.network.aux_head(tokens).transpose(1, 2).unflatten(2, self.grid)


def auxiliary_head(network: Any, size: Size) -> Module:
    """Wraps a network that was trained with token labels. Returns scores of every token, ``[batch, class, y, x]``."""
    shapes: list[tuple[int, ...]] = []
    record: Callable[..., None] = lambda _layer, _input, output: shapes.append(tuple(output.shape))  # noqa: E731
    handle = network.network[-1].register_forward_hook(record)
    try:
        with torch.no_grad():
            network.forward_features(random_pixels(1, size))
    except Exception as problem:  # Networks raise many types for an unsupported size.
        raise Usage(_unsupported_size(network.default_cfg["architecture"], size, problem)) from problem
    finally:
        handle.remove()
    return _AuxiliaryHead(network, shapes[-1][1:3]).eval()
