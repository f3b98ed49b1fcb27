"""CutMix and MixUp: the papers' algorithms, and pooled targets in torchvision's and timm's own implementations."""

import math

import numpy as np
import pytest
import torch
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
        # As in the paper's code: int(W * sqrt(1 - lam)) // 2 on both sides of the centre, clipped.
        half_width, half_height = int(30 * math.sqrt(1 - lam)) // 2, int(20 * math.sqrt(1 - lam)) // 2
        x0, x1 = np.clip([centre_x - half_width, centre_x + half_width], 0, 30)
        y0, y1 = np.clip([centre_y - half_height, centre_y + half_height], 0, 20)
        expected = images.clone()
        expected[:, :, y0:y1, x0:x1] = images[partners][:, :, y0:y1, x0:x1]
        visible = 1 - (x1 - x0) * (y1 - y0) / 600
        assert torch.equal(mixed, expected)
        assert torch.allclose(mixed_targets, visible * targets + (1 - visible) * targets[partners], atol=1e-6)
    assert torch.equal(images, kept) and torch.equal(targets, kept_targets), "inputs are not modified"


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


def test_a_share_of_batches_is_not_mixed():
    images, targets = batch(2)
    torch.manual_seed(0)
    for mix in (rt.CutMix(prob=0.25), rt.MixUp(prob=0.25)):
        unmixed = sum(mix(images, targets)[1] is targets for _ in range(2000))
        assert 1400 < unmixed < 1600


def test_invalid_values_are_refused():
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


def test_torchvisions_cutmix_and_mixup_accept_pooled_targets():
    images, targets = batch()
    for mix in (v2.CutMix(), v2.MixUp(), v2.RandomChoice([v2.CutMix(), v2.MixUp()])):
        mixed, mixed_targets = mix(images, targets)
        assert mixed.shape == images.shape
        assert torch.allclose(mixed_targets.sum(1), torch.ones(6), atol=1e-5)


def test_timms_mixup_accepts_pooled_targets_with_multi_label():
    from timm.data import Mixup

    images, targets = batch()
    mix = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, label_smoothing=0.0, num_classes=5, multi_label=True)
    mixed, mixed_targets = mix(images.clone(), targets)
    assert mixed.shape == images.shape
    assert torch.allclose(mixed_targets.sum(1), torch.ones(6), atol=1e-5)
