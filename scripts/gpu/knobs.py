"""The options that the part `knobs` measures one by one, and the choice of those to combine."""

from __future__ import annotations

from collections.abc import Mapping

# Options of `relabel run --cuda`.
CUDA_OPTIONS = ("pinned", "bound", "graph", "nhwc", "exhaustive", "tf32")
# Ways to transfer the input, which exclude each other.
TRANSFERS = ("pinned", "bound", "graph")
# Changes labels by more than the last bits, so speed alone does not select it.
CHANGES_LABELS = ("tf32",)
BATCHES = {"cuda": (16, 32, 64, 128, 256), "cpu": (1, 4, 16)}
# Smaller gains are noise.
MIN_GAIN = 1.02


def options_for(device: str, precision: str) -> tuple[str, ...]:
    """Returns the options that apply. TF32 concerns only products of float32."""
    if not device.startswith("cuda"):
        return ()
    return tuple(word for word in CUDA_OPTIONS if word != "tf32" or precision == "fp32")


def best(gains: Mapping[str, float]) -> str:
    """Returns the options that improve the rate, separated by commas; of those that exclude each other, the best one."""
    useful = {word: gain for word, gain in gains.items() if gain >= MIN_GAIN and word not in CHANGES_LABELS}
    transfer = max((word for word in useful if word in TRANSFERS), key=lambda word: useful[word], default=None)
    return ",".join(word for word in CUDA_OPTIONS if word in useful and (word not in TRANSFERS or word == transfer))
