"""CutMix and MixUp of token labels and of sparse targets."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel.torch as rt

CLASSES = 12


def batch(grid, count=5, size=(20, 30)):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 3, *size, generator=generator)
    return images, torch.rand(count, CLASSES, *grid, generator=generator).softmax(1)


def sparse_of(dense, top):
    probs, ids = dense.topk(top, 1)
    return rt.SparseTargets(ids, probs, 1 - probs.sum(1))


def brute_force(targets, paste):
    """Averages the targets that the pixels of each token show, with pixels small enough for all borders of tokens."""
    (height, width), grid = paste.input_size, targets.shape[2:]
    x0, y0, x1, y1 = paste.rect
    is_pasted = np.zeros((height, width))
    is_pasted[y0:y1, x0:x1] = 1
    fine = np.kron(is_pasted, np.ones(grid))
    fine = fine.reshape(grid[0], height, grid[1], width).mean(axis=(1, 3))
    share = torch.from_numpy(fine).float()
    return (1 - share) * targets + share * targets[paste.partners]


@pytest.mark.parametrize("grid", [(4, 3), (1, 1), (3, 7), (20, 30)])
def test_each_token_is_mixed_by_its_covered_area(grid):
    images, targets = batch(grid)
    kept = targets.clone()
    cutmix = rt.CutMix()
    for seed in range(50):
        torch.manual_seed(seed)
        paste = cutmix.paste(images)
        torch.manual_seed(seed)
        mixed_images, mixed = cutmix(images, targets)
        assert torch.equal(mixed_images, paste.images)
        assert torch.allclose(mixed, brute_force(targets, paste), atol=1e-6)
        assert paste.coverage(grid).mean() == pytest.approx(1 - paste.lam, abs=1e-6)
    assert torch.equal(targets, kept), "inputs are not modified"


def test_covered_tokens_have_the_pasted_target_and_visible_ones_the_hosts():
    """A rectangle on borders of tokens exchanges tokens, as the MixToken of TokenLabeling does."""
    images, targets = batch((4, 3))
    partners = torch.tensor([1, 2, 3, 4, 0])
    paste = rt.mix.Paste(images, partners, (10, 5, 30, 15), 1 - 200 / 600, (20, 30))
    mixed = paste.mix(targets)
    assert torch.equal(mixed[:, :, 1:3, 1:], targets[partners][:, :, 1:3, 1:])
    assert torch.equal(mixed[:, :, 0], targets[:, :, 0]) and torch.equal(mixed[:, :, 3], targets[:, :, 3])
    assert torch.equal(mixed[..., 0], targets[..., 0])


def test_one_paste_mixes_the_targets_of_crops_and_of_tokens():
    images, tokens = batch((4, 3))
    crops = tokens.mean((2, 3))
    torch.manual_seed(2)
    paste = rt.CutMix().paste(images)
    expected = paste.lam * crops + (1 - paste.lam) * crops[paste.partners]
    assert torch.allclose(paste.mix(crops), expected, atol=1e-6)
    assert torch.allclose(paste.mix(tokens), brute_force(tokens, paste), atol=1e-6)


@pytest.mark.parametrize("grid", [(), (3, 7)])
@pytest.mark.parametrize("make", [rt.CutMix, rt.MixUp])
def test_sparse_targets_are_mixed_as_dense_ones(grid, make):
    images, targets = batch(grid)
    sparse = sparse_of(targets, 4)
    for seed in range(10):
        torch.manual_seed(seed)
        _, expected = make()(images, sparse.dense(CLASSES))
        torch.manual_seed(seed)
        _, mixed = make(num_classes=CLASSES)(images, sparse)
        assert isinstance(mixed, rt.SparseTargets)
        assert torch.allclose(mixed.dense(CLASSES), expected, atol=1e-6)


def test_mixup_mixes_all_tokens_alike():
    images, targets = batch((4, 3))
    torch.manual_seed(3)
    _, mixed = rt.MixUp(0.4)(images, targets)
    torch.manual_seed(3)
    torch.rand(())
    lam = float(torch.distributions.Beta(torch.tensor(0.4), torch.tensor(0.4)).sample())
    partners = torch.randperm(5)
    assert torch.allclose(mixed, lam * targets + (1 - lam) * targets[partners], atol=1e-6)


def test_what_cannot_be_mixed_is_refused():
    images, targets = batch((4, 3))
    for mix in (rt.CutMix(), rt.MixUp()):
        with pytest.raises(ValueError, match="num_classes=labels.num_classes"):
            mix(images, sparse_of(targets, 4))
        for bad in (targets[:3], targets[..., 0], targets.long()):
            with pytest.raises(ValueError, match="probabilities"):
                mix(images, bad)
    with pytest.raises(ValueError, match="PoolCollate"):
        rt.CutMix(region=True)(images, targets)


def test_token_labels_through_the_loader(photographs, labels):
    """The collated targets are those of the crops, mixed token by token."""
    transform = v2.Compose([rt.RandomResizedCrop(32), rt.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    dataset = rt.CropDataset(ImageFolder(photographs, transform), labels)
    cutmix = rt.CutMix()
    images, targets = [], []
    for collate in (rt.PoolCollate(dataset, output_size=3), rt.PoolCollate(dataset, output_size=3, cutmix=cutmix)):
        torch.manual_seed(5)
        samples = [dataset[at] for at in range(6)]
        torch.manual_seed(6)
        (one_images, one_targets) = next(iter(DataLoader(samples, batch_size=6, collate_fn=collate)))
        images.append(one_images)
        targets.append(one_targets)
    plain, mixed = targets
    assert mixed.shape == (6, labels.num_classes, 3, 3)
    assert torch.allclose(mixed.sum(1), torch.ones(6, 3, 3), atol=1e-5)
    # Tokens that show only the host keep its target, and the others do not.
    is_host = (images[0] == images[1]).all(1)
    for at in range(6):
        # A token of 32 / 3 pixels shows parts of 11 or 12.
        sides = [slice(0, 11), slice(10, 22), slice(21, 32)]
        unchanged = torch.stack([torch.stack([is_host[at, y, x].all() for x in sides]) for y in sides])
        same = (plain[at] - mixed[at]).abs().amax(0) < 1e-7
        assert (same | ~unchanged).all()
    assert not torch.allclose(plain, mixed)
    with pytest.raises(ValueError, match="does not take output_size"):
        rt.PoolCollate(dataset, output_size=3, cutmix=rt.CutMix(region=True))
