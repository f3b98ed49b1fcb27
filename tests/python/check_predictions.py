"""Computes predictions of images and tiles with an independent implementation and compares a store without label maps.

Uses no code of relabel. The store must have been labelled with `--filter box`, with which pixels are equal in every bit.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import zarr
from PIL import Image

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


class Classifier:
    """The unmodified network, run on one image at a time."""

    def __init__(self, path: str, size: tuple[int, int], flip: bool):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        port = self.session.get_inputs()[0]
        self.name, self.size, self.flip = port.name, size, flip
        self.batch = port.shape[0] if isinstance(port.shape[0], int) else 1

    def scores(self, x: np.ndarray) -> np.ndarray:
        scores = self.session.run(None, {self.name: np.repeat(x, self.batch, axis=0)})[0][0]
        # A score map is averaged.
        return scores.reshape(len(scores), -1).mean(axis=1).astype(np.float64)

    def probs(self, image: Image.Image, box: tuple[float, ...]) -> np.ndarray:
        """Returns the softmax of the scores of a part of an image."""
        height, width = self.size
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BOX, box=box), dtype=np.float64)
        x = np.moveaxis((pixels / 255 - MEAN) / STD, -1, 0)[None].astype(np.float32)
        scores = self.scores(x)
        if self.flip:
            scores = (scores + self.scores(np.ascontiguousarray(x[..., ::-1]))) / 2
        exponentials = np.exp(scores - scores.max())
        return exponentials / exponentials.sum()


def check(probs: np.ndarray, classes: np.ndarray, expected: np.ndarray, what: str) -> None:
    order = np.argsort(-expected, kind="stable")[: len(probs)]
    tolerance = 1e-3 * expected.max()
    assert np.abs(probs.astype(np.float64) - expected[order]).max() < tolerance, (what, probs, expected[order])
    assert np.abs(expected[classes.astype(np.int64)] - expected[order]).max() < tolerance, (what, classes, order)


def main(teacher: str, store: str, images: str, flip: str) -> None:
    attributes = json.loads(Path(store, "zarr.json").read_text())["attributes"]["relabel"]
    size = tuple(attributes["teacher"]["card"]["input_size"])
    classifier = Classifier(teacher, size, flip == "flip")
    group = zarr.open_group(store, mode="r")
    rows = 0
    for row, path in enumerate(sorted(path for path in Path(images).rglob("*") if path.is_file())):
        image = Image.open(path).convert("RGB")
        width, height = image.size
        expected = classifier.probs(image, (0, 0, width, height))
        check(group["image_probs"][row], group["image_classes"][row], expected, str(path))
        for tile, (x0, y0, x1, y1) in enumerate(attributes["tiles"]["boxes"]):
            expected = classifier.probs(image, (x0 * width, y0 * height, x1 * width, y1 * height))
            probs, classes = group["tile_probs"][row, tile], group["tile_classes"][row, tile]
            check(probs, classes, expected, f"{path}, tile {tile}")
        rows += 1
    print(f"{rows} images agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
