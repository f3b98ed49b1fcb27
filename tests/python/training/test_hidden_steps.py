"""Steps that make the box of a crop wrong are found wherever a pipeline or a data set hides them."""

import copy
import functools

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset
from torchvision import transforms as v1
from torchvision.datasets import ImageFolder
from torchvision.models import ResNet50_Weights
from torchvision.transforms import v2

import relabel.torch as rt
from relabel.torch.crops import transformed


def crop(**options):
    return v2.RandomResizedCrop(32, **options)


class OnlyInside(Dataset):
    """A subset with a transform, as many projects have."""

    def __init__(self, dataset, indices, transform):
        self.dataset, self.indices, self.transform = dataset, indices, transform

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        image, found = self.dataset[self.indices[index]]
        return self.transform(image), found


class Holder(v2.Transform):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, image):
        return self.step(image)


class InDict:
    def __init__(self, step):
        self.steps = {"only": step}

    def __call__(self, image):
        return self.steps["only"](image)


class InSlots:
    __slots__ = ("step",)

    def __init__(self, step):
        self.step = step

    def __call__(self, image):
        return self.step(image)


class InOtherMethod:
    def __init__(self, step):
        self.step = step

    def apply(self, image):
        return self.step(image)

    def __call__(self, image):
        return self.apply(image)


NAMED = {}


def by_global_name(image):
    return NAMED["step"](image)


def in_global(step):
    NAMED["step"] = step
    return by_global_name


def in_default(step):
    def call(image, step=step):
        return step(image)

    return call


def nested(step):
    for _ in range(20):
        step = v2.Compose([step])
    return step


class FromTorchUtils(InOtherMethod):
    __module__ = "torchutils.steps"


HIDDEN = {
    "lambda v1": lambda step: v1.Lambda(step),
    "lambda v2": lambda step: v2.Lambda(lambda image: step(image)),
    "own transform": Holder,
    "dict": InDict,
    "slots": InSlots,
    "other method": InOtherMethod,
    "bound method": lambda step: InOtherMethod(step).apply,
    "global": in_global,
    "default": in_default,
    "nested": nested,
    "module dict": lambda step: Holder(torch.nn.ModuleDict({"only": step})),
    "name of a package": FromTorchUtils,
    "partial": lambda step: functools.partial(in_default(step)),
    "scripted": lambda step: torch.jit.script(torch.nn.Sequential(step)),
}


@pytest.mark.parametrize("hide", HIDDEN)
@pytest.mark.parametrize("is_first", [False, True])
def test_moving_steps_are_found_wherever_they_are(photographs, labels, hide, is_first):
    hidden = HIDDEN[hide](v2.CenterCrop(30))
    pipeline = v1.Compose([hidden, crop()] if is_first else [crop(), hidden])
    with pytest.raises(ValueError, match=f"CenterCrop {'before' if is_first else 'after'} RandomResizedCrop moves pixels"):
        rt.LabelMapDataset(ImageFolder(photographs, pipeline), labels)


@pytest.mark.parametrize("hide", [name for name in HIDDEN if name not in ("scripted", "module dict")])
def test_crops_and_flips_remember_wherever_they_are(photographs, labels, hide):
    pipeline = v1.Compose([HIDDEN[hide](crop()), HIDDEN[hide](v2.RandomHorizontalFlip(1.0))])
    if hide == "global":
        pipeline = v1.Compose([by_global_name])
        NAMED["step"] = v1.Compose([crop(), v2.RandomHorizontalFlip(1.0)])
    data = rt.CropDataset(ImageFolder(photographs, pipeline), labels)
    assert data[0][1].flipped and data[0][1].box != (0, 0, 1, 1)


@pytest.mark.parametrize(
    "inner, outer, message",
    [
        (v2.CenterCrop(200), crop(), "CenterCrop before RandomResizedCrop"),
        (crop(), v2.RandomAffine(0, translate=(0.3, 0.3)), "RandomAffine after RandomResizedCrop"),
        (v2.RandomVerticalFlip(1.0), crop(), "RandomVerticalFlip before RandomResizedCrop"),
    ],
)
def test_transforms_of_inner_and_outer_data_sets_are_one_pipeline(photographs, labels, inner, outer, message):
    folder = ImageFolder(photographs, inner)
    for wrapped in (folder, Subset(folder, [1, 2]), ConcatDataset([folder, ImageFolder(photographs)])):
        with pytest.raises(ValueError, match=message):
            rt.LabelMapDataset(wrapped, labels, outer)
    with pytest.raises(ValueError, match=message):
        rt.LabelMapDataset(OnlyInside(folder, [1, 2], outer), labels)
    data = rt.LabelMapDataset(ImageFolder(photographs), labels, crop())
    data.dataset.transform = inner
    with pytest.raises(ValueError, match=message):
        data.transform = outer


def test_vertical_flips_are_refused_for_token_labels_whenever_they_are_set(photographs, labels):
    flips = v2.RandomVerticalFlip()
    with pytest.raises(ValueError, match="RandomVerticalFlip after"):
        rt.LabelMapDataset(ImageFolder(photographs, crop()), labels, flips, output_size=4)
    for options in ({"cutmix": rt.CutMix(region=True)}, {"form": "maps"}, {"output_size": 3}):
        data = rt.CropDataset(ImageFolder(photographs), labels)
        rt.PoolCollate(data, **options)
        with pytest.raises(ValueError, match="RandomVerticalFlip after"):
            data.transform = v2.Compose([crop(), flips])
        data = rt.CropDataset(ImageFolder(photographs, crop()), labels, flips)
        with pytest.raises(ValueError, match="RandomVerticalFlip after"):
            rt.PoolCollate(data, **options)


