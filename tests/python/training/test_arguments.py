"""Arguments of pooling: each is right, or an error that explains itself, also when a data set is created."""

import decimal
import fractions
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import REPOSITORY, run_relabel
from torchvision.datasets import ImageFolder

import relabel
import relabel.torch as rt

BOX = [[0, 0, 1, 1]]
TWO = [[0.1, 0.2, 0.6, 0.8], [0.3, 0.0, 0.9, 0.7]]

WRONG_OPTIONS = [
    *[({"output_size": size}, "output_size is .*whole number from 1 to 256") for size in (
        (3, 3, 3), (3,), (), True, (True, 2), 2.5, 2.0, 0, -1, (2, 0), 257, 10**30, "2", "22", np.bool_(True), np.array([2.0, 3.0]), {},
    )],
    *[({"dtype": dtype}, "dtype is .*\n  help: pass float32, float16 or float64") for dtype in (
        "bfloat16", torch.bfloat16, torch.int64, "int8", ">f4", ">f8", np.dtype("float16").newbyteorder(), bool, "4f4", "nonsense", 3,
        [("a", "f4")], object,
    )],
    *[({"temperature": value}, "(temperature is|the temperature)") for value in (
        0, -1, float("nan"), float("inf"), 1e300, 1e-60, "2", None, True, [1.0], 2j,
    )],
    *[({"fill": value}, "fill is") for value in (float("nan"), float("-inf"), 1e39, "zero", "0", None, True, [0.0])],
    *[({"convention": value}, "convention is .*relabel.* or .*naver") for value in ("yx", None, 1, ["naver"])],
    *[({"pooling": value}, "pooling is .*paper") for value in ("mean", 1, True, ["paper"])],
]  # fmt: skip
WRONG_THREADS = [0, -1, True, 2.5, "2", np.float64(2), torch.tensor(True)]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
def test_wrong_options_are_refused_when_a_data_set_is_created(labels, photographs, options, message):
    folder = ImageFolder(photographs)
    for refused in (
        lambda: labels.pool([0], BOX, **options),
        lambda: labels.pool([], [], **options),
        lambda: rt.LabelMapDataset(folder, labels, **options),
        lambda: rt.PoolCollate(rt.CropDataset(folder, labels), **options),
    ):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            refused()
    if "dtype" not in options:
        with pytest.raises(ValueError, match=f"(?s){message}"):
            labels.pool_sparse([0], BOX, **options)
    else:
        with pytest.raises(ValueError, match="dtype is"):
            rt.PoolCollate(rt.CropDataset(folder, labels), cutmix=rt.CutMix(region=True), **options)


def test_options_of_many_types_are_accepted(labels):
    one = labels.pool([3], BOX)
    for dtype in (None, "<f4", "f4", np.float32, np.dtype("=f4"), torch.float32, torch.float):
        assert np.array_equal(labels.pool([3], BOX, dtype=dtype), one) and labels.pool([3], BOX, dtype=dtype).dtype == np.float32
    for dtype, wanted in (("half", np.float16), (np.half, np.float16), (torch.half, np.float16), (float, np.float64), (torch.double, np.float64)):
        assert labels.pool([3], BOX, dtype=dtype).dtype == wanted
    grid = labels.pool([3], BOX, output_size=2)
    for size in (np.int64(2), np.uint8(2), torch.tensor(2), (2, 2), [2, np.int32(2)], np.array([2, 2]), torch.tensor([2, 2]), torch.Size([2, 2])):
        assert np.array_equal(labels.pool([3], BOX, output_size=size), grid)
    assert labels.pool([3], BOX, output_size=(2, 3)).shape == (1, 1000, 2, 3)
    for two in (2, np.float32(2), np.int64(2), torch.tensor(2.0, requires_grad=True), fractions.Fraction(2), decimal.Decimal(2)):
        assert np.array_equal(labels.pool([3], BOX, temperature=two, fill=two), labels.pool([3], BOX, temperature=2.0, fill=2.0))
    for two in (2, np.int64(2), torch.tensor(2)):
        assert np.array_equal(labels.pool([3], BOX, threads=two), one)
        assert relabel.open(labels.path, threads=two).threads == 2
    assert labels.pool_sparse([3], BOX, top=np.int64(4)).ids.shape == (1, 4)


