"""Data sets with folder classes, subsets of classes, dicts and iterables."""

import inspect
import shutil
import tarfile
import threading

import numpy as np
import pytest
import torch
from harness import GOLDEN
from PIL import Image
from timm.data import ImageDataset, create_loader
from torch.utils.data import DataLoader, IterableDataset
from torchvision.datasets import ImageFolder, ImageNet
from torchvision.transforms import v2

import relabel
import relabel.torch as rt


def crop():
    return v2.Compose([v2.RandomResizedCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


def batch_of(data, **options):
    torch.manual_seed(0)
    return next(iter(DataLoader(data, 24, **options)))


def test_imagenet_and_timm_data_sets_find_their_files(photographs, labels, tmp_path):
    # The root of torchvision's ImageNet is the parent folder of `train`.
    shutil.copytree(photographs, tmp_path / "train")
    wnids = sorted(folder.name for folder in photographs.iterdir())
    torch.save(({wnid: (f"name {wnid}",) for wnid in wnids}, []), tmp_path / "meta.bin")
    imagenet = ImageNet(tmp_path, split="train", transform=crop())
    assert rt.LabelMapDataset(imagenet, labels).rows.tolist() == list(range(24))
    timm = rt.LabelMapDataset(ImageDataset(str(photographs)), labels)
    names = [str(path).removeprefix(f"{photographs}/").rsplit(".", 1)[0] for path, _ in timm.dataset.reader.samples]
    assert [labels.ids()[row] for row in timm.rows] == names and len(names) == 24
    # timm would return the next image with the target of one that it cannot read.
    timm.dataset.reader.samples[3] = (str(tmp_path / "meta.bin"), 0)
    timm.transform = crop()
    with pytest.raises(RuntimeError, match="Failed to load"):
        timm[3]
    timm = rt.LabelMapDataset(ImageDataset(str(photographs)), labels)
    # timm's loader sets the transform, with its own crop, on the outermost data set.
    loader = create_loader(timm, (3, 32, 32), 6, is_training=True, use_prefetcher=False, num_workers=0)
    images, targets = next(iter(loader))
    assert images.shape == (6, 3, 32, 32) and targets.shape == (6, 1000) and torch.allclose(targets.sum(1), torch.ones(6))


def test_archives_of_timm_need_ids(photographs, labels, tmp_path):
    with tarfile.open(tmp_path / "photographs.tar", "w") as archive:
        for path in sorted(photographs.rglob("*.JPEG")):
            archive.add(path, path.relative_to(photographs))
    data = ImageDataset(str(tmp_path / "photographs.tar"))
    with pytest.raises(TypeError, match="does not list its files in `samples` and `root`\n  help: pass ids="):
        rt.LabelMapDataset(data, labels)
    images = rt.LabelMapDataset(data, labels, crop(), ids=data.filenames(), return_box=True)
    assert sorted(images.rows) == list(range(24))
    _, targets, boxes = batch_of(images)
    assert np.array_equal(targets.numpy(), labels.pool(images.rows, boxes))


def test_classes_are_the_teachers(photographs, labels):
    data = rt.LabelMapDataset(ImageFolder(photographs, crop()), labels)
    assert data.classes == labels.classes and len(data.classes) == 1000
    assert data.class_to_idx == labels.class_to_idx and data.class_to_idx["n01443537"] == 1


def test_a_student_of_some_classes_has_their_targets(photographs, labels):
    folder = ImageFolder(photographs, crop())
    images = rt.LabelMapDataset(folder, labels, classes=folder.classes, return_box=True, return_label=True)
    assert images.classes == folder.classes
    _, targets, boxes, classes = batch_of(images)
    expected = labels.pool(np.arange(24), boxes)[:, [labels.class_to_idx[name] for name in folder.classes]]
    assert np.allclose(targets.numpy(), expected / expected.sum(1, keepdims=True), atol=1e-6)
    assert classes.tolist() == folder.targets
    for wrong, message in [(["n01440764", "cat"], "'cat' is not a class"), (["n01440764"] * 2, "twice"), ([], "must list"), ("n0", "must list")]:
        with pytest.raises(ValueError, match=message):
            rt.LabelMapDataset(folder, labels, classes=wrong)
    one = rt.LabelMapDataset(folder, labels, classes=folder.classes[:1])
    assert torch.equal(batch_of(one)[1], torch.ones(24, 1))


def test_validation_sets_have_the_classes_of_the_targets(photographs, labels):
    folder = ImageFolder(photographs, crop())
    mapped = rt.TeacherClasses(folder, labels)
    assert [mapped[at][1] for at in range(24)] == labels.folder_classes().tolist()
    own = rt.TeacherClasses(folder, labels, classes=folder.classes[::-1])
    assert [own[at][1] for at in range(24)] == [len(folder.classes) - 1 - index for index in folder.targets]
    with pytest.raises(ValueError, match="is not one of the 1 classes of the student"):
        rt.TeacherClasses(folder, labels, classes=folder.classes[:1])


def test_validation_sets_take_the_transform_of_timm(photographs, labels):
    for data in (ImageDataset(str(photographs)), torch.utils.data.Subset(ImageFolder(photographs), range(24))):
        mapped = rt.TeacherClasses(data, labels)
        assert mapped.transform is None
        loader = create_loader(mapped, (3, 32, 32), 24, is_training=False, use_prefetcher=False, num_workers=0)
        images, classes = next(iter(loader))
        assert images.shape == (24, 3, 32, 32) and classes.tolist() == labels.folder_classes().tolist()


def test_the_folder_class_has_a_share_of_the_target(photographs, labels):
    folder = ImageFolder(photographs, crop())
    _, plain = batch_of(rt.LabelMapDataset(folder, labels))
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels.folder_classes()), 1000)
    _, constant = batch_of(rt.LabelMapDataset(folder, labels, hard=0.2))
    assert torch.allclose(constant, 0.8 * plain + 0.2 * one_hot, atol=1e-6)
    _, disagreed = batch_of(rt.LabelMapDataset(folder, labels, hard=0.2, hard_weight="disagreement"))
    weight = 0.2 * (1 - (plain * one_hot).sum(1, keepdim=True))
    assert torch.allclose(disagreed, (1 - weight) * plain + weight * one_hot, atol=1e-6)
    tokens = rt.LabelMapDataset(folder, labels, hard=0.2, output_size=3)
    assert torch.allclose(batch_of(tokens)[1].sum(1), torch.ones(24, 3, 3), atol=1e-5)
    for wrong in (-0.1, 1.1, float("nan"), "0.2"):
        with pytest.raises(ValueError, match="hard is the weight of the folder class"):
            rt.LabelMapDataset(folder, labels, hard=wrong)
    with pytest.raises(ValueError, match="its folder is not a class of the student"):
        rt.LabelMapDataset(folder, labels, hard=0.2, classes=["n01440764"])