def test_presets_random_orders_and_choices(photographs, labels):
    preset = ResNet50_Weights.IMAGENET1K_V1.transforms()
    for pipeline, message in [
        (v2.Compose([crop(), preset]), "ImageClassification after"),
        (v2.Compose([preset, crop()]), "ImageClassification before"),
        (v2.RandomOrder([crop(), v2.RandomVerticalFlip()]), "RandomVerticalFlip before"),
        (v1.RandomOrder([crop(), v1.RandomVerticalFlip()]), "RandomVerticalFlip before"),
        (v2.RandomChoice([crop(), v2.Compose([v2.RandomVerticalFlip(), crop()])]), "RandomVerticalFlip before"),
        (torch.jit.script(v2.RandomHorizontalFlip()), "RandomHorizontalFlip is compiled by torch.jit.script"),
    ]:
        with pytest.raises(ValueError, match=message):
            rt.LabelMapDataset(ImageFolder(photographs, pipeline), labels)
        with pytest.raises(ValueError, match=message):
            rt.remember_crops(pipeline)


def test_a_moving_step_is_refused_if_the_crop_cannot_be_seen(photographs, labels):
    pipeline = v2.Compose([v2.CenterCrop(30), lambda image: rt.RandomResizedCrop(32)(image)])
    with pytest.raises(ValueError, match="CenterCrop before or after the crop moves pixels"):
        rt.LabelMapDataset(ImageFolder(photographs, pipeline), labels)
    rt.LabelMapDataset(ImageFolder(photographs, pipeline), labels, target="image")


def test_a_crop_of_ones_own_may_extend_one_of_torchvision(photographs, labels):
    class Reporting(v2.CenterCrop):
        def forward(self, image):
            rt.report_crop(0.25, 0.25, 0.75, 0.75)
            return super().forward(image)

    data = rt.CropDataset(ImageFolder(photographs, Reporting(32)), labels)
    assert data[0][1].box == (0.25, 0.25, 0.75, 0.75)


def test_other_classes_with_the_name_of_a_crop_are_not_touched(photographs, labels):
    class RandomResizedCrop:
        def get_params(self):
            return 0, 0, 32, 32

        def __call__(self, image):
            x0, y0, width, height = self.get_params()
            return image.crop((x0, y0, x0 + width, y0 + height))

    data = rt.CropDataset(ImageFolder(photographs, RandomResizedCrop()), labels)
    with pytest.raises(ValueError, match="did not crop it with a known random resized crop"):
        data[0]


def test_an_object_of_several_pipelines_uses_the_one_that_its_method_names(photographs, labels):
    class Module:
        def __init__(self):
            self.train_transform = v2.Compose([crop()])
            self.val_transform = v2.Compose([v2.CenterCrop(32)])
            self.samples = [object()] * 100_000

        def augment(self, image):
            return self.train_transform(image)

    data = rt.CropDataset(ImageFolder(photographs, Module().augment), labels)
    assert data[0][1].box != (0, 0, 1, 1)


@pytest.mark.parametrize("inputs", [lambda image: ("cat", image), lambda image: (image, 3), lambda image: ({"image": image},)])
def test_a_flip_is_noted_whatever_accompanies_the_image(inputs):
    pipeline = rt.remember_crops(v2.Compose([crop(), v2.RandomHorizontalFlip(1.0)]))
    image = v2.functional.to_image(torch.zeros(3, 40, 60, dtype=torch.uint8))
    assert transformed(pipeline, *inputs(image))[1].flipped
    pipeline.transforms[1].p = 0.0
    assert not transformed(pipeline, *inputs(image))[1].flipped


def test_data_sets_that_return_other_images_are_refused(photographs, labels):
    class Part(ImageFolder):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return super().__getitem__([3, 9, 1][index])

    with pytest.raises(ValueError, match="got 24 files for 3 images\n  help: pass ids="):
        rt.LabelMapDataset(Part(photographs, crop()), labels)

    class Retrying(ImageFolder):
        def __getitem__(self, index):
            try:
                return super().__getitem__(index)
            except OSError:
                return self[(index + 1) % len(self)]

    def loader(path):
        if path == broken:
            raise OSError("damaged")
        return load(path)

    folder = Retrying(photographs, crop())
    load, broken = folder.loader, folder.samples[0][0]
    folder.loader = loader
    data = rt.LabelMapDataset(folder, labels)
    assert data[1][1].shape == (1000,)
    for found in (data, copy.deepcopy(data), rt.LabelMapDataset(Subset(folder, [0]), labels)):
        with pytest.raises(ValueError, match="returned the image of .* for image 0, which has another file"):
            found[0]
    folder = ImageFolder(photographs, crop())
    data = rt.LabelMapDataset(folder, labels)
    folder.samples.reverse()
    with pytest.raises(ValueError, match="for image 2, which has another file"):
        next(iter(DataLoader(data, 1, sampler=[2], num_workers=1)))


def test_target_transforms_of_validation_sets_are_refused(photographs, labels):
    with pytest.raises(ValueError, match="has a target_transform"):
        rt.TeacherClasses(ImageFolder(photographs, target_transform=lambda index: 1 - index), labels)


def test_transforms_of_iterables_are_checked_when_they_are_replaced(labels):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(())

    data = rt.CropIterable(Stream(), labels, crop(), key="__key__")
    with pytest.raises(ValueError, match="CenterCrop after"):
        data.transform = v2.Compose([crop(), v2.CenterCrop(20)])
    rt.PoolCollate(data, output_size=3)
    with pytest.raises(ValueError, match="RandomVerticalFlip after"):
        data.transform = v2.Compose([crop(), v2.RandomVerticalFlip()])