@pytest.mark.parametrize("number", WRONG_THREADS)
def test_numbers_that_are_not_positive_and_whole_are_refused(labels, number):
    for refused in (
        lambda: labels.pool([0], BOX, threads=number),
        lambda: labels.image_targets([0], threads=number),
        lambda: relabel.open(labels.path, threads=number),
    ):
        with pytest.raises(ValueError, match="threads is .*\n  help: pass a whole number of at least 1"):
            refused()
    with pytest.raises(ValueError, match="top is .*\n.*at least 1"):
        labels.pool_sparse([0], BOX, top=number)


def devices():
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", devices())
def test_tensors_are_accepted_as_arrays_are(labels, device):
    wanted = labels.pool([3, 14], np.float32(TWO), output_size=2, flip=[True, False])
    boxes = torch.tensor(TWO, device=device, requires_grad=True)
    for given in (boxes, list(boxes), [list(box) for box in boxes]):
        found = labels.pool(torch.tensor([3, 14], device=device), given, output_size=2, flip=torch.tensor([True, False], device=device))
        # Numbers one by one are Python's, float64.
        assert np.abs(found - wanted).max() < 1e-6
    assert np.array_equal(labels.pool([3, 14], boxes), labels.pool([3, 14], np.float32(TWO)))
    coarse = boxes.to(torch.bfloat16)
    assert np.array_equal(labels.pool([3, 14], coarse), labels.pool([3, 14], coarse.float()))
    partners, rects = torch.tensor([1, 0], device=device), torch.tensor([[2.0, 2, 9, 20]] * 2, device=device)
    mixed = labels.cutmix_targets([3, 14], boxes, partners, rects, torch.Size([32, 32]))
    assert np.array_equal(mixed, labels.cutmix_targets([3, 14], np.float32(TWO), [1, 0], [2, 2, 9, 20], (32, 32)))
    assert np.array_equal(mixed, labels.cutmix_targets([3, 14], np.float32(TWO), [1, 0], [[2, 2, 9, 20]] * 2, 32))
    assert labels.rows(torch.tensor(5, device=device)).tolist() == [5]


POOLS = {
    "pool": lambda labels, boxes, **options: labels.pool([3] * len(boxes), boxes, **options),
    "pool_sparse": lambda labels, boxes, **options: labels.pool_sparse([3] * len(boxes), boxes, **options),
    "tokens": lambda labels, boxes: labels.pool([3] * len(boxes), boxes, output_size=2),
    "cutmix_targets": lambda labels, boxes, **options: labels.cutmix_targets(
        [3] * len(boxes), boxes, range(len(boxes)), [[0, 0, 8, 8]] * len(boxes), 32, **options
    ),
}
OUTSIDE = [[1, 0, 1.5, 1], [-0.5, 0, 0, 1], [0, 1, 1, 1.25], [0, -2, 1, 0], [1.1, 1.1, 1.2, 1.2], [3, 5, 10, 12]]


@pytest.mark.parametrize("name", POOLS)
def test_a_box_without_a_part_inside_the_image_is_refused(labels, tmp_path, name):
    pool = POOLS[name]
    for box in OUTSIDE:
        for dtype in (np.float32, np.float64):
            with pytest.raises(ValueError, match=r"row 1 of boxes: the box does not overlap the image.*\n  help: .*width"):
                pool(labels, np.array([[0, 0, 1, 1], box], dtype=dtype))
    partly = np.array([[-0.5, -0.5, 0.01, 0.01], [0.99, 0.99, 3, 3], [-1, -1, 2, 2]])
    pool(labels, partly)
    if name != "tokens":
        # The box as it is given, whose mirror image at the diagonal is also outside.
        with pytest.warns(UserWarning), pytest.raises(ValueError, match="does not overlap"):
            pool(labels, np.array([[0.2, 1.2, 0.5, 1.5]]), convention="naver")
        with pytest.warns(UserWarning):
            pool(labels, partly, convention="naver")


