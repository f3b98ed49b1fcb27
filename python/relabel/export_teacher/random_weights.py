"""Random weights that a test can tell apart from errors: no constant layers, and activations within float16."""

from __future__ import annotations

import torch
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm

from relabel.console import Usage

from .classifier import Classifier
from .comparison import scores
from .network_errors import unsupported_size
from .options import Size

# With a fixed seed, all exports of a network with random weights, and all callers of `create_classifier`, have the same one.
RANDOM_WEIGHTS_SEED = 1
# In a deep random network the norms amplify rounding errors from layer to layer. Small activations keep the network nearly
# linear, which limits that. Difference of float16 and float32 on EfficientNet-L2, relative to the largest score: 39 % with
# 1, 27 % with 0.5, 4.8 % with 0.2, 0.2 % with 0.1.
RANDOM_NORM_SCALE = 0.1


def randomise(module: Module) -> None:
    """Randomises constant weights: heads and norms often start as zeros and ones, which would hide errors."""
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
    norms = [layer for layer in classifier.module.modules() if isinstance(layer, _BatchNorm)]
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
        scores(classifier.module, _varied_images(classifier.input_size))
    except Exception as problem:  # Networks raise many types for an unsupported size.
        raise Usage(unsupported_size(classifier, problem)) from problem
    finally:
        for norm, (training, momentum) in zip(norms, before, strict=True):
            norm.train(training)
            norm.momentum = momentum


def _varied_images(size: Size) -> torch.Tensor:
    """Returns noise, dim noise, large shapes, and shapes with noise: normalised inputs ``[4, 3, height, width]``."""
    draw = torch.Generator().manual_seed(RANDOM_WEIGHTS_SEED)
    noise = torch.randn(3, 3, *size, generator=draw)
    shapes = torch.nn.functional.interpolate(torch.randn(2, 3, 6, 6, generator=draw), size=size, mode="bicubic")
    return torch.stack([noise[0], 0.3 * noise[1] - 1, shapes[0], shapes[1] + 0.3 * noise[2]])
