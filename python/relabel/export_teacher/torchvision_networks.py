"""Classifiers of torchvision."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import models

from relabel.console import Usage

from .class_lists import default_classes
from .classifier import Classifier
from .network_errors import creation_error, unknown_name
from .options import TORCHVISION, NetworkOptions
from .random_weights import RANDOM_WEIGHTS_SEED
from .weights import load_checkpoint, with_own_weights


def torchvision_classifier(options: NetworkOptions) -> Classifier:
    """Creates a network of torchvision."""
    name, _, tag = options.name.removeprefix(TORCHVISION).partition(".")
    # Detectors and other tasks are in other modules, so this list has only classifiers.
    classifiers = models.list_models(module=models)
    if name not in classifiers:
        raise unknown_name(options.name, classifiers, TORCHVISION)
    weights = _weights(options.name, name, tag)
    settings = {} if options.published or not options.num_classes else {"num_classes": options.num_classes}
    torch.manual_seed(RANDOM_WEIGHTS_SEED)
    try:
        module = models.get_model(name, weights=weights if options.published else None, **settings)
    except Exception as problem:  # torchvision raises many types.
        raise creation_error(options, problem) from problem
    if options.checkpoint:
        load_checkpoint(module, options.checkpoint)
    recipe = weights.transforms()
    side, resized = recipe.crop_size[0], recipe.resize_size[0]
    remarks: dict[str, object] = {
        "source": f"torchvision: {name}" + (f", weights {weights.name}" if options.published else ""),
        "weights": weights.url,
        "licence": weights.meta.get("license", "not stated by torchvision"),
        "crop_fraction": round(side / resized, 4),
    }
    classifier = Classifier(
        name,
        module.eval(),
        options.input_size or (side, side),
        recipe.mean,
        recipe.std,
        recipe.interpolation.value,
        default_classes(options.num_classes or 1000),
        remarks,
    )
    return with_own_weights(classifier, options)


def _weights(given: str, name: str, tag: str) -> Any:
    """Returns the named weights, or torchvision's best ones, which also describe the preprocessing."""
    known = models.get_model_weights(name)
    if tag and tag not in known.__members__:
        available = ", ".join(known.__members__)
        raise Usage(f"cannot export {given}: torchvision has no weights {tag} for {name}\n  help: use one of {available}")
    try:
        return known[tag] if tag else known.DEFAULT
    except AttributeError as problem:
        raise Usage(
            f"cannot export {given}: torchvision has no weights for {name}, which describe its preprocessing\n  help: choose"
            " another network"
        ) from problem
