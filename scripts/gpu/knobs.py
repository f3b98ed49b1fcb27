"""The settings that are tried one by one on a teacher, and which of them are worth combining."""

from __future__ import annotations

from collections.abc import Mapping

# Words of `relabel run --cuda`.
CUDA_WORDS = ("pinned", "bound", "graph", "nhwc", "exhaustive", "tf32")
# Of these only one can be had.
FEEDINGS = ("pinned", "bound", "graph")
# Changes labels by more than the last bits, so that speed alone does not choose it.
CHANGES_LABELS = ("tf32",)
BATCHES = {"cuda": (16, 32, 64, 128, 256), "cpu": (1, 4, 16)}
# Below this, a gain is noise.
WORTH = 1.02


def words_for(device: str, precision: str) -> tuple[str, ...]:
    """What can be tried there. TF32 is about products of float32."""
    if not device.startswith("cuda"):
        return ()
    return tuple(word for word in CUDA_WORDS if word != "tf32" or precision == "fp32")


def best(gains: Mapping[str, float]) -> str:
    """The words that gained something, with commas between them, and of those that exclude each other the best one."""
    useful = {word: gain for word, gain in gains.items() if gain >= WORTH and word not in CHANGES_LABELS}
    feeding = max((word for word in useful if word in FEEDINGS), key=lambda word: useful[word], default=None)
    return ",".join(word for word in CUDA_WORDS if word in useful and (word not in FEEDINGS or word == feeding))