def test_inspect_refuses_the_crops_that_pooling_refuses(store, photographs):
    for crop in ("1.1,0,1.5,1", "0,-0.5,1,0"):
        assert "does not overlap the image" in run_relabel("inspect", store, 3, "--crop", crop, code=2).stderr
    pixels = run_relabel("inspect", store, 3, "--crop", "5000,0,6000,100", "--image-root", photographs, code=2)
    assert "does not overlap the image" in pixels.stderr
    run_relabel("inspect", store, 3, "--crop", "-0.5,-0.5,0.5,0.5")


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.array(TWO * 2)[:3].T, r"must have shape \[3, 4\], got shape \[4, 3\]\n  help: these are columns.*stack"),
        ([torch.rand(3) for _ in range(4)], "these are columns"),
        ([[0, 0, 224, 224]] * 3, "row 0 of boxes: .*far outside.*\n  help: if these are pixels, divide x by the image's width"),
        ([[0.5, 0.5, 0.4, 0.6]] * 3, "row 0 of boxes: .*reversed, x0 is larger than x1"),
        ([[0, 0, 1, float("nan")]] * 3, "row 0 of boxes: .*not a finite number"),
        (torch.full((3, 4), torch.inf), "row 0 of boxes: .*not a finite number"),
        ([[0, 0, 1, 1], [0, 0, 1]], "cannot read boxes"),
        ([["0", "0", "1", "1"]] * 3, "boxes must be numbers"),
        ([[False, False, True, True]] * 3, "boxes must be numbers, got bool"),
        ([[0, 0, 1, 1j]] * 3, "boxes must be numbers, got complex"),
        (None, "boxes must be numbers"),
        (0.5, r"shape \[3, 4\], got shape \[\]"),
        (np.zeros((3, 1, 4)), r"shape \[3, 4\], got shape \[3, 1, 4\]"),
        ([], r"shape \[3, 4\], got shape \[0\]"),
    ],
)
def test_wrong_boxes_are_refused(labels, boxes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        labels.pool([1, 2, 3], boxes)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rects": [[-1, 0, 5, 5], [0, 0, 5, 5]]}, r"row 0 of rects is \[-1, 0, 5, 5\]\n  help: .*whole pixels"),
        ({"rects": [[0, 0, 5, 5], [0, 0, 4.5, 5]]}, r"row 1 of rects is \[0.0, 0.0, 4.5, 5.0\]"),
        ({"rects": [[0, 0, 5, 2**32]] * 2}, "row 0 of rects is"),
        ({"rects": [[0, 0, float("nan"), 5]] * 2}, "row 0 of rects is"),
        ({"rects": [[0, 0, 5, 5], [0, 0, 33, 5]]}, "row 1 of rects: .*x1 = 33.*not a box in an input of 32x32"),
        ({"rects": [[9, 0, 5, 5], [0, 0, 3, 5]]}, "row 0 of rects: .*x0 = 9"),
        ({"rects": [[0, 0, 5, 5]]}, r"rects of 2 images must have shape \[2, 4\], got shape \[1, 4\]"),
        ({"rects": np.zeros((4, 2), int)}, "these are columns"),
        ({"rects": [["0", "0", "5", "5"]] * 2}, "rects must be numbers"),
        ({"partners": [0, -1]}, "partner -1 of image 1 does not exist: the batch has 2 images"),
        ({"partners": [2, 0]}, "partner 2 of image 0 does not exist"),
        ({"partners": [0.0, 1.0]}, "partners must be positions in the batch, got float64"),
        ({"partners": [True, False]}, "partners must be positions in the batch, got bool"),
        ({"partners": [0]}, r"partners of 2 images must have shape \[2\]"),
        ({"input_size": (32, 32, 3)}, "input_size is"),
        ({"input_size": (32, -32)}, "input_size is"),
        ({"input_size": 32.5}, "input_size is"),
        ({"input_size": (0, 32)}, "input_size is"),
        ({"input_size": (32, 10_000)}, "out of range"),
        ({"flip": [0.5, 1]}, "flip must be True or False for each image, got float64"),
        ({"flip": ["no", "yes"]}, "flip must be True or False"),
        ({"flip": [2, 0]}, "flip must be True or False"),
        ({"flip": True}, r"flip of 2 images must have shape \[2\]"),
    ],
)
def test_wrong_arguments_of_cutmix_by_region_are_refused(labels, changed, message):
    right = {"partners": [1, 0], "rects": [[0, 0, 5, 5]] * 2, "input_size": (32, 32), "flip": [0, 1]}
    assert labels.cutmix_targets([3, 14], TWO, **right).shape == (2, 1000)
    with pytest.raises(ValueError, match=message):
        labels.cutmix_targets([3, 14], TWO, **(right | changed))


