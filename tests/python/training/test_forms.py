"""Sparse targets, and label maps for the device, as batches of loaders."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel.torch as rt

OPTIONS = [
    {},
    {"temperature": 2.0, "fill": -1.0},
    {"output_size": 3},
    {"hard": 0.3},
    {"hard": 0.3, "hard_weight": "disagreement"},
    {"hard": 0.3, "output_size": (2, 3)},
    {"classes": 7},
    {"classes": 7, "output_size": 2},
    {"classes": 400, "hard": 0.5, "hard_weight": "disagreement"},
]


def crops(photographs, labels, **options):
    transform = v2.Compose(
        [v2.RandomResizedCrop(32), v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    )
    return rt.CropDataset(ImageFolder(photographs, transform), labels, **options)


def with_classes(options, labels):
    """Replaces a number of classes by that many: first those of the folders, then every second one."""
    if "classes" not in options:
        return options
    folders = [labels.classes[index] for index in dict.fromkeys(labels.folder_classes().tolist())]
    others = [name for name in labels.classes[::-2] if name not in folders]
    return options | {"classes": (folders + others)[: options["classes"] if "hard" not in options else 400]}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("loader", [rt.PoolCollate, rt.TargetLoader])
def test_sparse_targets_of_a_loader_equal_its_dense_targets(photographs, labels, options, loader):
    data = crops(photographs, labels)
    options = with_classes(options, labels)

    def batches(**form):
        torch.manual_seed(5)
        if loader is rt.TargetLoader:
            return list(rt.TargetLoader(DataLoader(data, 9, num_workers=2), **options, **form))
        return list(DataLoader(data, 9, num_workers=2, collate_fn=rt.PoolCollate(data, **options, **form)))

    count = len(options.get("classes", labels.classes))
    for (_, dense), (_, sparse), (_, best) in zip(
        batches(), batches(form="sparse"), batches(form="sparse", top=4), strict=True
    ):
        assert isinstance(sparse, rt.SparseTargets)
        assert torch.allclose(sparse.dense(count), dense, atol=1e-6)
        falling = sparse.probs.masked_fill(sparse.ids < 0, -1)
        assert (falling.diff(dim=1) <= 0).all()
        assert best.ids.shape[1] == 4
        listed = min(4, sparse.ids.shape[1])
        assert torch.equal(best.ids[:, :listed], sparse.ids[:, :listed])
        assert torch.allclose(best.probs.sum(1) + best.rest, torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"output_size": 2, "hard": 0.4}], ids=str)
def test_rows_without_labels_have_their_folder_class_in_sparse_targets(photographs, labels, options, monkeypatch):
    is_labelled = np.arange(24) % 3 > 0
    monkeypatch.setattr(type(labels), "labelled", lambda self: is_labelled)
    data = crops(photographs, labels, missing="hard")
    samples = [data[index] for index in range(24)]
    _, dense = rt.PoolCollate(data, **options)(samples)
    _, sparse = rt.PoolCollate(data, form="sparse", **options)(samples)
    assert torch.allclose(sparse.dense(1000), dense, atol=1e-6)
    classes = torch.from_numpy(labels.folder_classes())[~is_labelled]
    first_ids, first_probs = sparse.ids[~is_labelled][:, 0], sparse.probs[~is_labelled][:, 0]
    assert (first_ids.movedim(0, -1) == classes).all() and (first_probs == 1).all()
    _, only = rt.PoolCollate(data, form="sparse", **options)(samples[::3])
    assert torch.allclose(only.dense(1000), dense[::3], atol=1e-6)


def test_classes_that_a_crop_does_not_show_share_its_target(photographs, labels):
    data = crops(photographs, labels)
    samples = [data[index] for index in range(24)]
    shown = set(rt.PoolCollate(data, form="sparse")(samples)[1].ids.flatten().tolist())
    others = [name for index, name in enumerate(labels.classes) if index not in shown][:5]
    _, sparse = rt.PoolCollate(data, form="sparse", classes=others)(samples)
    assert torch.allclose(sparse.dense(5), torch.tensor(0.2))
    # No class has a probability at all, as after softmax of very different scores.
    certain = rt.SparseTargets.one_hot(torch.tensor([3, 4]))
    assert torch.equal(certain.selected(torch.tensor([0, 1]), 10).dense(2), torch.full((2, 2), 0.5))
    assert torch.equal(certain.selected(torch.tensor([4, 1]), 10).dense(2), torch.tensor([[0.5, 0.5], [1.0, 0.0]]))


@pytest.mark.parametrize("options", [{}, {"output_size": 4}], ids=str)
def test_cutmix_mixes_sparse_targets(photographs, labels, options):
    data = crops(photographs, labels)
    samples = [data[index] for index in range(24)]
    results = []
    for form in ("dense", "sparse"):
        torch.manual_seed(2)
        results.append(rt.PoolCollate(data, form=form, cutmix=rt.CutMix(), **options)(samples))
    (images, dense), (same, sparse) = results
    assert torch.equal(images, same) and torch.allclose(sparse.dense(1000), dense, atol=1e-6)
    _, best = rt.PoolCollate(data, form="sparse", top=4, cutmix=rt.CutMix(), **options)(samples)
    assert best.ids.shape[1] == 4


@pytest.mark.parametrize("tokens", [None, 3])
@pytest.mark.parametrize("loader", [rt.PoolCollate, rt.TargetLoader])
def test_a_loader_returns_maps_that_are_pooled_on_the_device(photographs, labels, loader, tokens):
    data = crops(photographs, labels)

    def batches(**options):
        torch.manual_seed(6)
        if loader is rt.TargetLoader:
            return list(rt.TargetLoader(DataLoader(data, 9, num_workers=2), **options))
        return list(DataLoader(data, 9, num_workers=2, collate_fn=rt.PoolCollate(data, **options)))

    for (_, dense), (_, found) in zip(batches(output_size=tokens), batches(form="maps"), strict=True):
        assert isinstance(found, rt.CropMaps)
        crop_maps = found.to("cpu", non_blocking=True)
        targets = rt.pool(
            crop_maps.maps, crop_maps.boxes, num_classes=1000, output_size=tokens, flip=crop_maps.flips if tokens else None
        )
        assert torch.allclose(targets, dense, atol=1e-5)


def test_forms_refuse_what_they_do_not_have(photographs, labels):
    data = crops(photographs, labels)
    for options, message in [
        ({"form": "compact"}, 'form must be "dense", "sparse" or "maps"'),
        ({"top": 5}, 'top is the number of classes of form="sparse"'),
        ({"form": "sparse", "top": 0}, "top"),
        ({"form": "sparse", "top": 2.5}, "top"),
        ({"form": "sparse", "target": "image"}, "does not take target"),
        ({"form": "sparse", "dtype": "float16"}, "does not take dtype"),
        ({"form": "maps", "temperature": 2.0}, "does not take temperature\n  help: leave it out; output_size, temperature"),
        ({"form": "maps", "hard": 0.2}, "does not take hard"),
        ({"form": "maps", "classes": labels.classes[:3]}, "does not take classes"),
    ]:
        with pytest.raises(ValueError, match=message):
            rt.PoolCollate(data, **options)
        with pytest.raises(ValueError, match=message):
            rt.TargetLoader(DataLoader(data, 3), **options)
    with pytest.raises(ValueError, match="RandomVerticalFlip after RandomResizedCrop moves pixels"):
        flipping = v2.Compose([v2.RandomResizedCrop(32), v2.RandomVerticalFlip()])
        rt.PoolCollate(rt.CropDataset(ImageFolder(photographs, flipping), labels), form="maps")
    for form, region, message in [
        ("sparse", True, "CutMix by region does not take form"),
        ("maps", False, "apply CutMix to what relabel.torch.pool returns"),
    ]:
        with pytest.raises(ValueError, match=message):
            rt.PoolCollate(data, form=form, cutmix=rt.CutMix(region=region))


def test_targets_of_a_batch_need_crops(photographs, labels):
    data = crops(photographs, labels)
    targets = rt.LabelMapDataset(data.dataset, labels)
    for function in (rt.PoolCollate, lambda wrong: rt.TargetLoader(DataLoader(wrong, 3))):
        for wrong in (targets, data.dataset):
            with pytest.raises(TypeError, match=f"{type(wrong).__name__} does not return them\n  help: use relabel.torch.CropDataset"):
                function(wrong)
    pooled = DataLoader(data, 3, collate_fn=rt.PoolCollate(data))
    with pytest.raises(TypeError, match="got Tensor instead of crops\n  help: leave out collate_fn"):
        next(iter(rt.TargetLoader(pooled)))
