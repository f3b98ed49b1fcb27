"""Records what a training loop trains on, and compares it with the images and the label maps."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import functional

import relabel
import relabel.torch as rt

MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]


class LoopSpy:
    """Images that networks received in training, targets that the loss received, and crops that data sets returned.

    All are in the order of the samples if the loader has no workers.
    """

    def __init__(self, monkeypatch):
        self.images, self.targets, self.crops = [], [], []
        self.depth = 0
        cross_entropy, crop, call = torch.nn.functional.cross_entropy, rt.CropDataset.crop, torch.nn.Module.__call__

        def loss(logits, targets, *args, **kwargs):
            if torch.is_grad_enabled():
                self.targets.append(targets.detach())
            return cross_entropy(logits, targets, *args, **kwargs)

        def crop_of(dataset, index):
            image, found = crop(dataset, index)
            self.crops.append(found)
            return image, found

        def call_of(module, *args, **kwargs):
            # Transforms and losses are modules without parameters. A network calls its layers.
            self.depth += is_network(module)
            if self.depth == 1 and is_network(module) and torch.is_grad_enabled():
                self.images += [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor) and value.ndim == 4]
            try:
                return call(module, *args, **kwargs)
            finally:
                self.depth -= is_network(module)

        monkeypatch.setattr(torch.nn.Module, "__call__", call_of)
        monkeypatch.setattr(torch.nn.functional, "cross_entropy", loss)
        monkeypatch.setattr(rt.CropDataset, "crop", crop_of)
        for kind in (rt.CropIterable, rt.LabelMapIterable):
            monkeypatch.setattr(kind, "_sample", self._recorded(kind._sample))
    def check(self, labels: relabel.Labels, root: Path, *, count: int, normalized: bool = False) -> None:
        """Verifies that each target is that of the part of the image that the network saw.

        Args:
            labels: The store.
            root: The folder that was labelled.
            count: The number of images in training.
            normalized: Whether the networks received images normalised by mean and standard deviation.
        """
        images, targets = torch.cat(self.images), torch.cat(self.targets)
        assert len(images) == len(targets) == count and len(self.crops) >= count
        crops = self.crops[:count]
        expected = pooled(labels, crops)
        assert np.allclose(targets.float().numpy(), expected, atol=1e-6)
        pictures = {row: Image.open(next(root.glob(f"{name}.*"))).convert("RGB") for row, name in enumerate(labels.ids())}
        for image, crop in zip(images, crops):
            seen = image * STD + MEAN if normalized else image
            assert torch.allclose(seen, shown(pictures[crop.row], crop, seen.shape[-1]), atol=0.01)

    def _recorded(self, sample):
        def recorded(dataset, image, crop):
            self.crops.append(crop)
            return sample(dataset, image, crop)

        return recorded


def pooled(labels: relabel.Labels, crops: list[rt.Crop]) -> np.ndarray:
    """Returns the targets of crops. Data sets have boxes of float32: at a boundary of cells, rounding changes the target."""
    return labels.pool([crop.row for crop in crops], np.array([crop.box for crop in crops], dtype=np.float32))


def is_network(module: torch.nn.Module) -> bool:
    """Returns whether a module has parameters."""
    return next(module.parameters(), None) is not None


def shown(picture: Image.Image, crop: rt.Crop, size: int) -> torch.Tensor:
    """Returns what a crop shows, float32 ``[3, size, size]``."""
    sides = np.array(crop.box) * [*picture.size, *picture.size]
    left, top, right, bottom = np.round(sides).astype(int).tolist()
    part = functional.resized_crop(picture, top, left, bottom - top, right - left, [size, size], antialias=True)
    image = functional.to_tensor(part)
    return image.flip(-1) if crop.flipped else image
