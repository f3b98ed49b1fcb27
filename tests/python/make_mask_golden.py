"""Writes tests/data/golden/masks.npz: masks as pycocotools encodes them and OpenCV resizes them.

    python make_mask_golden.py tests/data/golden/masks.npz

For each mask: `pixels_N` (bool, packed bit by bit, row by row), `size_N`, `compressed_N` (bytes), `counts_N`, and for each size of
map HxW `linear_N_HxW` and, if the mask is larger than the map, `area_N_HxW` (float32: `cv2.resize` with `INTER_LINEAR` and
`INTER_AREA`). `versions` are those of both packages. Needs NumPy, pycocotools 2.0.11 and opencv-python-headless 5.0.0.93.
"""

import argparse
from importlib.metadata import version

import cv2
import numpy as np
from pycocotools import mask as coco

SIZES = [(500, 375), (333, 500), (64, 64), (48, 31), (15, 15), (9, 200), (1, 40), (5, 3), (1200, 1601)]
MAPS = [(15, 15), (7, 7), (14, 10)]


def masks(generator: np.random.Generator):
    """Yields masks of several shapes: ellipses, polygons of noise, stripes, a frame, corners, single pixels, full masks."""
    for height, width in SIZES:
        y, x = np.mgrid[:height, :width]
        v, u = (y + 0.5) / height, (x + 0.5) / width
        yield (v - 0.4) ** 2 / 0.1 + (u - 0.6) ** 2 / 0.05 < 1
        coarse = generator.random((6, 6)).astype(np.float32)
        yield cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) > 0.55
        yield (y // max(height // 11, 1)) % 2 == 0
        yield np.ones((height, width), bool)
        corner = np.zeros((height, width), bool)
        corner[-1, -1] = corner[0, 0] = True
        yield corner
    yield generator.random((120, 90)) < 0.5


def counts_of(mask: np.ndarray) -> np.ndarray:
    """Returns the uncompressed counts."""
    flat = mask.T.ravel()
    borders = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    return np.concatenate([[0] if flat[0] else [], np.diff(borders)]).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    arrays = {"versions": np.array([f"{name} {version(name)}" for name in ("pycocotools", "opencv-python-headless", "numpy")])}
    for number, mask in enumerate(mask for mask in masks(np.random.default_rng(22)) if mask.any()):
        encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert encoded["size"] == list(mask.shape) and (coco.decode(encoded) == mask).all()
        arrays[f"pixels_{number}"] = np.packbits(mask)
        arrays[f"size_{number}"] = np.array(mask.shape)
        arrays[f"compressed_{number}"] = np.frombuffer(encoded["counts"], np.uint8)
        arrays[f"counts_{number}"] = counts_of(mask)
        for height, width in MAPS:
            values = mask.astype(np.float32)
            name = f"{number}_{height}x{width}"
            arrays[f"linear_{name}"] = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
            if mask.shape[0] >= height and mask.shape[1] >= width:
                arrays[f"area_{name}"] = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    np.savez_compressed(parser.parse_args().out, **arrays)


if __name__ == "__main__":
    main()
