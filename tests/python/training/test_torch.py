"""Data sets and collation, as a training script uses them."""

import numpy as np
import pytest
import torch
from harness import GOLDEN
from PIL import Image
from torch.utils.data import DataLoader, Subset
from torch.utils.data.distributed import DistributedSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel
import relabel.torch as rt


def training_transform(size=64):
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.2),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )


def test_a_sample_has_image_and_target_and_on_request_box_and_folder_class(photographs, labels):
    data = rt.LabelMapDataset(ImageFolder(photographs, training_transform()), labels)
    assert len(data) == 24
    image, target = data[5]
    assert image.shape == (3, 64, 64) and target.shape == (1000,) and target.dtype == torch.float32
    data = rt.LabelMapDataset(ImageFolder(photographs, training_transform()), labels, return_box=True, return_label=True)
    _, target, box, folder_class = data[5]
    assert box.shape == (4,) and box.dtype == torch.float32
    assert np.array_equal(target.numpy(), labels.pool([5], box[None])[0])
    assert folder_class == labels.folder_classes()[5] >= 0


def test_a_batch_is_pooled_in_one_call(photographs, labels, monkeypatch):
    data = rt.LabelMapDataset(ImageFolder(photographs), labels, training_transform(), output_size=2, temperature=2.0)
    calls = []
    pool = relabel.Labels.pool
    monkeypatch.setattr(relabel.Labels, "pool", lambda self, ids, *rest, **more: calls.append(len(ids)) or pool(self, ids, *rest, **more))
    calls.clear()
    images, targets = next(iter(DataLoader(data, batch_size=8)))
    assert calls == [8]
    assert images.shape == (8, 3, 64, 64) and targets.shape == (8, 1000, 2, 2)


def test_collation_pools_the_batch(photographs, labels):
    data = rt.CropDataset(ImageFolder(photographs, training_transform()), labels)
    samples = [data[row] for row in (3, 17)]
    images, targets = rt.PoolCollate(data)(samples)
    assert images.shape == (2, 3, 64, 64)
    boxes = np.float32([crop.box for _, crop in samples])
    assert np.array_equal(targets.numpy(), labels.pool([3, 17], boxes))
    _, global_targets = rt.PoolCollate(data, target="image")(samples)
    assert np.array_equal(global_targets.numpy(), labels.image_targets([3, 17]))


def test_subsets_custom_ids_and_distributed_sampling(photographs, labels):
    folder = ImageFolder(photographs, training_transform())
    subset = rt.LabelMapDataset(Subset(folder, [20, 3]), labels)
    assert subset.rows.tolist() == [20, 3]

    class Nameless(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return folder[index]

    with pytest.raises(TypeError, match="pass ids="):
        rt.LabelMapDataset(Nameless(), labels)
    named = rt.LabelMapDataset(Nameless(), labels, ids=["n02123045/n02123045_0.JPEG", "n02123045/n02123045_1"])
    assert named.rows.tolist() == labels.rows(["n02123045/n02123045_0", "n02123045/n02123045_1"]).tolist()
    with pytest.raises(KeyError, match="1 of 1 images are not in the store.*`elsewhere/7`"):
        rt.LabelMapDataset(Subset(folder, [0]), labels, ids=["elsewhere/7.JPEG"])
    seen = []
    for rank in range(2):
        data = rt.LabelMapDataset(folder, labels)
        sampler = DistributedSampler(data, num_replicas=2, rank=rank, shuffle=True, seed=1)
        for images, targets in DataLoader(data, batch_size=6, sampler=sampler):
            assert len(images) == len(targets) == 6
        seen += list(sampler)
    assert sorted(seen) == list(range(24))


def test_images_without_labels_are_refused_dropped_or_one_hot(golden_labels):
    ids = golden_labels.ids()

    class Photographs(torch.utils.data.Dataset):
        def __len__(self):
            return len(ids)

        def __getitem__(self, index):
            return training_transform(32)(Image.open(GOLDEN / "images/photos/coffee.JPEG").convert("RGB"))

    with pytest.raises(relabel.NotLabelled, match="(?s)5 of 27 images have no labels.*missing="):
        rt.LabelMapDataset(Photographs(), golden_labels, ids=ids)
    dropped = rt.LabelMapDataset(Photographs(), golden_labels, ids=ids, missing="drop")
    assert len(dropped) == 22 and golden_labels.labelled()[dropped.rows].all()
    with pytest.raises(ValueError, match="not a class of the teacher"):
        rt.LabelMapDataset(Photographs(), golden_labels, ids=ids, missing="hard")


def test_missing_labels_become_one_hot_targets(photographs, labels, monkeypatch):
    monkeypatch.setattr(relabel.Labels, "labelled", lambda self: np.arange(24) != 14)
    folder = ImageFolder(photographs, training_transform(32))
    data = rt.LabelMapDataset(folder, labels, missing="hard")
    targets = torch.stack([target for _, target in data.__getitems__([13, 14])])
    assert targets[1].argmax() == 967 and targets[1].max() == 1 and targets[0].max() < 1
    crops = rt.CropDataset(folder, labels, missing="hard")
    torch.manual_seed(5)
    collate = rt.PoolCollate(crops, cutmix=rt.CutMix(region=True))
    _, mixed = collate([crops[row] for row in (13, 14, 15, 2)])
    assert torch.allclose(mixed.sum(1), torch.ones(4), atol=1e-5)
