"""Sparse targets: the store's, as tensors through a loader, and their loss."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import default_collate

import relabel.torch as rt

CLASSES = 30


def random_targets(parts=(), count=7, seed=0):
    """Targets of 0 to 6 classes each, padded to 6."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 6, *parts)
    ids = torch.rand(count, CLASSES, *parts, generator=generator).argsort(1)[:, :6]
    listed = torch.randint(0, 7, (count, 1, *parts), generator=generator)
    listed.flatten()[0] = 0
    is_listed = torch.arange(6).view(1, 6, *(1 for _ in parts)) < listed
    weights = torch.rand(shape, generator=generator) * is_listed
    rest = torch.rand(count, *parts, generator=generator) + 0.01
    total = weights.sum(1) + rest
    return rt.SparseTargets(ids.masked_fill(~is_listed, -1), weights / total[:, None], rest / total)


def naive_dense(targets):
    """Spreads the rest over the classes that are not listed, target by target."""
    ids, probs, rest = (values.movedim(1, -1) if values is not targets.rest else values for values in targets)
    dense = torch.zeros(*rest.shape, CLASSES)
    for at in np.ndindex(*rest.shape):
        listed = ids[at][ids[at] >= 0]
        dense[at] = rest[at] / (CLASSES - len(listed))
        dense[at][listed] = probs[at][: len(listed)]
    return dense.movedim(-1, 1)


@pytest.mark.parametrize("parts", [(), (2, 3)])
def test_dense_targets_have_the_listed_classes_and_equal_shares(parts):
    targets = random_targets(parts)
    assert torch.equal(targets.dense(CLASSES), naive_dense(targets))
    without = rt.SparseTargets(targets.ids[:, :0], targets.probs[:, :0], torch.ones(7, *parts))
    assert torch.allclose(without.dense(CLASSES), torch.tensor(1 / CLASSES))


@pytest.mark.parametrize("parts", [(), (3, 2)])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_and_its_gradient_equal_those_of_dense_targets(parts, reduction):
    targets = random_targets(parts)
    logits = torch.randn(7, CLASSES, *parts, generator=torch.Generator().manual_seed(1)) * 5
    results = []
    for loss in (
        lambda values: rt.soft_cross_entropy(values, targets, reduction=reduction),
        lambda values: cross_entropy(values, targets.dense(CLASSES), reduction=reduction),
    ):
        values = logits.clone().requires_grad_()
        result = loss(values)
        result.sum().backward()
        results.append((result.detach(), values.grad))
    (ours, our_gradient), (expected, gradient) = results
    assert ours.shape == expected.shape
    assert torch.allclose(ours, expected, rtol=1e-6, atol=1e-6)
    assert torch.allclose(our_gradient, gradient, atol=1e-6)


def test_the_loss_of_half_logits_is_computed_in_float32():
    targets, logits = random_targets(), torch.randn(7, CLASSES, generator=torch.Generator().manual_seed(1))
    for dtype in (torch.float16, torch.bfloat16):
        loss = rt.soft_cross_entropy(logits.to(dtype), targets)
        assert loss.dtype == torch.float32
        assert torch.allclose(loss, cross_entropy(logits.to(dtype).float(), targets.dense(CLASSES)), rtol=1e-6)


def test_shapes_that_do_not_match_are_refused():
    targets = random_targets((2, 2))
    for logits in (torch.zeros(7, CLASSES), torch.zeros(6, CLASSES, 2, 2), torch.zeros(7, CLASSES, 2, 3), torch.zeros(7)):
        with pytest.raises(ValueError, match="logits"):
            rt.soft_cross_entropy(logits, targets)
    with pytest.raises(ValueError, match="reduction"):
        rt.soft_cross_entropy(torch.zeros(7, CLASSES, 2, 2), targets, reduction="batchmean")


def test_targets_of_the_store_as_tensors(golden_labels):
    rows, boxes = [21, 24, 23], np.float32([[0, 0, 1, 1], [0.2, 0.2, 0.4, 0.4], [0, 0, 0.5, 1]])
    for size in (None, 2):
        arrays = golden_labels.pool_sparse(rows, boxes, output_size=size)
        targets = rt.SparseTargets.from_numpy(arrays)
        assert np.array_equal(targets.dense(1000).numpy(), arrays.dense(1000))
        assert np.abs(targets.dense(1000).numpy() - golden_labels.pool(rows, boxes, output_size=size)).max() < 1e-6


