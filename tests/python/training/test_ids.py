"""Lookup of images by name: ids, paths of a data set, and names that could mean two images."""

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import GOLDEN, label
from torchvision.datasets import ImageFolder

import relabel
import relabel.torch as rt

CLASSES = ["n01", "N01", "n01 ", "e\u0301", "\u00e9", "a.b", "a\\b"]
# Some equal another one with an extension, in another case, with spaces, in another Unicode form or with Windows separators.
STEMS = ["a", "a.jpg", "photo", "photo.v2", "photo.v2.1", "x", "X", "x ", " x", "e\u0301", "\u00e9", "1", "01", "1.5", "b\\x", "x..."]
ENDINGS = [".jpg", ".JPG", ".png"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> tuple[Path, relabel.Labels]:
    """A folder of images with similar names, and its store."""
    root = tmp_path_factory.mktemp("odd")
    chooser = random.Random(5)
    tiny = GOLDEN / "images/odd/tiny_33x47.JPEG"
    for folder in CLASSES:
        (root / "in" / folder).mkdir(parents=True)
        names = [stem + ending for stem in STEMS for ending in ENDINGS]
        # The first folder has only the files that the tests name.
        others = chooser.sample(names, 12) if folder != "n01" else []
        for name in ["a.jpg", "a.jpg.jpg", "photo.jpg", "photo.v2.jpg", *others]:
            shutil.copy(tiny, root / "in" / folder / name)
    return root / "in", relabel.open(label(root / "in", root / "labels", "--input-size", 32))


class Images(torch.utils.data.Dataset):
    """A data set without names."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> None:
        raise AssertionError("images must not be read")


def test_ids_are_found_in_their_rows(odd):
    folder, labels = odd
    ids, rows = labels.ids(), np.arange(len(labels))
    data = ImageFolder(folder)
    files = [str(Path(path).relative_to(folder)) for path, _ in data.samples]
    paths = dict(zip(files, rt.CropDataset(data, labels).rows.tolist(), strict=True))
    assert np.array_equal(labels.rows(ids), rows) and np.array_equal(labels.find_rows(ids), rows)
    for row, name in enumerate(ids):
        if paths.get(name, row) != row:
            # Alone, it could also mean the image whose path it is.
            for find in (labels.rows, labels.find_rows):
                with pytest.raises(KeyError, match="could mean two images"):
                    find(name)
        else:
            assert labels.rows(name)[0] == row
    assert np.array_equal(labels.rows(np.array(ids)), rows)
    assert np.array_equal(rt.CropDataset(Images(len(ids)), labels, ids=ids).rows, rows)
    for seed in range(50):
        some = random.Random(seed).choices(range(len(ids)), k=20)
        assert labels.rows([ids[row] for row in some]).tolist() == some


def test_paths_of_a_data_set_are_found_in_their_rows(odd):
    folder, labels = odd
    data = ImageFolder(folder)
    rows = rt.CropDataset(data, labels).rows
    assert sorted(rows) == list(range(len(labels)))
    by_row = {int(row): path for row, (path, _) in zip(rows, data.samples, strict=True)}
    for row, name in enumerate(labels.ids()):
        path = str(Path(by_row[row]).relative_to(folder))
        assert path == name or path[: path.rindex(".")] == name, (path, name)
    names = [str(Path(path).relative_to(folder)) for path, _ in data.samples]
    assert np.array_equal(rt.CropDataset(Images(len(names)), labels, ids=names).rows, rows)
    assert np.array_equal(rt.CropDataset(Images(len(names)), labels, ids=[f"./{name}" for name in names]).rows, rows)


def test_an_ambiguous_name_is_refused_with_both_images(odd):
    _, labels = odd
    # `n01/a.jpg` is a path, and also the id of `n01/a.jpg.jpg`.
    with pytest.raises(KeyError, match=r"could mean two images: `n01/a.jpg` .*a.jpg.jpg\) and `n01/a` "):
        rt.CropDataset(Images(1), labels, ids=["n01/a.jpg"])
    shared = next(name for name in labels.ids() if name.endswith(".png"))
    stem = shared.removesuffix(".png")
    with pytest.raises(KeyError, match="two images"):
        labels.rows([f"{stem}.webp"])
    with pytest.raises(KeyError, match="two images"):
        labels.find_rows([f"{stem}.webp"])
    with pytest.raises(KeyError, match="are two files, but the store has one image"):
        rt.CropDataset(Images(2), labels, ids=["n01/photo.v2.jpg", "n01/photo.v2.webp"])
    # A name with another extension finds the only image with that stem.
    assert labels.rows("n01/photo.v2.webp")[0] == labels.rows("n01/photo.v2")[0]


def test_errors_of_unknown_names_explain_the_similar_name(odd):
    folder, labels = odd
    ids = labels.ids()
    for name, hint in [
        ("n01/PHOTO", "upper and lower case"),
        ("n01\\photo", "between folders"),
        ("n01/photo.v3", "help"),
        (f"{folder}/n01/photo.jpg", "below the source"),
        ("a.b/photo ", "spaces"),
    ]:
        assert name not in ids
        with pytest.raises(KeyError) as refusal:
            labels.rows([name])
        assert hint in refusal.value.args[0], refusal.value.args[0]
    for mixed in ([ids[0], 1], [1, ids[0]], np.array([ids[0], 1], dtype=object), [b"n01/a"], True):
        with pytest.raises(ValueError):
            labels.rows(mixed)


def test_files_of_other_lengths_cause_a_warning(odd, tmp_path):
    folder, labels = odd
    shutil.copytree(folder, tmp_path / "other")
    for path in (tmp_path / "other").rglob("*.*"):
        if path.is_file():
            path.write_bytes(path.read_bytes() + b"more")
    with pytest.warns(UserWarning, match="differ in length from the labelled files"):
        rt.CropDataset(ImageFolder(tmp_path / "other"), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rt.CropDataset(ImageFolder(folder), labels)
