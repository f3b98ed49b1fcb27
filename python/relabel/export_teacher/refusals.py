"""Networks whose cells have no scores, which relabel would refuse after the export."""

from __future__ import annotations

from typing import Any

from timm.layers import AttentionPool2d, AttentionPoolLatent, RotAttentionPool2d

from relabel.console import Usage

from .classifier import Classifier

OTHER = "use another teacher"


def refuse_networks_without_cells(classifier: Classifier, name: str) -> None:
    """Refuses networks that do not pool a map by its mean, or by attention without positions.

    Args:
        classifier: The network.
        name: Its name as the user gave it.

    Raises:
        Usage: If the network is one of those.
    """
    module: Any = classifier.module
    kind = type(module).__name__
    _refuse_position_dependent_attention(module, name)
    pooling = _pooling(module)
    if pooling == "token" and hasattr(module, "num_prefix_tokens") and kind not in ("Xcit", "Cait"):
        raise _refusal(
            name,
            "classifies from its class token, so its cells have no scores",
            "if the head of these weights was trained on the mean of the tokens (as after MAE, or with `gap` in the name), use"
            " --global-pool avg; otherwise use another teacher",
        )
    if pooling == "token" or hasattr(module, "class_token"):
        raise _refusal(name, "classifies from a token that attends to the others, so its cells have no scores", OTHER)
    if pooling in ("max", "avgmax", "catavgmax"):
        raise _refusal(name, "takes the maximum over the map, so its cells have no scores", OTHER)
    if kind in ("VGG", "AlexNet"):
        raise _refusal(name, "feeds the entire map to its first linear layer, so its cells have no scores", OTHER)


def _pooling(module: Any) -> str | None:
    """Returns the name of a network's pooling, as timm calls it."""
    pooling = getattr(module, "global_pool", None) or getattr(getattr(module, "head", None), "global_pool", None)
    return pooling if isinstance(pooling, str) else getattr(pooling, "pool_type", None)


def _refuse_position_dependent_attention(module: Any, name: str) -> None:
    """Refuses attention pooling that depends on positions. Pooling over a set of tokens (SigLIP, AIMv2) works for one cell."""
    for layer in module.modules():
        latent = isinstance(layer, AttentionPoolLatent)
        if isinstance(layer, (AttentionPool2d, RotAttentionPool2d)) or (latent and getattr(layer, "pos_embed", None) is not None):
            cause = "pools by attention with position embeddings, so its cells have no scores of their own"
            raise _refusal(name, cause, OTHER)
        if latent and getattr(module, "num_prefix_tokens", 0) > 0:
            cause = "pools by attention over its tokens and a class token, so its cells have no scores of their own"
            raise _refusal(name, cause, f"{OTHER} (for ViT, one with `gap` in its name)")


def _refusal(name: str, cause: str, advice: str) -> Usage:
    return Usage(f"cannot export {name}: it {cause}\n  help: {advice}")
