"""Crops and flips that transforms of torchvision and timm remember, compared with the pixels that they return."""

import copy
import functools
import pickle
import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch.utils.data import ConcatDataset, Subset
from torchvision import transforms as v1
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel.torch as rt
from relabel.torch.crops import transformed

HEIGHT, WIDTH = 90, 150


def gradient() -> Image.Image:
    """Returns an image whose red value grows from left to right, and whose green value grows from top to bottom."""
    x, y = np.meshgrid(np.linspace(0, 255, WIDTH), np.linspace(0, 255, HEIGHT))
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=2).round().astype(np.uint8))


def shown_box(image) -> np.ndarray:
    """Returns the part of the gradient that a crop of 64 x 64 pixels shows, to about a pixel of the gradient."""
    red, green = (np.asarray(image, dtype=np.float64)[..., channel].mean(axis=channel) / 255 for channel in (0, 1))
    return np.array([red[0], green[0], red[-1], green[-1]])


class Preset:
    """A preset of a training script: a callable object with a pipeline."""

    def __init__(self, *transforms):
        self.transforms = v1.Compose(transforms)

    def __call__(self, image):
        return self.transforms(image)


def in_closure(crop):
    return lambda image: crop(image)


def apply(crop, image):
    return crop(image)


class Network(torch.nn.Module):
    def __init__(self, crop):
        super().__init__()
        self.crop = crop

    def forward(self, image):
        return self.crop(image)


CROPS = {
    "v1": lambda: v1.RandomResizedCrop(64, scale=(0.05, 0.6)),
    "v2": lambda: v2.RandomResizedCrop(64, scale=(0.05, 0.6)),
    "timm": lambda: RandomResizedCropAndInterpolation(64, scale=(0.05, 0.6)),
    "own": lambda: rt.RandomResizedCrop(64, scale=(0.05, 0.6)),
}
PIPELINES = {
    "alone": lambda crop: crop,
    "v1": lambda crop: v1.Compose([v1.Resize((HEIGHT, WIDTH)), crop, v1.ColorJitter()]),
    "v2": lambda crop: v2.Compose([v2.Compose([crop]), v2.ColorJitter()]),
    "choice": lambda crop: v2.RandomChoice([crop, copy.deepcopy(crop)]),
    "apply": lambda crop: v1.RandomApply([crop], p=1.0),
    "sequential": lambda crop: torch.nn.Sequential(Network(crop)),
    "preset": lambda crop: Preset(crop, v1.ColorJitter()),
    "closure": in_closure,
    "partial": lambda crop: functools.partial(apply, crop),
    "module": Network,
    "method": lambda crop: Network(crop).forward,
}


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("crop", CROPS)
def test_a_crop_anywhere_in_a_pipeline_remembers_its_box(crop, pipeline):
    transform = rt.remember_crops(PIPELINES[pipeline](CROPS[crop]()))
    for _ in range(5):
        image, found = transformed(transform, gradient())
        assert not found.flipped and np.abs(shown_box(image) - found.box).max() < 0.03


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("flip", [v1.RandomHorizontalFlip, v2.RandomHorizontalFlip, rt.RandomHorizontalFlip])
@pytest.mark.parametrize("is_first", [False, True])
def test_flips_before_and_after_the_crop_are_remembered(crop, flip, is_first):
    steps = [CROPS[crop](), flip()]
    transform = rt.remember_crops(v1.Compose(steps[::-1] if is_first else steps))
    seen = set()
    for _ in range(12):
        image, found = transformed(transform, gradient())
        x0, y0, x1, y1 = shown_box(image)
        assert found.flipped == (x0 > x1)
        assert np.abs(np.array([min(x0, x1), y0, max(x0, x1), y1]) - found.box).max() < 0.03
        seen.add(found.flipped)
    assert seen == {True, False}


@pytest.mark.parametrize("crop", CROPS)
def test_copies_and_pickles_remember(crop):
    transform = rt.remember_crops(v1.Compose([CROPS[crop](), v1.RandomHorizontalFlip(p=1.0)]))
    rt.remember_crops(transform)  # once more changes nothing
    for again in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        image, found = transformed(again, gradient())
        x0, y0, x1, y1 = shown_box(image)
        assert found.flipped and np.abs(np.array([x1, y0, x0, y1]) - found.box).max() < 0.03