def test_ids_of_many_types_are_accepted(labels):
    ids = labels.ids()
    for given in (
        ids[2:4], tuple(ids[2:4]), np.array(ids[2:4]), np.array(ids[2:4], dtype=object), [Path(f"{name}.JPEG") for name in ids[2:4]],
        [np.str_(name) for name in ids[2:4]], [2, 3], (2, 3), range(2, 4), np.uint8([2, 3]), np.array([2, 3], dtype=object),
        torch.tensor([2, 3]), [torch.tensor(2), torch.tensor(3)],
    ):  # fmt: skip
        assert labels.rows(given).tolist() == [2, 3] and labels.rows(given).dtype == np.int64
    for given in (ids[2], Path(ids[2]), f"./{ids[2]}.JPEG", np.str_(ids[2]), np.array(ids[2]), 2, np.int32(2), torch.tensor(2)):
        assert labels.rows(given).tolist() == [2]
        assert np.array_equal(labels.pool(given, BOX), labels.pool([2], BOX))
    for given in ([], (), np.array([]), np.empty(0, dtype=np.int64), torch.empty(0, dtype=torch.long)):
        assert labels.rows(given).shape == (0,) and labels.pool(given, []).shape == (0, 1000)
        assert labels.pool(given, np.empty((0, 4)), output_size=2).shape == (0, 1000, 2, 2)
        assert labels.pool_sparse(given, []).rest.shape == (0,) and labels.image_targets(given).shape == (0, 1000)
        assert labels.cutmix_targets(given, [], [], [], 32).shape == (0, 1000)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.ones(24, dtype=bool), "got bool\n  help: pass the row numbers"),
        ([True, False], "got bool"),
        ([1, True], "got bool"),
        (torch.tensor([True]), "got bool"),
        (True, "type bool"),
        ([0.0], "float64"),
        (1.5, "type float"),
        (b"n01/a", "by name\n  help: decode it"),
        ([b"n01/a"], "by name\n  help: decode it"),
        (np.array([b"n01/a"]), "by name\n  help: decode it"),
        (["n02123045/n02123045_0", 1], "cannot look up 1 .int. by name"),
        ([None], "by name"),
        (None, "type NoneType"),
        ({"a": 1}, "type dict"),
        ([[0]], r"one-dimensional, got shape \[1, 1\]"),
        ([-1], "row -1 does not exist: the store has 24 rows, counted from 0"),
        (-1, "row -1 does not exist"),
        ([0, 24], "row 24 does not exist"),
        (10**30, "row 10+ does not exist"),
        ([2**64 - 1], "row 18446744073709551615 does not exist"),
    ],
)
def test_wrong_ids_are_refused(labels, photographs, ids, message):
    for refused in (labels.rows, labels.map, labels.image_targets, lambda ids: labels.pool(ids, BOX)):
        with pytest.raises(ValueError, match=message):
            refused(ids)


def test_find_rows_takes_one_name_or_several(labels):
    name = labels.ids()[2]
    assert labels.find_rows(name).tolist() == [2] and labels.find_rows(f"{name}.png").tolist() == [2]
    assert labels.find_rows(Path(name)).tolist() == [2]
    assert labels.find_rows([name, "nobody"]).tolist() == [2, -1] and labels.find_rows("nobody").tolist() == [-1]
    assert labels.find_rows([]).tolist() == [] and labels.find_rows(np.array([name])).tolist() == [2]
    for wrong in (b"nobody", [b"nobody"], 1, [1], [name, 1], None, np.array([1])):
        with pytest.raises(ValueError, match="by name\n  help"):
            labels.find_rows(wrong)


def test_one_image_is_asked_for(labels):
    with pytest.raises(ValueError, match="got 2 images"):
        labels.map(labels.ids()[:2])
    with pytest.raises(ValueError, match="got 0 images"):
        labels.map([])


