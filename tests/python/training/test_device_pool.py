"""Pooling of tensors on their device, compared with the store's own pooling and with torchvision."""

from collections import Counter

import numpy as np
import pytest
import torch
from harness import GOLDEN
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import default_collate
from torchvision.ops import roi_align

import relabel
import relabel.torch as rt
from relabel.torch import device_pool


def random_boxes(count, seed=0):
    generator = np.random.default_rng(seed)
    low = generator.uniform(-0.5, 0.95, (count, 2))
    return np.concatenate([low, np.maximum(low + generator.uniform(0.001, 1.4, (count, 2)), 0.01)], axis=1)


def random_maps(count=6, k=4, size=(5, 8), classes=40, seed=0):
    """Random maps in which a class may occur in a cell once, as in those of a store."""
    generator = np.random.default_rng(seed)
    scores = np.sort(generator.normal(5, 6, (count, k, *size)), axis=1)[:, ::-1].astype(np.float16)
    ids = generator.permuted(np.tile(np.arange(classes), (count, *size, 1)), axis=-1)[..., :k]
    return rt.LabelMaps(torch.from_numpy(scores.copy()), torch.from_numpy(np.moveaxis(ids, -1, 1).astype(np.int16).copy()))


def reference(maps, boxes, num_classes, output_size=(1, 1), fill=0.0, temperature=1.0):
    """RoIAlign of the dense maps, then softmax, as docs/label-pooling.md defines it."""
    count, _, height, width = maps.scores.shape
    dense = torch.full((count, num_classes, height, width), fill).scatter_(1, maps.classes.long(), maps.scores.float())
    rois = boxes * boxes.new_tensor([width, height, width, height]) - 0.5
    numbers = torch.arange(count, dtype=torch.float32)[:, None]
    pooled = roi_align(dense, torch.cat([numbers, rois.float()], 1), output_size, 1.0, -1, False)
    return (pooled.double() / temperature).softmax(1)


