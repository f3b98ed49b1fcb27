"""The teacher card of an exported network, as TOML."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
from pathlib import Path
from typing import Any

import torch

from .classifier import Classifier
from .comparison import Comparison, random_pixels
from .graph import Attempt
from .options import ExportOptions, NetworkOptions, class_list_file, packages_for, size_text


def card_text(
    classifier: Classifier, network: NetworkOptions, options: ExportOptions, attempt: Attempt, comparison: Comparison
) -> str:
    """Returns the card, in the order of the cards in ``models/``."""
    class_list = class_list_file(options.out).name
    keys: dict[str, object] = {
        "name": classifier.name,
        "input_size": list(classifier.input_size),
        "mean": list(classifier.mean),
        "std": list(classifier.std),
        "filter": classifier.filter,
        "channel_order": classifier.channel_order,
        "classes": class_list if isinstance(classifier.classes, list) else classifier.classes,
        "grid": _token_grid(classifier),
    }
    versions = [f"{package} {importlib.metadata.version(package)}" for package in packages_for(network.name)]
    remarks = classifier.remarks | {
        "parameters": sum(weight.numel() for weight in classifier.module.parameters()),
        "precision": precision_text(options),
        "exported_with": f"{attempt}; {', '.join(versions)}",
        "export_tested": f"the file {comparison}",
        "export": export_command(network, options),
    }
    lines = [f"{key} = {_toml(value)}" for key, value in keys.items() if value is not None]
    lines += ["", *(f"{key} = {_toml(value)}" for key, value in remarks.items() if value is not None)]
    if classifier.notes:
        notes = "\n".join(classifier.notes)
        lines += ["", f"notes = '''\n{notes}\n'''"]
    return "\n".join(lines) + "\n"


def precision_text(options: ExportOptions) -> str:
    """Returns the precision of the exported file."""
    return "float16, with float32 input and scores" if options.fp16 else "float32"


def export_command(network: NetworkOptions, options: ExportOptions) -> str:
    """Returns the command that repeats the export, without folders: the card is published with the labels."""
    words = ["relabel", "export-teacher", _without_folder(network.name), "-o", options.out.name]
    values: dict[str, object] = {
        "--checkpoint": network.checkpoint and network.checkpoint.name,
        "--num-classes": network.num_classes,
        "--global-pool": network.global_pool,
        "--input-size": network.input_size and size_text(network.input_size),
        "--exporter": None if options.exporter == "auto" else options.exporter,
        "--opset": options.opset,
    }
    switches = {
        "--random-weights": network.random_weights,
        "--dynamic": options.size == "dynamic",
        "--fixed": options.size == "fixed",
        "--fp16": options.fp16,
        "--external-data": options.external_data,
    }
    for flag, value in values.items():
        words += [] if value is None else [flag, str(value)]
    words += [flag for flag, is_set in switches.items() if is_set]
    return shlex.join(words)


def _without_folder(name: str) -> str:
    """Returns the name of a network without the folders of this machine."""
    library, colon, rest = name.rpartition(":")
    is_path = Path(rest).is_dir() if colon else os.sep in rest
    return f"{library}{colon}{Path(rest).name}" if is_path else name


def _token_grid(classifier: Classifier) -> list[int] | None:
    """Returns rows and columns of the tokens, for networks that end in tokens."""
    module: Any = classifier.module
    grid = _grid_size(module, "patch_embed") or _grid_size(module, "stem")
    if grid is None or not hasattr(module, "forward_features"):
        return None
    with torch.no_grad():
        features = module.forward_features(random_pixels(1, classifier.input_size))
    prefix = getattr(module, "num_prefix_tokens", 0)
    fits = isinstance(features, torch.Tensor) and features.ndim == 3 and features.shape[1] == grid[0] * grid[1] + prefix
    return list(grid) if fits else None


def _grid_size(module: Any, layer: str) -> Any:
    return getattr(getattr(module, layer, None), "grid_size", None)


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