def test_cutmix_by_region_mixes_the_folder_classes_by_area(photographs, labels):
    data = rt.CropDataset(ImageFolder(photographs, crop()), labels)
    samples = [data[row] for row in range(0, 24, 3)]
    torch.manual_seed(1)
    _, plain = rt.PoolCollate(data, cutmix=rt.CutMix(region=True))(samples)
    torch.manual_seed(1)
    paste = rt.CutMix(region=True).paste(torch.stack([image for image, _ in samples]))
    torch.manual_seed(1)
    _, hard = rt.PoolCollate(data, cutmix=rt.CutMix(region=True), hard=0.3)(samples)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(labels.folder_classes()[::3]), 1000)
    expected = 0.7 * plain + 0.3 * (paste.lam * one_hot + (1 - paste.lam) * one_hot[paste.partners])
    assert torch.allclose(hard, expected, atol=1e-5)


class Rows(torch.utils.data.Dataset):
    """Rows of a table, as a Hugging Face data set has them."""

    def __init__(self, folder, key):
        self.folder, self.key = folder, key

    def __len__(self):
        return len(self.folder)

    def __getitem__(self, index):
        image, label = self.folder[index]
        return {self.key: image, "label": label}


def test_dicts_have_their_image_under_a_key(photographs, labels):
    rows = Rows(ImageFolder(photographs), "image")
    by_id = rt.LabelMapDataset(rows, labels, crop(), ids=labels.ids(), return_box=True)
    by_row = rt.LabelMapDataset(rows, labels, crop(), ids=range(24), return_box=True)
    for data in (by_id, by_row):
        _, targets, boxes = batch_of(data)
        assert np.array_equal(targets.numpy(), labels.pool(np.arange(24), boxes))
    other = Rows(ImageFolder(photographs), "photo")
    assert rt.LabelMapDataset(other, labels, crop(), ids=range(24), image="photo")[3][0].shape == (3, 32, 32)
    with pytest.raises(KeyError, match="a sample has the keys photo, label, and no 'image'"):
        rt.LabelMapDataset(other, labels, crop(), ids=range(24))[0]


class Stream(IterableDataset):
    """Samples of an archive, as WebDataset yields them."""

    def __init__(self, ids):
        self.ids = ids

    def __iter__(self):
        for name in self.ids:
            image = Image.open(GOLDEN / "images/photos/coffee.JPEG").convert("RGB")
            yield {"__key__": name, "jpg": image, "cls": 7}


