"""CutMix by region: targets of the visible and of the pasted region, compared with brute force."""

import math

import numpy as np
import pytest
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel.torch as rt


def folder_of(photographs):
    transform = v2.Compose(
        [rt.RandomResizedCrop((48, 64)), rt.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    )
    return ImageFolder(photographs, transform)


def test_a_target_by_region_mixes_the_targets_of_both_regions(photographs, labels):
    data = rt.CropDataset(folder_of(photographs), labels)
    for seed in range(10):
        torch.manual_seed(seed)
        samples = [data[row] for row in range(0, 24, 3)]
        state = torch.get_rng_state()
        images, targets = rt.PoolCollate(data, cutmix=rt.CutMix(region=True))(samples)
        torch.set_rng_state(state)
        paste = rt.CutMix(region=True).paste(torch.stack([image for image, _ in samples]))
        assert torch.equal(images, paste.images)
        x0, y0, x1, y1 = paste.rect
        if x0 == x1 or y0 == y1:
            continue
        crops = [crop for _, crop in samples]
        for at, crop in enumerate(crops):
            other = crops[paste.partners[at]]
            left, right = (x0 / 64, x1 / 64) if not other.flipped else (1 - x1 / 64, 1 - x0 / 64)
            width, height = other.x1 - other.x0, other.y1 - other.y0
            seen = [other.x0 + width * left, other.y0 + height * y0 / 48, other.x0 + width * right, other.y0 + height * y1 / 48]
            pasted = labels.pool([other.row], [seen])[0]
            host = (targets[at].numpy() - (1 - paste.lam) * pasted) / max(paste.lam, 1e-9)
            if paste.lam > 0.05:
                assert abs(host.sum() - 1) < 1e-3 and host.min() > -1e-3
                expected = visible_target(labels, crop, paste.rect, (48, 64))
                assert np.abs(host - expected).max() < 2e-3, (seed, at)


def visible_target(labels, crop, rect, size):
    """Pools the host by brute force: RoIAlign's samples, each weighted by the visible share of its part of the crop."""
    scores, classes = labels.map(int(crop.row))
    dense = np.zeros((1000, *scores.shape[1:]))
    np.put_along_axis(dense, classes, scores.astype(np.float64), axis=0)
    height, width = scores.shape[1:]
    sides = np.float32(crop.box) * np.float32([width, height, width, height]) - np.float32(0.5)
    x0, y0, x1, y1 = rect
    fine_y, fine_x = size[0] * 50, size[1] * 50
    hidden = np.zeros((fine_y, fine_x), dtype=bool)
    hidden[y0 * 50 : y1 * 50, x0 * 50 : x1 * 50] = True
    if crop.flipped:
        hidden = hidden[:, ::-1]
    lengths = [max(sides[2] - sides[0], np.float32(1)), max(sides[3] - sides[1], np.float32(1))]
    columns, rows = (math.ceil(length) for length in lengths)
    total, weights = np.zeros(1000), 0.0
    for i in range(rows):
        for j in range(columns):
            part = hidden[i * fine_y // rows : (i + 1) * fine_y // rows, j * fine_x // columns : (j + 1) * fine_x // columns]
            weight = 1 - part.mean()
            y = sides[1] + (i + 0.5) * lengths[1] / rows
            x = sides[0] + (j + 0.5) * lengths[0] / columns
            total += weight * bilinear(dense, y, x)
            weights += weight
    pooled = np.exp(total / weights - (total / weights).max())
    return pooled / pooled.sum()


def bilinear(dense, y, x):
    height, width = dense.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(dense))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
    fy, fx = y - y0, x - x0
    upper = (1 - fx) * dense[:, y0, x0] + fx * dense[:, y0, x1]
    lower = (1 - fx) * dense[:, y1, x0] + fx * dense[:, y1, x1]
    return (1 - fy) * upper + fy * lower


def test_cutmix_by_region_needs_one_target_per_crop(photographs, labels):
    data = rt.CropDataset(folder_of(photographs), labels)
    for options in ({"target": "image"}, {"output_size": 2}):
        with pytest.raises(ValueError, match="by region"):
            rt.PoolCollate(data, cutmix=rt.CutMix(region=True), **options)