def test_top_classes_of_the_store_are_those_of_complete_targets(golden_labels):
    generator = np.random.default_rng(3)
    rows = generator.choice(np.flatnonzero(golden_labels.labelled()), 40)
    low = generator.uniform(0, 0.6, (40, 2))
    boxes = np.concatenate([low, low + generator.uniform(0.05, 0.4, (40, 2))], axis=1)
    for options in ({}, {"output_size": 3, "flip": generator.random(40) < 0.5}):
        complete = golden_labels.pool_sparse(rows, boxes, **options)
        count = (complete.ids >= 0).sum(axis=1)
        assert count.max() == complete.ids.shape[1], "the longest target has no padding"
        assert ((complete.ids >= 0) == (np.cumsum(complete.ids >= 0, axis=1) == np.cumsum(np.ones_like(complete.ids), axis=1))).all()
        for top in (1, 4, 70, 5000):
            sparse = golden_labels.pool_sparse(rows, boxes, top=top, threads=1, **options)
            width = min(top, 1000)
            assert sparse.ids.shape[1] == sparse.probs.shape[1] == width
            kept = min(width, complete.ids.shape[1])
            assert np.array_equal(sparse.ids[:, :kept], complete.ids[:, :kept])
            assert np.array_equal(sparse.probs[:, :kept], complete.probs[:, :kept])
            assert (sparse.ids[:, kept:] == -1).all() and (sparse.probs[:, kept:] == 0).all()
            assert np.allclose(sparse.rest, complete.rest + complete.probs[:, kept:].sum(axis=1), atol=1e-6)
            several = golden_labels.pool_sparse(rows, boxes, top=top, threads=3, **options)
            assert all(np.array_equal(one, other) for one, other in zip(sparse, several))
    assert golden_labels.pool_sparse([], np.empty((0, 4))).ids.shape == (0, 0)
    assert golden_labels.pool_sparse([], np.empty((0, 4)), top=5, output_size=2).ids.shape == (0, 5, 2, 2)
    with pytest.raises(ValueError, match="top"):
        golden_labels.pool_sparse(rows, boxes, top=0)


def test_targets_are_collated_pinned_and_moved(monkeypatch):
    targets = random_targets((2, 2))
    batch = default_collate([rt.SparseTargets(*one) for one in zip(*targets)])
    assert isinstance(batch, rt.SparseTargets) and all(torch.equal(a, b) for a, b in zip(batch, targets))
    assert targets.to("meta").dense(CLASSES).shape == (7, CLASSES, 2, 2)
    pinned = []
    # Without a GPU, nothing can be pinned.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values, *_: pinned.append(values.dtype) or values)
    assert isinstance(torch.utils.data._utils.pin_memory.pin_memory(targets), rt.SparseTargets)
    assert isinstance(targets.pin_memory(), rt.SparseTargets)
    assert pinned == [torch.int64, torch.float32, torch.float32] * 2


@pytest.mark.parametrize("parts", [(), (2, 3)])
def test_mixed_targets_equal_mixed_dense_targets(parts):
    host, pasted = random_targets(parts, seed=0), random_targets(parts, seed=1)
    for share in (0.0, 0.3, 1.0, torch.linspace(0, 1, 6).view(2, 3) if parts else torch.linspace(0, 1, 7)):
        mixed = host.mixed(pasted, share, CLASSES)
        weight = share[:, None] if torch.is_tensor(share) and not parts else share
        expected = (1 - weight) * naive_dense(host) + weight * naive_dense(pasted)
        assert torch.allclose(mixed.dense(CLASSES), expected, atol=1e-6)
        listed = mixed.ids >= 0
        assert (listed.int().diff(dim=1) <= 0).all(), "padding is last"
        assert (mixed.probs.diff(dim=1) <= 1e-9).all()
        ordered = mixed.ids.sort(1).values
        assert not ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(), "each class once"