def test_data_sets_and_pooling_find_names_by_one_rule(labels, photographs):
    data, ids = ImageFolder(photographs), labels.ids()
    for names in (
        ids, [f"{name}.JPEG" for name in ids], [f"{name}.webp" for name in ids], [f"./{name}.JPEG" for name in ids],
        [Path(f"{name}.JPEG") for name in ids], np.array(ids), range(24), np.arange(24),
    ):  # fmt: skip
        assert np.array_equal(rt.CropDataset(data, labels, ids=names).rows, labels.rows(names))
        assert np.array_equal(labels.pool(names, BOX * 24), labels.pool(range(24), BOX * 24))
    for names in (["nobody", *ids[1:]], [f"{ids[0]}.jpg", f"{ids[0]}.png", *ids[2:]]):
        for find in (labels.rows, lambda names: rt.CropDataset(data, labels, ids=names)):
            with pytest.raises(KeyError, match="no image `nobody`|are two files, but the store has one image"):
                find(names)
    for wrong in ([True] * 24, [b"a"] * 24, [0.5] * 24, [24] * 24, [None] * 24):
        with pytest.raises(ValueError):
            rt.CropDataset(data, labels, ids=wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1, "1", None, True, [1.0], 1j, 1e-60])
def test_wrong_parameters_of_mixing_are_refused(value):
    for make, name in ((rt.CutMix, "beta"), (rt.MixUp, "alpha")):
        with pytest.raises(ValueError, match=f"{name} is .*\n  help: pass a finite number above 0"):
            make(value)
        if value not in (0, 1e-60):
            with pytest.raises(ValueError, match="prob is .*\n  help: pass a number from 0 to 1"):
                make(prob=value)
    with pytest.raises(ValueError, match="prob is 1.5"):
        rt.CutMix(prob=1.5)
    with pytest.raises(ValueError, match="region is 'yes'"):
        rt.CutMix(region="yes")
    assert rt.CutMix(np.float32(0.5), prob=np.float64(1)).prob == 1 and rt.MixUp(torch.tensor(0.5), prob=0).prob == 0


def test_locations_are_absolute_and_a_home_is_expanded(store, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(store.parent))
    shutil.copytree(store, tmp_path / "~" / "labels")
    for given in (f"~/{store.name}", Path("~") / store.name, str(store).encode(), str(store), store):
        assert relabel.open(given).path == str(store)
    monkeypatch.chdir(tmp_path)
    assert relabel.open("./~/labels").path == str(tmp_path / "~/labels")
    assert relabel.open(store, cache="~/copies").cache == str(store.parent / "copies")
    assert relabel.open(store, cache=Path("copies")).cache == tmp_path / "copies"
    assert relabel.open(store, cache=False).cache is False and relabel.open(store).cache is None
    # `..` after a link leads to the parent of its target.
    (tmp_path / "link").symlink_to(store)
    assert len(relabel.open(f"link/../{store.name}")) == 24
    for wrong, message in [
        ("", "path of a store is empty"),
        (3, "path of a store is 3 .int"),
        (None, "path of a store is None"),
        ("~nobody-of-this-name/labels", "has no home folder\n  help: pass ./~nobody"),
        (Path("s3://bucket/labels"), "pathlib changes URLs\n  help: pass the URL as a string: 's3://bucket/labels'"),
        ("nonsense://bucket/labels", "nonsense"),
    ]:
        with pytest.raises(ValueError, match=message):
            relabel.open(wrong)
    for wrong in ("", True, 3, "s3://bucket/copies"):
        with pytest.raises(ValueError, match="cache is"):
            relabel.open(store, cache=wrong)
    with pytest.raises(relabel.StoreError, match=f"{tmp_path}/absent"):
        relabel.open("absent")


def test_classes_are_in_the_order_of_targets(labels):
    assert len(labels.classes) == len(labels.class_to_idx) == labels.num_classes
    assert labels.classes[:2] == ["n01440764", "n01443537"] == labels.info["classes"]["ids"][:2]
    assert labels.class_to_idx["n02123045"] == 281 and labels.class_names[281].startswith("tabby")


@pytest.mark.parametrize(("name", "first"), [("plain", "n01440764"), ("folder-classes", "n00000001"), ("own-list", "0")])
def test_classes_are_the_names_of_folders(tmp_path, name, first):
    shutil.copytree(REPOSITORY / "tests/data/stores/v1" / name, tmp_path / name)
    labels = relabel.open(tmp_path / name)
    assert labels.classes[0] == first
    assert [labels.class_to_idx[name] for name in labels.classes] == list(range(labels.num_classes))
    for image, folder_class in zip(labels.ids(), labels.folder_classes(), strict=True):
        if image.split("/")[0] in labels.class_to_idx:
            assert labels.class_to_idx[image.split("/")[0]] == folder_class
