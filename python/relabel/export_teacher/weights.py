"""Weights that are not the published ones: those of a checkpoint, and random ones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from timm.models import load_state_dict
from torch.nn import Module

from relabel.console import Usage

from .classifier import Classifier
from .network_errors import in_one_line
from .options import NetworkOptions
from .random_weights import randomise, set_norm_statistics

LISTED_DIFFERENCES = 6


def with_own_weights(classifier: Classifier, options: NetworkOptions) -> Classifier:
    """Completes a classifier whose weights are not the published ones, and its remarks."""
    if options.checkpoint:
        classifier.remarks |= {"weights": options.checkpoint.name, "weights_sha256": sha256(options.checkpoint)}
        classifier.notes.append(
            "Weights of a checkpoint: mean, std, filter and class order are those of the published network, unless changed here."
        )
    if options.random_weights:
        randomise(classifier.module)
        set_norm_statistics(classifier)
        classifier.remarks["weights"] = "none: random numbers"
        classifier.notes.append("Random weights, for testing. The labels are meaningless.")
    if not options.published:
        for key in ("weights_origin", "licence"):
            classifier.remarks.pop(key, None)
    return classifier


def load_checkpoint(module: Module, path: Path) -> None:
    """Loads the weights of a file, which must match the network exactly."""
    try:
        found: dict[str, Any] = load_state_dict(str(path))
    except MemoryError:
        raise
    except Exception as problem:  # torch and safetensors raise many types.
        raise Usage(
            f"cannot read --checkpoint {path}: {in_one_line(problem)}\n  help: pass the weights as .pth or .safetensors"
        ) from problem
    wanted = module.state_dict()
    differing = [
        f"{key} is {tuple(found[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    differing += [f"{key} is missing" for key in wanted if key not in found]
    differing += [f"{key} is unknown" for key in found if key not in wanted]
    if differing:
        more = len(differing) - LISTED_DIFFERENCES
        listed = "; ".join(differing[:LISTED_DIFFERENCES]) + (f", and {more} more" if more > 0 else "")
        raise Usage(f"cannot load --checkpoint {path}: it does not match the network: {listed}\n  help: {_advice(differing)}")
    module.load_state_dict(found)


def _advice(differing: list[str]) -> str:
    """Returns which option is likely to be wrong."""
    if "fc_norm.weight is unknown" in differing:
        return "add --global-pool avg"
    if any(part in line for line in differing[:2] for part in ("fc", "head", "classifier")):
        return "check --num-classes"
    return "check the name of the network"


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
