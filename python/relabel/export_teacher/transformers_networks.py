"""Image classifiers of transformers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import Module
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from relabel.console import Refusal, Usage

from .class_lists import default_classes, named_classes
from .classifier import Classifier
from .image_processors import USUAL_PREPROCESSING, measured_preprocessing
from .network_errors import creation_error
from .options import TRANSFORMERS, NetworkOptions, Size
from .random_weights import RANDOM_WEIGHTS_SEED
from .weights import load_checkpoint, with_own_weights


def transformers_classifier(options: NetworkOptions) -> Classifier:
    """Creates a network of transformers, from the hub, a folder, or, with random weights, a type (``swinv2``)."""
    name = options.name.removeprefix(TRANSFORMERS)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        config = _config(name, options)
        preprocessing = None if _is_type(name) else measured_preprocessing(name, needed=options.published)
        size = _set_size(config, options.input_size, preprocessing.size if preprocessing else None)
        network = _network(name, config, options.published)
    except Refusal:
        raise
    except Exception as problem:  # transformers raises many types.
        if "Unrecognized configuration class" in str(problem) or "not recognize" in str(problem):
            raise Usage(
                f"cannot export {options.name}: it is not an image classifier of transformers\n  help: choose a model with the"
                " task image-classification"
            ) from problem
        raise creation_error(options, problem) from problem
    if options.checkpoint:
        load_checkpoint(network, options.checkpoint)
    used = preprocessing or USUAL_PREPROCESSING
    classifier = Classifier(
        Path(name).name,
        _Scores(network).eval(),
        size,
        used.mean,
        used.std,
        used.filter,
        named_classes(config) if options.published else default_classes(config.num_labels),
        _remarks(name, network),
        used.channel_order,
        [] if preprocessing else ["The preprocessing is unknown: mean, std and filter are the usual values."],
    )
    return with_own_weights(classifier, options)


class _Scores(Module):
    """A network that returns only its scores."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.network(pixel_values=pixels).logits


def _is_type(name: str) -> bool:
    """Returns whether a name is that of a type of networks, not of weights."""
    return name in CONFIG_MAPPING and not Path(name).is_dir()


def _config(name: str, options: NetworkOptions) -> Any:
    """Returns the configuration of the hub or folder; with random weights also the default of a type."""
    if _is_type(name):
        if not options.random_weights:
            raise Usage(
                f"cannot export {options.name}: it is a type of network, without weights\n  help: pass {TRANSFORMERS}OWNER/NAME"
                f" of the hub, {TRANSFORMERS}FOLDER, or --random-weights"
            )
        config = AutoConfig.for_model(name)
        config.num_labels = options.num_classes or 1000
        return config
    config = AutoConfig.from_pretrained(name)
    if options.num_classes:
        config.num_labels = options.num_classes
    return config


def _set_size(config: Any, asked: Size | None, processed: Size | None) -> Size:
    """Sets the input size of a configuration and returns it.

    Args:
        config: The configuration.
        asked: The size that the user gave.
        processed: The size that the image processor resizes to.
    """
    # CLIP and SigLIP have a separate configuration for images.
    parts = (getattr(config, "vision_config", None), config)
    vision = next((part for part in parts if hasattr(part, "image_size")), None)
    usual = _size_of(vision.image_size) if vision else None
    size = asked or processed or usual or (224, 224)
    if vision and usual != size:
        vision.image_size = size[0] if size[0] == size[1] else list(size)
    return size


def _network(name: str, config: Any, published: bool) -> Any:
    # Attention as plain products, which both exporters know.
    plain = {"attn_implementation": "eager"}
    auto = transformers.AutoModelForImageClassification
    torch.manual_seed(RANDOM_WEIGHTS_SEED)
    return auto.from_pretrained(name, config=config, **plain) if published else auto.from_config(config, **plain)


def _remarks(name: str, network: Module) -> dict[str, object]:
    folder = Path(name).is_dir()
    return {
        "source": f"transformers: {Path(name).name if folder else name}",
        "architecture": type(network).__name__,
        "weights": Path(name).name if folder else f"https://huggingface.co/{name}",
        "licence": "see the page of the weights",
    }


def _size_of(value: object) -> Size:
    """Returns height and width of a configured size, which is one number or two."""
    sides: list[Any] = list(value) if isinstance(value, Iterable) else [value, value]
    return int(sides[0]), int(sides[-1])
