"""The DALI recipe of ``docs/training.md``: with DALI if it is installed, and with a stand-in of the functions that it uses. On
gradients, each box is that of the pixels."""

import contextlib
import io
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from harness import label
from PIL import Image, ImageOps
from recipe_page import run_blocks

SIDES = {"landscape": (320, 240), "portrait": (240, 320), "square": (256, 256), "rotated": (320, 240)}


def gradient(width, height):
    """An image whose red and green are the position from left and top."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, np.full_like(down, 128)], 2).round().astype(np.uint8))


@pytest.fixture(scope="module")
def gradients(tmp_path_factory) -> Path:
    """``imagenet/train`` of gradients, one of which has an EXIF orientation, and ``imagenet.labels``."""
    root = tmp_path_factory.mktemp("gradients")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, sides in SIDES.items():
        path = root / "imagenet/train/n02123045" / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        gradient(*sides).save(path, quality=100, subsampling=0, **({"exif": exif} if name == "rotated" else {}))
    label(root / "imagenet/train", root / "imagenet.labels")
    return root


@pytest.fixture
def dali():
    """DALI itself."""
    pytest.importorskip("nvidia.dali", reason="DALI, whose wheel has 200 MB, is not installed", exc_type=ImportError)


@pytest.fixture
def stand_in(monkeypatch):
    """A stand-in of the functions of DALI that the recipe uses, one sample at a time."""
    package, plugin = ModuleType("nvidia.dali"), ModuleType("nvidia.dali.plugin.pytorch")
    package.pipeline_def = pipeline_def
    random = np.random.default_rng(0)
    package.__getattr__ = lambda name: fn_of_one_sample(random)
    plugin.DALIGenericIterator = Batches
    nvidia = ModuleType("nvidia")
    nvidia.dali = package
    for name, module in (("nvidia", nvidia), ("nvidia.dali", package), ("nvidia.dali.plugin", ModuleType("plugin")), (plugin.__name__, plugin)):
        monkeypatch.setitem(sys.modules, name, module)


def pipeline_def(**_):
    return lambda function: lambda: function


class Batches:
    """Runs a pipeline once for each file, and returns batches of all of them."""

    def __init__(self, pipelines, names, reader_name):
        self.pipelines, self.names = pipelines, names

    def __iter__(self):
        (pipeline,) = self.pipelines
        samples = []
        # The reader stops after the last file.
        with contextlib.suppress(StopIteration):
            while True:
                samples.append(pipeline())
        yield [{name: torch.from_numpy(np.stack(column)) for name, column in zip(self.names, zip(*samples))}]


def fn_of_one_sample(random):
    """Returns the functions. The documented axes: a crop is anchor and shape with y first; slices take x first by default."""

    remaining = None

    def file(files, labels, random_shuffle, name):
        nonlocal remaining
        remaining = remaining or zip(files, labels)
        path, row = next(remaining)
        return Path(path).read_bytes(), np.array([row], dtype=np.int32)

    def decoded(jpeg, adjust_orientation=True):
        image = Image.open(io.BytesIO(jpeg))
        return np.asarray(ImageOps.exif_transpose(image) if adjust_orientation else image)

    def peek_image_shape(jpeg, adjust_orientation=True):
        return np.array(decoded(jpeg, adjust_orientation).shape, dtype=np.int64)

    def random_crop_generator(shape, random_area, random_aspect_ratio):
        height, width = shape[:2]
        area = height * width * random.uniform(random_area[0], 0.5)
        ratio = random.uniform(*random_aspect_ratio)
        extent = np.minimum(np.round([np.sqrt(area / ratio), np.sqrt(area * ratio)]), shape[:2]).astype(np.int32)
        return random.integers(0, shape[:2] - extent + 1).astype(np.int32), extent

    def image_slice(jpeg, anchor, extent, axis_names="WH", adjust_orientation=True):
        image = decoded(jpeg, adjust_orientation)
        (top, left), (height, width) = (pair if axis_names == "HW" else pair[::-1] for pair in (anchor, extent))
        if top + height > image.shape[0] or left + width > image.shape[1]:
            raise RuntimeError("out of bounds")
        return image[top : top + height, left : left + width]

    def resize(image, size):
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))

    return SimpleNamespace(
        readers=SimpleNamespace(file=file), decoders=SimpleNamespace(image_slice=image_slice),
        peek_image_shape=peek_image_shape, random_crop_generator=random_crop_generator, resize=resize,
    )  # fmt: skip


def shown_boxes(images):
    """Returns the boxes that images of gradients show, ``[n, 4]``."""
    corners = images.float().numpy() / 255
    first, last = corners[:, :2, :2].mean((1, 2)), corners[:, -2:, -2:].mean((1, 2))
    return np.concatenate([first[:, :2], last[:, :2]], 1)


def boxes_of(folder, monkeypatch, changes=None):
    """Runs the recipe and returns the names of the images, the boxes that it computed and those that its images show."""
    monkeypatch.chdir(folder)
    computed, shown, rows = [], [], []
    for _ in range(8):
        names = run_blocks("DALI", {}, changes=changes)
        computed.append(names["boxes"].numpy())
        shown.append(shown_boxes(names["batch"]["images"]))
        rows.append(names["batch"]["rows"].flatten().numpy())
        assert np.allclose(names["targets"].numpy(), names["labels"].pool(rows[-1], computed[-1]), atol=1e-6)
    ids = names["labels"].ids()
    return [ids[row] for row in np.concatenate(rows)], np.concatenate(computed), np.concatenate(shown)


@pytest.mark.parametrize("which", ["dali", "stand_in"])
def test_the_boxes_are_those_of_the_pixels(request, which, gradients, monkeypatch):
    request.getfixturevalue(which)
    names, computed, shown = boxes_of(gradients, monkeypatch)
    assert np.abs(computed - shown).max() < 0.03
    assert {name.split("/")[1] for name in names} == set(SIDES)


CHANGES = {
    "square": {'axis_names="HW", ': ""},
    "rotated": {"adjust_orientation=False": "adjust_orientation=True"},
}


@pytest.mark.parametrize("which", ["dali", "stand_in"])
@pytest.mark.parametrize("image", CHANGES)
def test_the_options_are_required(request, which, image, gradients, tmp_path, monkeypatch):
    """Without them, square images and those with an EXIF orientation are cut elsewhere, without an error."""
    request.getfixturevalue(which)
    (tmp_path / "imagenet/train/n02123045").mkdir(parents=True)
    shutil.copy(gradients / f"imagenet/train/n02123045/{image}.JPEG", tmp_path / "imagenet/train/n02123045")
    (tmp_path / "imagenet.labels").symlink_to(gradients / "imagenet.labels")
    _, computed, shown = boxes_of(tmp_path, monkeypatch, CHANGES[image])
    assert np.abs(computed - shown).max() > 0.1