def test_iterables_are_looked_up_by_key(labels):
    ids = labels.ids()
    data = rt.LabelMapIterable(Stream(ids), labels, crop(), key="__key__", return_box=True, return_label=True)
    _, targets, boxes, classes = batch_of(data)
    assert np.array_equal(targets.numpy(), labels.pool(ids, boxes)) and classes.tolist() == labels.folder_classes().tolist()
    crops = rt.CropIterable(Stream(ids), labels, crop(), key=lambda sample: sample["__key__"])
    images, targets = batch_of(crops, collate_fn=rt.PoolCollate(crops, cutmix=rt.CutMix(region=True)))
    assert images.shape == (24, 3, 32, 32) and torch.allclose(targets.sum(1), torch.ones(24), atol=1e-5)
    with pytest.raises(TypeError, match="every worker would return all"):
        rt.CropIterable(list(Stream(ids)), labels, crop(), key="__key__")
    with pytest.raises(KeyError, match="and no 'id'"):
        next(iter(rt.CropIterable(Stream(ids), labels, crop(), key="id")))
    with pytest.raises(KeyError, match="elsewhere"):
        next(iter(rt.CropIterable(Stream(["elsewhere"]), labels, crop(), key="__key__")))


def test_iterables_refuse_drop_or_keep_images_without_labels(golden_labels):
    ids = golden_labels.ids()
    with pytest.raises(relabel.NotLabelled, match='missing="drop"'):
        list(rt.LabelMapIterable(Stream(ids), golden_labels, crop(), key="__key__"))
    kept = list(rt.CropIterable(Stream(ids), golden_labels, crop(), key="__key__", missing="drop"))
    assert [found.row for _, found in kept] == np.flatnonzero(golden_labels.labelled()).tolist()
    with pytest.raises(ValueError, match="not a class of the teacher"):
        rt.LabelMapIterable(Stream(ids), golden_labels, crop(), key="__key__", missing="hard")


def test_targets_are_pooled_in_the_training_process(photographs, labels):
    data = rt.CropDataset(ImageFolder(photographs, crop()), labels)
    loader = rt.TargetLoader(DataLoader(data, 7, num_workers=2), temperature=2.0)
    torch.manual_seed(4)
    found = list(loader)
    torch.manual_seed(4)
    crops = [crops for _, crops in DataLoader(data, 7, num_workers=2)]
    assert len(loader) == len(found) == 4
    for (images, targets), expected in zip(found, crops, strict=True):
        boxes = torch.stack(list(expected[:4]), 1).float()
        assert len(images) == len(targets)
        assert np.array_equal(targets.numpy(), labels.pool(expected.row, boxes, temperature=2.0))
    # Stopping early ends the thread, and errors of it arrive.
    for _ in loader:
        break
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("relabel-targets")]
    loader.targets.dense.folder_classes = loader.targets.dense.labels = None
    with pytest.raises(AttributeError):
        next(iter(loader))


def test_the_state_of_a_stateful_loader_is_that_of_the_last_batch(photographs, labels):
    class Counting:
        """A loader whose state is the number of its batches."""

        def __init__(self):
            self.dataset, self.count = rt.CropDataset(ImageFolder(photographs, crop()), labels), 0

        def __iter__(self):
            for batch in DataLoader(self.dataset, 6):
                self.count += 1
                yield batch

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    loader = rt.TargetLoader(Counting())
    assert [loader.state_dict()["count"] for _ in loader] == [1, 2, 3, 4]
    loader.load_state_dict({"count": 9})
    assert loader.state_dict() == {"count": 9}


def test_options_are_named_and_typed_in_every_signature():
    for function in (rt.LabelMapDataset, rt.LabelMapIterable, rt.PoolCollate, rt.TargetLoader, relabel.Labels.pool):
        parameters = inspect.signature(function).parameters.values()
        assert not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)
        assert all(parameter.annotation is not parameter.empty for parameter in parameters if parameter.name != "self")
        assert {"pooling", "output_size", "temperature"} <= {parameter.name for parameter in parameters}


def test_targets_in_the_training_process_of_any_loader(photographs, labels):
    data = rt.CropDataset(ImageFolder(photographs, crop()), labels)
    images, targets = next(iter(rt.TargetLoader(DataLoader(torch.utils.data.Subset(data, [5, 2]), 2))))
    assert len(images) == 2 and targets.shape == (2, 1000)

    class Wrapped:
        """Like the loaders of WebDataset and Accelerate: without ``dataset``, and a ``state_dict`` that its loader lacks."""

        def __iter__(self):
            return iter(DataLoader(data, 12))

        def state_dict(self):
            raise AttributeError("'DataLoader' object has no attribute 'dl_state_dict'")

    loader = rt.TargetLoader(Wrapped(), dataset=data)
    assert sum(len(targets) for _, targets in loader) == 24
    # Lightning saves the state of every loader that has the method, and restores it.
    assert loader.state_dict() == {}
    loader.load_state_dict({})
