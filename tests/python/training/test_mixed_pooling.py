"""Targets mixed from label maps and predictions of images and tiles, compared with dense arrays read by zarr-python."""

import shutil

import numpy as np
import pytest
import torch
import zarr
from harness import label, run_relabel
from tiled_stores import save_classifier_without_cells, with_calibration
from torchvision.datasets import ImageFolder
from torchvision.ops import roi_align
from torchvision.transforms import v2

import relabel
import relabel.torch as rt

BY_OVERLAP = {
    "map_temperature": 1.0,
    "map_temperature_exponent": 0.0,
    "prediction_temperature": 1.0,
    "prediction_temperature_exponent": 0.0,
    "map_share_bias": -40.0,
    "map_share_slope": 0.0,
    "overlap_sharpness": 8.0,
    "tile_bias": 0.0,
    "tile_map_bias": 0.0,
}
"""The parameters of ``pooling="tiles"``."""

FITTED = {
    "map_temperature": 1.5,
    "map_temperature_exponent": -0.25,
    "prediction_temperature": 1.25,
    "prediction_temperature_exponent": 0.125,
    "map_share_bias": 0.5,
    "map_share_slope": 0.75,
    "overlap_sharpness": 4.0,
    "tile_bias": 0.5,
    "tile_map_bias": -0.25,
}
"""Parameters with which every kind of label counts."""


@pytest.fixture(scope="session")
def tile_map_store(photographs, tmp_path_factory):
    """Labels of the photographs and of five tiles of each, with maps of the tiles, and with calibrated parameters."""
    store = label(photographs, tmp_path_factory.mktemp("stores") / "tiles", "--tiles", "5", "--tile-maps", "--shard-size", 5)
    return with_calibration(store, FITTED)


@pytest.fixture
def tile_map_labels(tile_map_store):
    return relabel.open(tile_map_store)


@pytest.fixture(scope="session")
def mapless_store(photographs, tmp_path_factory):
    """Predictions of a teacher without cells."""
    folder = tmp_path_factory.mktemp("mapless")
    save_classifier_without_cells(folder / "fixed.onnx")
    args = ["--in", photographs, "--out", folder / "labels", "--tiles", "4", "--top-k", 3, "--quiet"]
    run_relabel("run", "--teacher", folder / "fixed.onnx", *args)
    return folder / "labels"


