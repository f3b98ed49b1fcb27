"""Compares the label maps of the PyTorch peer with those of a store, to verify that both compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bench import stores
from bench.peer.files import list_images, map_file

# Share of the largest score. If the best two classes are closer, rounding decides between them.
LARGE_GAP = 0.02


def compare(store: Path, pt: Path, source: Path) -> dict[str, float]:
    """Returns how often the best classes agree, over all cells and over those whose best class leads by a large gap."""
    maps = stores.read(store)
    scores, classes = maps.scores, maps.classes
    # Rows have the same order (docs/format.md).
    paths = list_images(source, len(scores))
    rows = [row for row, path in enumerate(paths) if map_file(pt, path, ".pt").is_file() and np.isfinite(scores[row]).all()]
    if not rows:
        raise SystemExit(f"{store} and {pt} have no image in common: run both over {source} first")
    theirs = np.stack([torch.load(map_file(pt, paths[row], ".pt")).numpy() for row in rows])
    ours, our_classes = scores[rows], classes[rows]
    if theirs[:, 0].shape != ours.shape:
        shapes = f"{pt} has maps of {theirs[0, 0].shape}, {store} of {ours[0].shape}"
        raise SystemExit(f"{shapes}: network or input size differ")
    largest = float(np.abs(ours).max())
    same = theirs[:, 1, 0] == our_classes[:, 0]
    clear = np.minimum(ours[:, 0] - ours[:, 1], theirs[:, 0, 0] - theirs[:, 0, 1]) > LARGE_GAP * largest
    return {
        "images": len(rows),
        "cells": int(same.size),
        "agree": float(same.mean()),
        "clear_cells": int(clear.sum()),
        "clear_agree": float(same[clear].mean()) if clear.any() else 0.0,
        "best_score_apart": float(np.abs(theirs[:, 0, 0] - ours[:, 0]).max()),
        "largest_score": largest,
        "distinct_classes": int(np.unique(our_classes[:, 0]).size),
    }