@pytest.mark.parametrize("kind", ["pil", "tensor"])
@pytest.mark.parametrize("crop", CROPS)
def test_pixels_and_boxes_are_those_of_the_unmodified_crop(crop, kind):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator)
    if kind == "pil":
        image = v2.functional.to_pil_image(image)
    elif crop == "timm":
        pytest.skip("takes PIL images only")
    plain, remembering = CROPS["v2" if crop == "own" else crop](), rt.remember_crops(CROPS[crop]())
    for seed in range(20):
        torch.manual_seed(seed)
        random.seed(seed)
        expected = plain(image)
        torch.manual_seed(seed)
        random.seed(seed)
        found, box = transformed(remembering, image)
        assert np.array_equal(np.asarray(found), np.asarray(expected))
        if crop in ("v1", "v2", "own"):
            x0, y0, x1, y1 = (round(side * pixels) for side, pixels in zip(box.box, (WIDTH, HEIGHT) * 2, strict=True))
            again = v2.functional.resized_crop(image, y0, x0, y1 - y0, x1 - x0, [64, 64])
            # v1 and v2 round tensors differently.
            difference = np.abs(np.asarray(found, dtype=np.int64) - np.asarray(again))
            assert difference.max() <= (crop == "v1" and kind == "tensor"), "the box is that of the pixels"


MOVING_BEFORE = [v1.CenterCrop(32), v2.RandomRotation(10), v2.Pad(4), v1.RandomVerticalFlip(), v2.RandomAffine(10)]
MOVING_AFTER = [v2.CenterCrop(32), v1.RandomCrop(32, padding=4), v2.RandomPerspective(), v1.RandomRotation(5), v2.RandomCrop(32)]


def test_transforms_that_move_pixels_are_refused_by_name(photographs, labels):
    for moving, place in [(m, "before") for m in MOVING_BEFORE] + [(m, "after") for m in MOVING_AFTER]:
        crop = v2.RandomResizedCrop(64)
        steps = [moving, crop] if place == "before" else [crop, moving]
        name = f"{type(moving).__name__} {place} RandomResizedCrop moves pixels"
        for transform in (v1.Compose(steps), Preset(*steps)):
            with pytest.raises(ValueError, match=name):
                rt.LabelMapDataset(ImageFolder(photographs, transform), labels)
            with pytest.raises(ValueError, match=name):
                rt.CropDataset(ImageFolder(photographs), labels, transform)
    # A target of the entire image does not depend on the crop.
    rt.LabelMapDataset(ImageFolder(photographs, v1.Compose([v1.CenterCrop(32)])), labels, target="image")
    vertical = v2.Compose([v2.RandomResizedCrop(64), v2.RandomVerticalFlip()])
    rt.LabelMapDataset(ImageFolder(photographs, vertical), labels)
    with pytest.raises(ValueError, match="token labels and CutMix by region"):
        rt.LabelMapDataset(ImageFolder(photographs, vertical), labels, output_size=2)
    with pytest.raises(ValueError, match="token labels and CutMix by region"):
        rt.PoolCollate(rt.CropDataset(ImageFolder(photographs, vertical), labels), cutmix=rt.CutMix(region=True))


def test_transforms_of_parts_of_data_sets_are_seen(photographs, labels):
    def folder():
        return ImageFolder(photographs, v2.Compose([v2.RandomResizedCrop(32), v2.ToImage()]))

    for data in (Subset(folder(), [3, 4]), ConcatDataset([folder(), folder()]), Subset(ConcatDataset([folder()]), [5])):
        crops = rt.CropDataset(data, labels)
        _, crop = crops[len(crops) - 1]
        assert crop.row == crops.rows[-1] and crop.box != (0, 0, 1, 1)


def test_an_image_without_a_known_crop_is_an_error(photographs, labels):
    def unknown(image):
        return v2.functional.resized_crop(image, 1, 2, 30, 40, [32, 32])

    def reported(image):
        rt.report_crop(2 / image.width, 1 / image.height, 42 / image.width, 31 / image.height)
        return unknown(image)

    for transform in (unknown, v2.Resize((32, 32))):
        with pytest.raises(ValueError, match="did not crop it with a known random resized crop"):
            rt.CropDataset(ImageFolder(photographs), labels, transform)[0]
    _, crop = rt.CropDataset(ImageFolder(photographs), labels, reported)[0]
    original = ImageFolder(photographs)[0][0]
    assert np.allclose(crop.box, (2 / original.width, 1 / original.height, 42 / original.width, 31 / original.height))
    twice = v2.Compose([v2.RandomResizedCrop(64), v2.RandomResizedCrop(32)])
    with pytest.raises(ValueError, match="cropped 2 times"):
        rt.CropDataset(ImageFolder(photographs), labels, twice)[0]


def test_the_crop_of_the_package_remembers_with_older_torchvision(monkeypatch):
    # Before 0.21, torchvision calls the method `_get_params`.
    monkeypatch.setattr(v2.RandomResizedCrop, "_get_params", v2.RandomResizedCrop.make_params, raising=False)
    params, crop = transformed(rt.RandomResizedCrop(64)._get_params, [gradient()])
    x0, y0 = params["left"] / WIDTH, params["top"] / HEIGHT
    assert crop.box == pytest.approx((x0, y0, x0 + params["width"] / WIDTH, y0 + params["height"] / HEIGHT))
