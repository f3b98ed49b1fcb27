"""A classifier that can be exported: a network and what its teacher card states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .options import TORCHVISION, TRANSFORMERS, NetworkOptions, Size

if TYPE_CHECKING:
    from torch.nn import Module


@dataclass
class Classifier:
    """A network, in evaluation mode and float32 on the CPU, and its metadata."""

    name: str
    module: Module
    input_size: Size
    mean: Sequence[float]
    std: Sequence[float]
    filter: str
    classes: str | list[str] | None
    """``imagenet-1k``, the lines of a class list, or None if unknown."""
    remarks: dict[str, object]
    """Keys of the card that describe the origin of the network."""
    channel_order: str = "rgb"
    notes: list[str] = field(default_factory=list)


def create_classifier(options: NetworkOptions) -> Classifier:
    """Creates a network with its weights.

    Raises:
        Refusal: If the network is unknown, its weights cannot be loaded, or it does not support the options.
    """
    if options.name.startswith(TORCHVISION):
        from .torchvision_networks import torchvision_classifier

        return torchvision_classifier(options)
    if options.name.startswith(TRANSFORMERS):
        from .transformers_networks import transformers_classifier

        return transformers_classifier(options)
    from .timm_networks import timm_classifier

    return timm_classifier(options)
