"""CutMix and MixUp: the paper's algorithm, by region, and beside torchvision's and timm's ways."""

import math

import numpy as np
import pytest
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel.torch as rt


def batch(count=6, classes=5, size=(20, 30)):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, *size, generator=generator)
    return images, torch.rand(count, classes, generator=generator).softmax(1)


def test_cutmix_is_the_papers_algorithm():
    images, targets = batch()
    kept, kept_targets = images.clone(), targets.clone()
    for seed in range(200):
        torch.manual_seed(seed)
        mixed, mixed_targets = rt.CutMix()(images, targets)
        torch.manual_seed(seed)
        torch.rand(())
        lam = float(torch.distributions.Beta(torch.tensor(1.0), torch.tensor(1.0)).sample())
        centre_x, centre_y = int(torch.randint(30, ())), int(torch.randint(20, ()))
        partners = torch.randperm(6)
        # The paper's code: int(W * sqrt(1 - lam)) // 2 to either side of the centre, clipped.
        half_width, half_height = int(30 * math.sqrt(1 - lam)) // 2, int(20 * math.sqrt(1 - lam)) // 2
        x0, x1 = np.clip([centre_x - half_width, centre_x + half_width], 0, 30)
        y0, y1 = np.clip([centre_y - half_height, centre_y + half_height], 0, 20)
        wanted = images.clone()
        wanted[:, :, y0:y1, x0:x1] = images[partners][:, :, y0:y1, x0:x1]
        visible = 1 - (x1 - x0) * (y1 - y0) / 600
        assert torch.equal(mixed, wanted)
        assert torch.allclose(mixed_targets, visible * targets + (1 - visible) * targets[partners], atol=1e-6)
    assert torch.equal(images, kept) and torch.equal(targets, kept_targets), "inputs are left as they are"


def test_mixup_is_the_papers_algorithm():
    images, targets = batch()
    torch.manual_seed(3)
    mixed, mixed_targets = rt.MixUp(0.4)(images, targets)
    torch.manual_seed(3)
    torch.rand(())
    lam = float(torch.distributions.Beta(torch.tensor(0.4), torch.tensor(0.4)).sample())
    partners = torch.randperm(6)
    assert torch.allclose(mixed, lam * images + (1 - lam) * images[partners], atol=1e-6)
    assert torch.allclose(mixed_targets, lam * targets + (1 - lam) * targets[partners], atol=1e-6)


def test_a_share_of_batches_is_left_alone():
    images, targets = batch(2)
    torch.manual_seed(0)
    for mix in (rt.CutMix(prob=0.25), rt.MixUp(prob=0.25)):
        alone = sum(mix(images, targets)[1] is targets for _ in range(2000))
        assert 1400 < alone < 1600


def test_impossible_values_are_refused():
    images, targets = batch()
    for make in (lambda: rt.CutMix(0), lambda: rt.CutMix(prob=1.5), lambda: rt.MixUp(-1), lambda: rt.MixUp(float("nan"))):
        with pytest.raises(ValueError):
            make()
    for mix in (rt.CutMix(), rt.MixUp()):
        with pytest.raises(ValueError, match="probabilities"):
            mix(images, torch.zeros(6, dtype=torch.long))
        with pytest.raises(ValueError, match="probabilities"):
            mix(images, targets[:3])
    with pytest.raises(ValueError, match="PoolCollate"):
        rt.CutMix(region=True)(images, targets)
    with pytest.raises(TypeError, match="floating point"):
        rt.MixUp()((images * 255).to(torch.uint8), targets)


def test_torchvisions_own_cutmix_and_mixup_take_pooled_targets():
    images, targets = batch()
    for mix in (v2.CutMix(), v2.MixUp(), v2.RandomChoice([v2.CutMix(), v2.MixUp()])):
        mixed, mixed_targets = mix(images, targets)
        assert mixed.shape == images.shape
        assert torch.allclose(mixed_targets.sum(1), torch.ones(6), atol=1e-5)


def test_timms_mixup_takes_pooled_targets_when_told_that_they_are_dense():
    from timm.data import Mixup

    images, targets = batch()
    mix = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=5, multi_label=True)
    mixed, mixed_targets = mix(images.clone(), targets)
    assert mixed.shape == images.shape
    assert torch.allclose(mixed_targets.sum(1), torch.ones(6), atol=1e-5)


def folder_of(photographs):
    transform = v2.Compose(
        [rt.RandomResizedCrop((48, 64)), rt.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    )
    return ImageFolder(photographs, transform)


def test_by_region_is_made_of_the_labels_of_the_regions(photographs, labels):
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
                wanted = visible_label(labels, crop, paste.rect, (48, 64))
                assert np.abs(host - wanted).max() < 2e-3, (seed, at)


def visible_label(labels, crop, rect, size):
    """The host's label by brute force: RoIAlign's samples, each by the share of its stretch's pixels that are visible."""
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
            stretch = hidden[i * fine_y // rows : (i + 1) * fine_y // rows, j * fine_x // columns : (j + 1) * fine_x // columns]
            weight = 1 - stretch.mean()
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


def test_by_region_needs_one_label_of_a_crop(photographs, labels):
    data = rt.CropDataset(folder_of(photographs), labels)
    for options in ({"target": "image"}, {"output_size": 2}):
        with pytest.raises(ValueError, match="by region"):
            rt.PoolCollate(data, cutmix=rt.CutMix(region=True), **options)