def golden_batch(labels, count=40):
    arrays = np.load(GOLDEN / "lite0.npz")
    ids = [str(name).rsplit(".", 1)[0] for name in arrays["ids"]]
    rows = labels.find_rows(ids)
    rows = np.resize(rows[rows >= 0], count)
    return rows, np.concatenate([np.resize(arrays["boxes"].reshape(-1, 4), (count // 2, 4)), random_boxes(count - count // 2)])


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_targets_equal_those_of_the_store(golden_labels, precision):
    rows, boxes = golden_batch(golden_labels)
    boxes = boxes.astype(precision)
    maps = rt.LabelMaps.read(golden_labels, rows)
    flip = np.arange(len(rows)) % 2 == 0
    for options in ({}, {"fill": -4.0, "temperature": 2.5}, {"output_size": (3, 2), "flip": flip}, {"output_size": 9}):
        expected = golden_labels.pool(rows, boxes, **options)
        given = {name: torch.from_numpy(value) if name == "flip" else value for name, value in options.items()}
        found = rt.pool(maps, torch.from_numpy(boxes), num_classes=1000, **given)
        assert found.shape == expected.shape and found.dtype == torch.float32
        assert np.abs(found.numpy() - expected).max() <= 1e-5, options
        for top in (1, 5, 200):
            sparse = rt.pool_sparse(maps, torch.from_numpy(boxes), num_classes=1000, top=top, **given)
            ours = golden_labels.pool_sparse(rows, boxes, top=top, **options)
            assert np.array_equal(sparse.ids.numpy(), ours.ids)
            assert np.abs(sparse.probs.numpy() - ours.probs).max() <= 1e-5
            assert np.abs(sparse.rest.numpy() - ours.rest).max() <= 1e-5


@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_random_maps_equal_torchvision(classes, precision, monkeypatch):
    """Also with float32, for devices without float64, and with maps that contain every class."""
    monkeypatch.setattr(device_pool, "_precision", lambda device: precision)
    for seed, size in enumerate([(5, 8), (1, 1), (12, 3), (15, 15)]):
        maps = random_maps(16, size=size, classes=classes, seed=seed)
        boxes = torch.from_numpy(random_boxes(16, seed))
        for options in ({}, {"output_size": (4, 7)}, {"fill": 2.5, "temperature": 3.0}):
            expected = reference(maps, boxes, classes, **options)
            found = rt.pool(maps, boxes, num_classes=classes, **options)
            assert (found - expected.view_as(found)).abs().max() <= 1e-5
            # All classes fit: nothing is dropped.
            sparse = rt.pool_sparse(maps, boxes, num_classes=classes, top=classes, **options)
            assert (sparse.dense(classes) - found).abs().max() <= 1e-5


def test_groups_of_images_give_the_same_targets():
    maps, boxes = random_maps(11), torch.from_numpy(random_boxes(11))
    for size in (None, 3):
        common = {"num_classes": 40, "output_size": size}
        assert torch.equal(rt.pool(maps, boxes, workspace=1, **common), rt.pool(maps, boxes, **common))
        one, all_ = (rt.pool_sparse(maps, boxes, top=6, workspace=w, **common) for w in (1, 1 << 24))
        assert all(torch.equal(a, b) for a, b in zip(one, all_))


def test_an_empty_batch_and_other_types():
    maps, boxes = random_maps(3), torch.from_numpy(random_boxes(3))
    empty = rt.LabelMaps(maps.scores[:0], maps.classes[:0])
    assert rt.pool(empty, boxes[:0], num_classes=40, output_size=2).shape == (0, 40, 2, 2)
    assert rt.pool_sparse(empty, boxes[:0], num_classes=40, top=3).ids.shape == (0, 3)
    wide = rt.LabelMaps(maps.scores.float(), maps.classes.to(torch.int32))
    expected = rt.pool(maps, boxes, num_classes=40)
    assert torch.equal(rt.pool(wide, boxes, num_classes=40), expected)
    half = rt.pool(maps, boxes, num_classes=40, dtype=torch.float16)
    assert half.dtype == torch.float16 and (half - expected).abs().max() < 1e-3


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[str(function)] += 1
        return function(*args, **(kwargs or {}))


def test_nothing_is_read_back_from_the_device():
    """Values of tensors on the meta device do not exist, so reading one is an error."""
    maps, boxes = random_maps().to("meta"), torch.from_numpy(random_boxes(6)).float()
    flip = torch.zeros(6, dtype=torch.bool)
    for given in (boxes, boxes.to("meta")):
        assert rt.pool(maps, given, num_classes=40, flip=flip.to(given.device)).shape == (6, 40)
        assert rt.pool_sparse(maps, given, num_classes=40, top=5).ids.shape == (6, 5)
    assert rt.pool(maps, boxes, num_classes=40, output_size=3, flip=flip).device.type == "meta"
    assert rt.pool_sparse(maps, boxes, num_classes=40, top=5, output_size=3).ids.shape == (6, 5, 3, 3)
    # The one number that the documentation mentions.
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        rt.pool(maps, boxes.to("meta"), num_classes=40, output_size=3)


def test_the_number_of_operations_does_not_depend_on_the_batch():
    counts = []
    for size in (4, 64):
        with Operations() as operations:
            rt.pool(random_maps(size), torch.from_numpy(random_boxes(size)), num_classes=40)
            rt.pool_sparse(random_maps(size), torch.from_numpy(random_boxes(size)), num_classes=40, top=5)
        counts.append(operations.counts)
    assert counts[0] == counts[1]


def peak_bytes(work):
    """Returns the result, and the largest number of bytes that tensors took at once while it was computed."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = work()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return result, int(np.cumsum([event.nbytes() for event in events]).max())


@pytest.mark.parametrize("size", [7, 15])
def test_token_labels_of_a_batch_take_less_than_a_twentieth_of_the_dense_ones(size):
    count, dense_bytes = 256, 256 * 1000 * 14 * 14 * 4
    maps = random_maps(count, 5, (size, size), 1000)
    boxes = torch.from_numpy(random_boxes(count)).clamp(0, 1).float()
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 0.05)

    def work():
        return rt.pool_sparse(maps, boxes, num_classes=1000, output_size=14, top=5)

    sparse, peak = peak_bytes(work)
    result = sum(values.nbytes for values in sparse)
    assert result == 256 * 14 * 14 * (5 * 12 + 4)
    assert result < 0.02 * dense_bytes
    assert result < peak < 0.05 * dense_bytes, f"{peak / dense_bytes:.3f}"


def test_the_workspace_limits_memory():
    maps, boxes = random_maps(64, 5, (7, 7), 1000), torch.from_numpy(random_boxes(64))
    for workspace in (1 << 20, 4 << 20):
        targets, peak = peak_bytes(lambda: rt.pool(maps, boxes, num_classes=1000, output_size=2, workspace=workspace))  # noqa: B023
        assert targets.nbytes < peak < targets.nbytes + 1.3 * workspace


def test_invalid_boxes_and_maps_are_refused():
    maps, boxes = random_maps(), torch.from_numpy(random_boxes(6))
    for bad in ([0.5, 0, 0.5, 1], [0.5, 0, 0.2, 1], [float("nan"), 0, 1, 1], [0, 0, 1, 20], [1.1, 0, 1.4, 1], [0, -3, 1, -1]):
        with pytest.raises(ValueError, match="row 2 of boxes"):
            rt.pool(maps, boxes.index_copy(0, torch.tensor([2]), torch.tensor([bad], dtype=boxes.dtype)), num_classes=40)
    unlabelled = rt.LabelMaps(*(values.clone() for values in maps))
    unlabelled.scores[4], unlabelled.classes[4] = -torch.inf, -1
    with pytest.raises(ValueError, match="map 4 of the batch is that of an image without labels"):
        rt.pool_sparse(unlabelled, boxes, num_classes=40, top=2)
    with pytest.raises(ValueError, match="map 0 of the batch"):
        rt.pool(maps, boxes, num_classes=39)


def test_invalid_boxes_and_maps_become_nan_where_looking_would_wait(monkeypatch):
    monkeypatch.setattr(device_pool, "refuse_invalid", lambda *_: None)
    maps, boxes = random_maps(), torch.from_numpy(random_boxes(6))
    expected = rt.pool(maps, boxes, num_classes=40, output_size=2)
    maps.scores[1], maps.classes[1] = -torch.inf, -1
    maps.classes[2] = 77
    boxes[3] = torch.tensor([0.5, 0, 0.2, 1])
    boxes[4] = torch.nan
    found = rt.pool(maps, boxes, num_classes=40, output_size=2)
    sparse = rt.pool_sparse(maps, boxes, num_classes=40, output_size=2, top=3)
    assert found[1:5].isnan().all() and sparse.probs[1:5].isnan().all() and sparse.rest[1:5].isnan().all()
    assert sparse.ids.max() < 40
    for kept in (0, 5):
        assert torch.allclose(found[kept], expected[kept], atol=1e-7) and not sparse.probs[kept].isnan().any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_size": 0}, "output_size is 0"),
        ({"output_size": (2, 300)}, r"output_size is \(2, 300\)"),
        ({"temperature": 0.0}, "temperature"),
        ({"fill": float("inf")}, "fill"),
        ({"flip": torch.zeros(5, dtype=torch.bool)}, "flip"),
        ({"num_classes": 70_000}, "num_classes"),
        ({"num_classes": 0}, "num_classes"),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        rt.pool(random_maps(), torch.from_numpy(random_boxes(6)), **({"num_classes": 40} | options))


def test_arguments_of_other_kinds_are_refused():
    maps, boxes = random_maps(), torch.from_numpy(random_boxes(6))
    with pytest.raises(TypeError, match="as_tensor"):
        rt.pool(maps, boxes.numpy(), num_classes=40)
    with pytest.raises(ValueError, match="shape \\[6, 4\\]"):
        rt.pool(maps, boxes[:5], num_classes=40)
    with pytest.raises(ValueError, match="classes must be integers"):
        rt.pool(rt.LabelMaps(maps.scores, maps.scores), boxes, num_classes=40)
    with pytest.raises(ValueError, match="top"):
        rt.pool_sparse(maps, boxes, num_classes=40, top=0)


def test_maps_of_many_images_are_those_of_each(labels):
    ids = labels.ids()
    for threads in (1, 3):
        scores, classes = labels.maps(ids, threads=threads)
        assert scores.dtype == np.float16 and classes.dtype == np.int16
        for row, (one_scores, one_classes) in enumerate(map(labels.map, ids)):
            assert np.array_equal(scores[row], one_scores) and np.array_equal(classes[row], one_classes)
    assert labels.maps([])[0].shape == (0, labels.k, *labels.map_size)
    assert labels.maps([3, 3])[1].shape == (2, labels.k, *labels.map_size)


def test_images_without_labels_have_no_maps(golden_labels):
    failed = next(iter(golden_labels.failed()))
    with pytest.raises(relabel.NotLabelled):
        golden_labels.maps([failed])
    with pytest.raises(KeyError):
        golden_labels.maps(["nothing/of/this/name"])


def test_maps_are_collated_pinned_and_moved(labels, monkeypatch):
    maps = rt.LabelMaps.read(labels, labels.ids()[:5])
    batch = default_collate([rt.LabelMaps(scores, classes) for scores, classes in zip(*maps)])
    assert isinstance(batch, rt.LabelMaps) and all(torch.equal(a, b) for a, b in zip(batch, maps))
    assert maps.to("meta").scores.device.type == "meta"
    pinned = []
    # Without a GPU, nothing can be pinned.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values, *_: pinned.append(values.dtype) or values)
    assert isinstance(torch.utils.data._utils.pin_memory.pin_memory(maps), rt.LabelMaps)
    assert isinstance(maps.pin_memory(), rt.LabelMaps)
    assert pinned == [torch.float16, torch.int16] * 2


def test_coarse_types_are_refused(golden_labels):
    row = int(np.flatnonzero(golden_labels.labelled())[0])
    maps, boxes = rt.LabelMaps.read(golden_labels, [row]), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    for wrong in (
        lambda: rt.pool(maps, boxes.bfloat16(), num_classes=1000),
        lambda: rt.pool(maps, boxes.half(), num_classes=1000),
        lambda: rt.pool(rt.LabelMaps(maps.scores.bfloat16(), maps.classes), boxes, num_classes=1000),
    ):
        with pytest.raises(TypeError, match="which is too coarse\n  help: pass boxes of float32"):
            wrong()
    with pytest.raises(ValueError, match="dtype is torch.int32"):
        rt.pool(maps, boxes, num_classes=1000, dtype=torch.int32)
