"""`relabel import` and `relabel export` compared with PyTorch's own reading of the files."""

import numpy as np
import pytest
import torch
import zarr
from exchange_files import (
    densify,
    path_of,
    pooled,
    random_boxes,
    relabel,
    relabel_json,
    save,
    store_bytes,
    write_naver,
    write_token_labeling,
)

import relabel as package


@pytest.mark.filterwarnings("ignore:convention")
@pytest.mark.parametrize("write", [write_naver, write_token_labeling])
def test_imported_label_maps_are_those_of_the_files(tmp_path, write):
    tensors = write(tmp_path / "maps", 12)
    document = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store", "--shard-size", 5)
    assert (document["labelled"], document["failed"], document["shape"]) == (12, 0, [2, 5, 15, 15])
    labels = package.open(tmp_path / "store")
    ids = [path.removesuffix(".pt") for path in tensors]
    assert labels.ids() == ids
    for path, name in zip(tensors, ids):
        scores, classes = labels.map(name)
        published = torch.load(tmp_path / "maps" / path, weights_only=True)
        assert torch.equal(torch.from_numpy(scores), published[0].half())
        assert torch.equal(torch.from_numpy(classes), published[1].long())
    boxes = random_boxes(len(ids), seed=3)
    for convention in ["relabel", "naver"]:
        ours = labels.pool(ids, boxes, convention=convention)
        for at, path in enumerate(tensors):
            # A store rounds scores to float16.
            theirs = pooled(tensors[path].half(), boxes[at], convention=convention)
            assert np.abs(ours[at] - theirs).max() < 1e-5
    assert np.abs(ours[0] - pooled(tensors[path_of(0, 12)].half(), boxes[0])).max() > 1e-3, "the conventions differ"


def test_the_prediction_of_an_imported_image_is_pooled_over_the_entire_image(tmp_path):
    tensors = write_naver(tmp_path / "maps", 3)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    group = zarr.open_group(str(tmp_path / "store"), mode="r")
    for row, tensor in enumerate(tensors.values()):
        entire = pooled(tensor.half(), (0, 0, 1, 1))
        best = np.argsort(-entire, kind="stable")[:5]
        assert np.allclose(group["image_probs"][row], entire[best], rtol=2e-3, atol=1e-6)
        assert list(group["image_classes"][row]) == list(best)
    assert group.attrs["relabel"]["imported"] == {
        "format": "pt",
        "dtype": "float32",
        "rank_axis": "first",
        "orientation": "yx",
        "image_prediction": "pooled",
    }


def test_an_exported_and_imported_store_has_the_same_arrays(tmp_path):
    write_token_labeling(tmp_path / "maps", 9)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "first", "--shard-size", 4)
    for dtype in ["float32", "float16"]:
        out, again = tmp_path / dtype, tmp_path / f"{dtype}.labels"
        document = relabel_json("export", tmp_path / "first", "--out", out, "--dtype", dtype)
        assert (document["exported"], document["files_now"]) == (9, 9)
        published = torch.load(out / path_of(0, 9), weights_only=True)
        assert (str(published.dtype), list(published.shape)) == (f"torch.{dtype}", [2, 5, 15, 15])
        document = relabel_json("import", out, "--out", again, "--shard-size", 4)
        assert document["orientation"]["from"] == "note"
        first, second = store_bytes(tmp_path / "first"), store_bytes(again)
        shards = [file for file in first if "/c." in file]
        assert len(shards) == 4 * 3
        assert all(first[file] == second[file] for file in shards)


def test_older_training_code_reads_an_export(tmp_path):
    write_naver(tmp_path / "maps", 3)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    relabel("export", tmp_path / "store", "--out", tmp_path / "out")
    labels = package.open(tmp_path / "store")
    # Both public readers find a file by the last two parts of the image's path, up to the first dot.
    image = "/data/train/n01440764/n01440764_0000.JPEG"
    tensor = torch.load(tmp_path / "out" / ("/".join(image.split("/")[-2:]).split(".")[0] + ".pt"))
    box = (0.1, 0.2, 0.7, 0.6)
    ours = labels.pool("n01440764/n01440764_0000", [box])[0]
    assert densify(tensor).count_nonzero() == tensor[0].count_nonzero()
    assert np.abs(ours - pooled(tensor, box)).max() < 1e-5


def test_an_export_resumes_and_never_mixes_stores(tmp_path):
    write_naver(tmp_path / "maps", 6)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    relabel("export", tmp_path / "store", "--out", tmp_path / "out")
    complete = store_bytes(tmp_path / "out")
    (tmp_path / "out" / path_of(1, 6)).unlink()
    truncated = tmp_path / "out" / path_of(2, 6)
    truncated.write_bytes(truncated.read_bytes()[:100])
    assert relabel_json("export", tmp_path / "store", "--out", tmp_path / "out")["files_now"] == 2
    assert store_bytes(tmp_path / "out") == complete
    refused = relabel("export", tmp_path / "store", "--out", tmp_path / "out", "--dtype", "float16", code=1)
    assert "dtype: float32 there, float16 requested" in refused.stderr
    refused = relabel("export", tmp_path / "store", "--out", tmp_path / "maps", code=1)
    assert "is not empty and not an earlier export: it contains `n01440764`" in refused.stderr


def test_class_ids_that_float16_cannot_represent_are_refused(tmp_path):
    write_naver(tmp_path / "maps", 3, classes=3000)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store", "--classes", "3000")
    refused = relabel("export", tmp_path / "store", "--out", tmp_path / "out", "--dtype", "float16", code=2)
    assert "only up to 2,048" in refused.stderr and not (tmp_path / "out").exists()
    relabel("export", tmp_path / "store", "--out", tmp_path / "out")
    write_token_labeling(tmp_path / "half", 3)
    refused = relabel("import", tmp_path / "half", "--out", tmp_path / "b", "--classes", "3000", code=2)
    assert "only up to 2048" in refused.stderr


def test_files_of_older_pytorch_versions_are_read(tmp_path):
    tensors = write_naver(tmp_path / "maps", 3)
    for path, tensor in tensors.items():
        torch.save(tensor, tmp_path / "maps" / path, _use_new_zipfile_serialization=False)
    assert relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store")["labelled"] == 3


def test_unsorted_cells_are_sorted(tmp_path):
    tensors = write_naver(tmp_path / "maps", 4)
    save(tmp_path / "maps", {path: tensor.flip(1) for path, tensor in tensors.items()})
    document = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store")
    assert "the import sorts them" in document["rank_axis"]["description"]
    scores, classes = package.open(tmp_path / "store").map(0)
    assert torch.equal(torch.from_numpy(classes), next(iter(tensors.values()))[1].long())
    assert (np.diff(scores.astype(np.float32), axis=0) <= 0).all()
