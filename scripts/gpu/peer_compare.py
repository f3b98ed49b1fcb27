"""Holds the label maps of `peer.py` against those of a store, so that both are known to do the same job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import stores
from peer_feed import list_images, map_file

# Of the largest score: where the best two classes are closer, rounding decides between them.
LARGE_GAP = 0.02


def compare(store: Path, pt: Path, source: Path) -> dict[str, float]:
    """How often both see the same best class, over all cells, and over those where it leads by a large gap."""
    maps = stores.read(store)
    scores, classes = maps.scores, maps.classes
    # Rows are sorted as these are (docs/format.md).
    paths = list_images(source, len(scores))
    rows = [row for row, path in enumerate(paths) if map_file(pt, path).is_file() and np.isfinite(scores[row]).all()]
    if not rows:
        raise SystemExit(f"no image has labels in both {store} and {pt}: run both over {source} first")
    theirs = np.stack([torch.load(map_file(pt, paths[row])).numpy() for row in rows])
    ours, our_classes = scores[rows], classes[rows]
    if theirs[:, 0].shape != ours.shape:
        shapes = f"{pt} has maps of {theirs[0, 0].shape}, and {store} of {ours[0].shape}"
        raise SystemExit(f"{shapes}: another network or input size")
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
