"""Transforms that return the box of their crop, compared with torchvision's."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel.torch as rt


@pytest.mark.parametrize("kind", ["pil", "tensor"])
def test_crops_equal_torchvisions(kind):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 90, 150), dtype=torch.uint8, generator=generator)
    image = v2.functional.to_pil_image(image) if kind == "pil" else image
    for seed in range(20):
        torch.manual_seed(seed)
        expected = v2.RandomResizedCrop(32, scale=(0.05, 1))(image)
        torch.manual_seed(seed)
        found, crop = rt.RandomResizedCrop(32, scale=(0.05, 1))(image)
        assert np.array_equal(np.asarray(found), np.asarray(expected))
        x0, y0, x1, y1 = (round(side * pixels) for side, pixels in zip(crop.box, (150, 90, 150, 90), strict=True))
        again = v2.functional.resized_crop(image, y0, x0, y1 - y0, x1 - x0, [32, 32])
        assert np.array_equal(np.asarray(found), np.asarray(again)), "the box is that of the pixels"


def test_flips_equal_torchvisions_and_are_recorded():
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    crop = rt.Crop(0, 0, 1, 1)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        expected = v2.RandomHorizontalFlip()(image)
        torch.manual_seed(seed)
        found, flipped = rt.RandomHorizontalFlip()(image, crop)
        assert np.array_equal(found, expected)
        assert flipped == dataclasses.replace(crop, flipped=not np.array_equal(found, image))
        seen.add(flipped.flipped)
    assert seen == {True, False}


def test_v1_and_v2_transforms_pass_the_crop_through(photographs):
    old = v1.Compose([rt.RandomResizedCrop(32), rt.OnImage(v1.Compose([v1.ToTensor(), v1.Normalize([0.5] * 3, [0.5] * 3)]))])
    image = ImageFolder(photographs)[0][0]
    new = v2.Compose([rt.RandomResizedCrop(32), rt.RandomHorizontalFlip(), v2.ColorJitter(0.2), v2.ToImage()])
    for transform in (new, old):
        tensor, crop = transform(image)
        assert tensor.shape == (3, 32, 32) and isinstance(crop, rt.Crop)
    with pytest.raises(TypeError, match="put it after"):
        rt.OnImage(v1.ToTensor())(image)
    with pytest.raises(TypeError, match="put it first"):
        rt.RandomResizedCrop(32)(image, 3)
