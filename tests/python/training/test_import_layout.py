"""`relabel import`: which axis of a published file is which."""

import hashlib
import json

import numpy as np
import torch
from exchange_files import densify, relabel, relabel_json, save, write_naver

import relabel as package


def test_ranks_may_be_the_last_axis_and_flags_name_the_axes(tmp_path):
    tensors = write_naver(tmp_path / "maps", 6, size=(9, 12))
    relabel("import", tmp_path / "maps", "--out", tmp_path / "straight")
    save(tmp_path / "last", {path: tensor.permute(0, 2, 3, 1) for path, tensor in tensors.items()})
    save(tmp_path / "turned", {path: tensor.transpose(2, 3) for path, tensor in tensors.items()})
    document = relabel_json("import", tmp_path / "last", "--out", tmp_path / "a")
    assert (document["rank_axis"]["value"], document["rank_axis"]["from"]) == ("last", "detected")
    document = relabel_json("import", tmp_path / "turned", "--out", tmp_path / "b", "--map-size", "9x12")
    assert (document["orientation"]["value"], document["orientation"]["from"]) == ("xy", "map-size")
    document = relabel_json("import", tmp_path / "turned", "--out", tmp_path / "c", "--orientation", "xy")
    assert (document["orientation"]["from"], document["assumed"]) == ("flag", [])
    expected = package.open(tmp_path / "straight")
    for store in ["a", "b", "c"]:
        labels = package.open(tmp_path / store)
        assert labels.map_size == (9, 12)
        for row in range(len(tensors)):
            for ours, theirs in zip(labels.map(row), expected.map(row)):
                assert np.array_equal(ours, theirs)
    wrong = relabel("import", tmp_path / "turned", "--out", tmp_path / "d", "--map-size", "9x13", code=2)
    assert "--map-size 9x13 does not match the files: 12x9 cells" in wrong.stderr


def reference_store(folder, tensors):
    """Returns a store as `relabel run` would make it, by removing `imported` from an imported one."""
    save(folder / "reference", tensors)
    relabel("import", folder / "reference", "--out", folder / "reference.labels")
    group = folder / "reference.labels/zarr.json"
    described = json.loads(group.read_text())
    info = described["attributes"]["relabel"]
    del info["imported"], info["sha256"]
    # The description and the records contain digests of themselves (docs/format.md).
    identity = {key: value for key, value in info.items() if key != "limit"} | {"tool_version": "", "source": ""}
    identity["teacher"] = info["teacher"] | {"name": "", "card": {}, "card_origins": {}}

    def digest(value):
        return hashlib.sha256(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()

    for record in (folder / "reference.labels/records").iterdir():
        content = json.loads(record.read_text()) | {"made_with": digest(identity)}
        del content["sha256"]
        record.write_text(json.dumps(content | {"sha256": digest(content)}))
    described["attributes"]["relabel"] = info | {"sha256": digest(info)}
    group.write_text(json.dumps(described))
    assert relabel_json("verify", folder / "reference.labels")["passed"]
    return folder / "reference.labels"


def test_a_reference_shows_which_axis_is_y(tmp_path):
    tensors = write_naver(tmp_path / "maps", 24)
    # Another teacher: another map size, and noise on the scores.
    noise = torch.Generator().manual_seed(9)
    other = {}
    for path, tensor in list(tensors.items())[:10]:
        dense = torch.nn.functional.interpolate(densify(tensor)[None], (7, 7), mode="bilinear")[0]
        scores, ids = (dense + torch.randn(dense.shape, generator=noise)).topk(5, dim=0)
        other[path] = torch.stack([scores, ids.float()])
    reference = reference_store(tmp_path, other)
    save(tmp_path / "turned", {path: tensor.transpose(2, 3) for path, tensor in tensors.items()})
    for folder, value in [("maps", "yx"), ("turned", "xy")]:
        document = relabel_json("import", tmp_path / folder, "--out", tmp_path / value, "--reference", reference)
        assert (document["orientation"]["value"], document["orientation"]["from"]) == (value, "reference")
        agreement = document["orientation"]["reference"]
        assert agreement["images"] == 10
        assert agreement[value] > agreement["xy" if value == "yx" else "yx"] + 0.1
        assert document["assumed"] == []
    first, second = package.open(tmp_path / "yx"), package.open(tmp_path / "xy")
    assert all(np.array_equal(first.map(row)[1], second.map(row)[1]) for row in range(24))
    document = relabel_json(
        "import", tmp_path / "turned", "--out", tmp_path / "forced", "--reference", reference, "--orientation", "yx"
    )
    assert "the reference contradicts" in document["warnings"][0]


def test_an_unrelated_reference_leaves_the_orientation_assumed(tmp_path):
    tensors = write_naver(tmp_path / "maps", 8)
    unrelated = reference_store(tmp_path, write_naver(tmp_path / "other", 8, seed=77))
    document = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "a", "--reference", unrelated)
    assert (document["orientation"]["value"], document["orientation"]["from"]) == ("yx", "assumed")
    assert "the reference does not decide it" in document["assumed"][0]
    renamed = {f"n9/{number}.pt": tensor for number, tensor in enumerate(tensors.values())}
    save(tmp_path / "renamed", renamed)
    refused = relabel("import", tmp_path / "renamed", "--out", tmp_path / "b", "--reference", unrelated, code=2)
    assert "labels of none of these images" in refused.stderr


def test_an_assumed_orientation_is_reported(tmp_path):
    write_naver(tmp_path / "maps", 3)
    completed = relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    assert "assumed" in completed.stdout and "assumed" in completed.stderr
    document = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store")
    assert document["orientation"]["from"] == "assumed" and document["images_this_run"] == 0
    info = package.open(tmp_path / "store").info
    assert info["teacher"]["card_origins"]["orientation"] == "assumed"