def reference(store, row, box, parameters):
    """Returns the target of a crop as docs/calibrated-pooling.md defines it, from dense maps and predictions."""
    group = zarr.open_group(store, mode="r")
    info = group.attrs["relabel"]
    classes = info["classes"]["count"]
    tiles = info.get("tiles", {"boxes": []})["boxes"]
    entire = [0.0, 0.0, 1.0, 1.0]
    inside = np.clip(box, 0, 1)
    area = max(area_of(inside), 1 / 1024)
    map_temperature = parameters["map_temperature"] * area ** parameters["map_temperature_exponent"]
    prediction_temperature = parameters["prediction_temperature"] * area ** parameters["prediction_temperature_exponent"]

    def overlap(tile):
        common = area_of(intersection(inside, tile))
        return common / (area_of(inside) + area_of(tile) - common)

    def map_probs(scores, ids, region):
        height, width = scores.shape[1:]
        dense = torch.zeros(classes, height, width).scatter_(0, torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(scores))
        x0, y0, x1, y1 = region
        roi = torch.tensor([[0, x0 * width - 0.5, y0 * height - 0.5, x1 * width - 0.5, y1 * height - 0.5]], dtype=torch.float32)
        return softmax(roi_align(dense[None], roi, (1, 1), 1.0, -1, False).flatten().double().numpy() / map_temperature)

    def prediction_probs(probs, ids):
        kept = np.maximum(probs.astype(np.float64), 2.0**-24)
        dense = np.full(classes, max(1 - kept.sum(), 1 / 4096) / (classes - len(kept)))
        dense[ids] = kept
        return softmax(np.log(dense / dense.sum()) / prediction_temperature)

    sharpness = parameters["overlap_sharpness"]
    predictions = [(sharpness * overlap(entire), prediction_probs(group["image_probs"][row], group["image_classes"][row]))]
    maps = []
    if "scores" in group:
        scores, ids = group["scores"][row].astype(np.float32), group["classes"][row]
        maps.append((sharpness * overlap(entire), map_probs(scores, ids, box)))
    for number, tile in enumerate(tiles):
        bias = sharpness * overlap(tile)
        found = prediction_probs(group["tile_probs"][row, number], group["tile_classes"][row, number])
        predictions.append((bias + parameters["tile_bias"], found))
        part = intersection(inside, tile)
        if "tile_map_scores" in group and area_of(part) > 0:
            x0, y0, x1, y1 = tile
            region = (np.array(part) - [x0, y0, x0, y0]) / [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
            scores, ids = group["tile_map_scores"][row, number].astype(np.float32), group["tile_map_classes"][row, number]
            maps.append((bias + parameters["tile_map_bias"], map_probs(scores, ids, region)))
    share = 1 / (1 + np.exp(-(parameters["map_share_bias"] + parameters["map_share_slope"] * np.log(area))))
    groups = [(share, maps), (1 - share, predictions)] if maps else [(1, predictions)]
    target = np.zeros(classes)
    for group_share, sources in groups:
        weights = softmax(np.array([logit for logit, _ in sources]))
        target += group_share * sum(weight * probs for weight, (_, probs) in zip(weights, sources, strict=True))
    return target


def softmax(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


def intersection(first, second):
    return [*np.maximum(first[:2], second[:2]), *np.minimum(first[2:], second[2:])]


def area_of(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def crops(count):
    """Returns boxes inside and across the edge of the image."""
    generator = np.random.default_rng(7)
    low = generator.uniform(-0.2, 0.9, (count, 2))
    edges = [[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0, 1, 1], [0.3, 0.3, 0.31, 0.31], [-1, -1, 2, 2], [0.99, 0.99, 1.5, 1.4]]
    high = np.maximum(low + generator.uniform(0.02, 0.9, (count, 2)), 0.01)
    return np.concatenate([edges, np.concatenate([low, high], axis=1)])


def test_targets_equal_the_formula(tile_map_labels, tile_map_store):
    boxes = crops(30)
    rows = np.arange(len(boxes)) % 4
    for pooling, parameters in (("calibrated", FITTED), ("tiles", BY_OVERLAP)):
        found = tile_map_labels.pool(rows, boxes, pooling=pooling)
        expected = np.stack([reference(tile_map_store, row, box, parameters) for row, box in zip(rows, boxes, strict=True)])
        assert found.dtype == np.float32 and np.allclose(found.sum(axis=1), 1, atol=1e-5)
        assert np.abs(found - expected).max() <= 1e-5, pooling
        sparse = tile_map_labels.pool_sparse(rows, boxes, pooling=pooling)
        assert np.abs(sparse.dense(1000) - found).max() < 1e-6
        assert (np.diff(sparse.probs, axis=1) <= 0).all()
    assert np.array_equal(tile_map_labels.pool(rows, boxes, pooling="paper"), tile_map_labels.pool(rows, boxes))


def test_calibration_without_tiles_mixes_the_map_and_the_prediction(store, tmp_path):
    copy = shutil.copytree(store, tmp_path / "labels")
    with_calibration(copy, FITTED)
    labels = relabel.open(copy)
    boxes = crops(10)
    found = labels.pool([3] * len(boxes), boxes, pooling="calibrated")
    assert np.abs(found - np.stack([reference(copy, 3, box, FITTED) for box in boxes])).max() <= 1e-5
    assert labels.tiles is None and labels.pooling == FITTED


def test_tiles_and_parameters_of_a_store(tile_map_labels, tile_map_store):
    assert tile_map_labels.tiles.dtype == np.float64
    corners = [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]
    assert tile_map_labels.tiles.tolist() == [*corners, [0.25, 0.25, 0.75, 0.75]]
    assert tile_map_labels.pooling == FITTED
    probs, classes = tile_map_labels.tile_predictions(2)
    group = zarr.open_group(tile_map_store, mode="r")
    assert np.array_equal(probs, group["tile_probs"][2]) and np.array_equal(classes, group["tile_classes"][2])
    assert probs.dtype == np.float16 and classes.dtype == np.int64
    assert "7x7 cells, 5 tiles" in repr(tile_map_labels)


def test_options_of_label_pooling_are_refused_by_name(tile_map_labels):
    box = [[0, 0, 1, 1]]
    for pooling in ("tiles", "calibrated"):
        for name, value in (("output_size", 2), ("fill", -4.0), ("fill", "rest"), ("temperature", 2.0)):
            with pytest.raises(ValueError, match=f'{name} does not apply to pooling="{pooling}"'):
                tile_map_labels.pool([0], box, pooling=pooling, **{name: value})
            with pytest.raises(ValueError, match=name):
                tile_map_labels.pool_sparse([0], box, pooling=pooling, **{name: value})
        with pytest.warns(UserWarning), pytest.raises(ValueError, match="convention does not apply"):
            tile_map_labels.pool([0], box, pooling=pooling, convention="naver")
        half = tile_map_labels.pool([0], box, pooling=pooling, dtype=np.float16, flip=[True])
        assert half.dtype == np.float16
    with pytest.raises(ValueError, match="pooling is `mean`\n  help: use paper, tiles, calibrated"):
        tile_map_labels.pool([0], box, pooling="mean")


def test_pooling_that_a_store_cannot_serve_is_refused(labels, photographs):
    assert labels.tiles is None and labels.pooling is None
    with pytest.raises(ValueError, match="has no tiles\n  help: label with `relabel run --tiles`"):
        labels.pool([0], [[0, 0, 1, 1]], pooling="tiles")
    with pytest.raises(ValueError, match="no pooling.json\n  help: run `relabel calibrate`"):
        labels.pool([0], [[0, 0, 1, 1]], pooling="calibrated")
    with pytest.raises(ValueError, match="no tiles"):
        labels.tile_predictions(0)
    # Data sets refuse it before an epoch begins.
    with pytest.raises(ValueError, match="relabel calibrate"):
        rt.LabelMapDataset(ImageFolder(photographs), labels, rt.RandomResizedCrop(32), pooling="calibrated")
    with pytest.raises(ValueError, match='target="image" does not take pooling'):
        rt.LabelMapDataset(ImageFolder(photographs), labels, rt.RandomResizedCrop(32), target="image", pooling="paper")


def test_a_damaged_calibration_is_an_error(tile_map_store, tmp_path):
    copy = shutil.copytree(tile_map_store, tmp_path / "labels")
    text = (copy / "pooling.json").read_text()
    (copy / "pooling.json").write_text(text.replace("1.5", "2.5"))
    with pytest.raises(relabel.StoreError, match="pooling.json"):
        relabel.open(copy).pool([0], [[0, 0, 1, 1]], pooling="calibrated")
    assert relabel.open(copy).pool([0], [[0, 0, 1, 1]]).shape == (1, 1000)


def test_data_sets_pool_as_they_are_told(photographs, tile_map_labels):
    transform = v2.Compose([rt.RandomResizedCrop(32), rt.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32)])
    images = ImageFolder(photographs, transform)
    data = rt.LabelMapDataset(images, tile_map_labels, pooling="calibrated", return_box=True)
    samples = data.__getitems__([1, 5, 9])
    boxes = np.stack([box.numpy() for _, _, box in samples])
    expected = tile_map_labels.pool([1, 5, 9], boxes, pooling="calibrated")
    assert np.array_equal(np.stack([target.numpy() for _, target, _ in samples]), expected)


def test_cutmix_by_region_mixes_targets_of_both_parts(photographs, tile_map_labels):
    transform = v2.Compose([rt.RandomResizedCrop((48, 64)), v2.ToImage(), v2.ToDtype(torch.float32)])
    data = rt.CropDataset(ImageFolder(photographs, transform), tile_map_labels)
    samples = [data[row] for row in range(0, 24, 3)]
    crops = [crop for _, crop in samples]
    # Predictions are those of the host's entire crop, and the pasted part is a crop of its own.
    collate = rt.PoolCollate(data, cutmix=rt.CutMix(region=True), pooling="tiles")
    torch.manual_seed(3)
    state = torch.get_rng_state()
    _, targets = collate(samples)
    torch.set_rng_state(state)
    paste = rt.CutMix(region=True).paste(torch.stack([image for image, _ in samples]))
    x0, y0, x1, y1 = paste.rect
    assert x0 < x1 and y0 < y1
    hosts = tile_map_labels.pool([crop.row for crop in crops], np.float32([crop.box for crop in crops]), pooling="tiles")
    for at, (host, partner) in enumerate(zip(hosts, paste.partners.tolist(), strict=True)):
        other = crops[partner]
        width, height = other.x1 - other.x0, other.y1 - other.y0
        seen = [other.x0 + width * x0 / 64, other.y0 + height * y0 / 48, other.x0 + width * x1 / 64, other.y0 + height * y1 / 48]
        pasted = tile_map_labels.pool([other.row], [seen], pooling="tiles")[0]
        assert np.abs(targets[at].numpy() - (paste.lam * host + (1 - paste.lam) * pasted)).max() < 1e-5


def test_a_store_without_label_maps_pools_by_tiles(mapless_store):
    labels = relabel.open(mapless_store)
    assert labels.map_size is None and len(labels.tiles) == 4
    boxes = crops(10)
    found = labels.pool([1] * len(boxes), boxes)
    assert np.abs(found - np.stack([reference(mapless_store, 1, box, BY_OVERLAP) for box in boxes])).max() <= 1e-5
    with pytest.raises(ValueError, match="no label maps"):
        labels.map(1)
    with pytest.raises(ValueError, match="no label maps"):
        labels.pool([1], boxes[:1], pooling="paper")
    with pytest.raises(ValueError, match='fill does not apply to pooling="tiles"'):
        labels.pool([1], boxes[:1], fill=1.0)
    assert "no cells, 4 tiles" in repr(labels)
