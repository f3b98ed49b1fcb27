"""`relabel import` and `relabel export` against PyTorch's own reading of the files."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import relabel as package
import torch
from exchange_files import (
    PROGRAM,
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
from relabel.exchange import files


@pytest.mark.filterwarnings("ignore:convention")
@pytest.mark.parametrize("write", [write_naver, write_token_labeling])
def test_imported_labels_are_those_of_the_files(tmp_path, write):
    tensors = write(tmp_path / "maps", 12)
    told = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store", "--shard-size", 5)
    assert (told["labelled"], told["failed"], told["shape"]) == (12, 0, [2, 5, 15, 15])
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
            # What a store holds is rounded to float16.
            theirs = pooled(tensors[path].half(), boxes[at], convention=convention)
            assert np.abs(ours[at] - theirs).max() < 1e-5
    assert np.abs(ours[0] - pooled(tensors[path_of(0, 12)].half(), boxes[0])).max() > 1e-3, "the conventions differ"


def test_the_prediction_of_an_image_is_the_pooled_label_of_all_of_it(tmp_path):
    tensors = write_naver(tmp_path / "maps", 3)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    import zarr

    group = zarr.open_group(str(tmp_path / "store"), mode="r")
    for row, tensor in enumerate(tensors.values()):
        whole = pooled(tensor.half(), (0, 0, 1, 1))
        best = np.argsort(-whole, kind="stable")[:5]
        assert np.allclose(group["image_probs"][row], whole[best], rtol=2e-3, atol=1e-6)
        assert list(group["image_classes"][row]) == list(best)
    assert group.attrs["relabel"]["imported"] == {
        "format": "pt",
        "dtype": "float32",
        "rank_axis": "first",
        "orientation": "yx",
        "image_prediction": "pooled",
    }


def test_a_store_exported_and_imported_has_the_same_arrays(tmp_path):
    write_token_labeling(tmp_path / "maps", 9)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "first", "--shard-size", 4)
    for dtype in ["float32", "float16"]:
        out, again = tmp_path / dtype, tmp_path / f"{dtype}.labels"
        told = relabel_json("export", tmp_path / "first", "--out", out, "--dtype", dtype)
        assert (told["exported"], told["files_now"]) == (9, 9)
        published = torch.load(out / path_of(0, 9), weights_only=True)
        assert (str(published.dtype), list(published.shape)) == (f"torch.{dtype}", [2, 5, 15, 15])
        told = relabel_json("import", out, "--out", again, "--shard-size", 4)
        assert told["orientation"]["from"] == "note"
        first, second = store_bytes(tmp_path / "first"), store_bytes(again)
        shards = [file for file in first if "/c." in file]
        assert len(shards) == 4 * 3
        assert all(first[file] == second[file] for file in shards)


def test_old_training_code_reads_an_export(tmp_path):
    write_naver(tmp_path / "maps", 3)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    relabel("export", tmp_path / "store", "--out", tmp_path / "out")
    labels = package.open(tmp_path / "store")
    # As both public readers find a file: the last two parts of the image's path, up to the first dot.
    image = "/data/train/n01440764/n01440764_0000.JPEG"
    tensor = torch.load(tmp_path / "out" / ("/".join(image.split("/")[-2:]).split(".")[0] + ".pt"))
    box = (0.1, 0.2, 0.7, 0.6)
    ours = labels.pool("n01440764/n01440764_0000", [box])[0]
    assert np.abs(ours - densify_and_pool(tensor, box)).max() < 1e-5


def densify_and_pool(tensor, box):
    assert densify(tensor).count_nonzero() == tensor[0].count_nonzero()
    return pooled(tensor, box)


def damaged(folder):
    """Files that are wrong in every way, beside good ones; what is said of each."""
    tensors = write_naver(folder, 20)
    paths = list(tensors)
    good = tensors[paths[0]]

    def changed(change):
        tensor = good.clone()
        change(tensor)
        return tensor

    def put(place, value):
        return changed(lambda tensor: tensor.__setitem__(place, value))

    wrong = {
        1: (good[:, :3].clone(), "not-a-map: its shape is [2, 3, 15, 15], that of the others [2, 5, 15, 15]"),
        2: (good.half(), "not-a-map: its numbers are float16, those of the others float32"),
        3: (good.double(), "not-a-map: its numbers are float64"),
        4: (good[0], "not-a-map: its shape is [5, 15, 15]"),
        5: ({"scores": good}, "not-a-map: it holds a dict"),
        6: (put((0, 2, 3, 4), float("nan")), "scores: 1 of 225 cells are not finite in float16 (the first: cell y 3, x 4 has NaN"),
        7: (put((0, 0, 3, 4), 70000.0), "scores: 1 of 225 cells are not finite in float16 (the first: cell y 3, x 4 has 70000"),
        8: (put((1, 0, 3, 4), 1000.0), "not-a-map: cell 3, 4: its class id 1000 is none of 1000 classes"),
        9: (put((1, 0, 3, 4), 7.5), "not-a-map: cell 3, 4: its class id 7.5 is not an integer"),
        10: (put((1, slice(0, 2), 3, 4), 7.0), "not-a-map: cell 3, 4: class 7 is listed twice"),
    }
    said = {paths[number]: words for number, (_, words) in wrong.items()}
    save(folder, {paths[number]: tensor for number, (tensor, _) in wrong.items()})
    (folder / paths[11]).write_bytes(b"")
    said[paths[11]] = "empty:"
    whole = (folder / paths[12]).read_bytes()
    (folder / paths[12]).write_bytes(whole[: len(whole) // 2])
    said[paths[12]] = "not-a-map: PyTorch cannot read it"
    (folder / paths[13]).write_bytes(os.urandom(9000))
    said[paths[13]] = "not-a-map: PyTorch cannot read it"
    torch.save(Surprise(), folder / paths[14])
    said[paths[14]] = "not-a-map: PyTorch cannot read it"
    (folder / paths[15]).unlink()
    (folder / paths[15]).symlink_to("nowhere.pt")
    said[paths[15]] = "unreadable: No such file"
    return tensors, said


class Surprise:
    """A file that would run something when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("surprise",)


def test_files_that_cannot_be_read_fail_by_name_and_leave_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors, said = damaged(tmp_path / "maps")
    told = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store", "--shard-size", 6, expect=3)
    assert not (tmp_path / "surprise").exists(), "what was in a file was run"
    assert {failed["path"] for failed in told["failed_images"]} == set(said)
    for failed in told["failed_images"]:
        words = f"{failed['kind']}: {failed['reason']}"
        assert words.startswith(said[failed["path"]]), words
    labels = package.open(tmp_path / "store")
    for path, tensor in tensors.items():
        if path in said:
            with pytest.raises(package.NotLabelled):
                labels.map(path.removesuffix(".pt"))
        else:
            assert torch.equal(torch.from_numpy(labels.map(path.removesuffix(".pt"))[1]), tensor[1].long())
    assert relabel_json("verify", tmp_path / "store", "--full")["passed"]
    assert relabel_json("status", tmp_path / "store")["failed"] == len(said)
    told = relabel_json("export", tmp_path / "store", "--out", tmp_path / "out", expect=3)
    assert told["skipped"] == {"failed": len(said), "to_do": 0}
    written = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.pt")}
    assert written == set(tensors) - set(said)


def test_old_files_of_pytorch_are_read(tmp_path):
    tensors = write_naver(tmp_path / "maps", 3)
    for path, tensor in tensors.items():
        torch.save(tensor, tmp_path / "maps" / path, _use_new_zipfile_serialization=False)
    assert relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store")["labelled"] == 3


def test_cells_that_are_not_sorted_get_sorted(tmp_path):
    tensors = write_naver(tmp_path / "maps", 4)
    save(tmp_path / "maps", {path: tensor.flip(1) for path, tensor in tensors.items()})
    told = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store")
    assert "get sorted" in told["rank_axis"]["words"]
    scores, classes = package.open(tmp_path / "store").map(0)
    assert torch.equal(torch.from_numpy(classes), next(iter(tensors.values()))[1].long())
    assert (np.diff(scores.astype(np.float32), axis=0) <= 0).all()


def test_ranks_may_stand_last_and_axes_be_named(tmp_path):
    tensors = write_naver(tmp_path / "maps", 6, size=(9, 12))
    relabel("import", tmp_path / "maps", "--out", tmp_path / "straight")
    save(tmp_path / "last", {path: tensor.permute(0, 2, 3, 1) for path, tensor in tensors.items()})
    save(tmp_path / "turned", {path: tensor.transpose(2, 3) for path, tensor in tensors.items()})
    told = relabel_json("import", tmp_path / "last", "--out", tmp_path / "a")
    assert (told["rank_axis"]["value"], told["rank_axis"]["from"]) == ("last", "detected")
    told = relabel_json("import", tmp_path / "turned", "--out", tmp_path / "b", "--map-size", "9x12")
    assert (told["orientation"]["value"], told["orientation"]["from"]) == ("xy", "map-size")
    told = relabel_json("import", tmp_path / "turned", "--out", tmp_path / "c", "--orientation", "xy")
    assert (told["orientation"]["from"], told["assumed"]) == ("flag", [])
    expected = package.open(tmp_path / "straight")
    for store in ["a", "b", "c"]:
        labels = package.open(tmp_path / store)
        assert labels.map_size == (9, 12)
        for row in range(len(tensors)):
            for ours, theirs in zip(labels.map(row), expected.map(row)):
                assert np.array_equal(ours, theirs)
    wrong = relabel("import", tmp_path / "turned", "--out", tmp_path / "d", "--map-size", "9x13", expect=2)
    assert "12x9 cells, --map-size says 9x13" in wrong.stderr


def reference_store(folder, tensors):
    """A store as `relabel run` would make it, which only its `imported` tells from an imported one."""
    import hashlib
    import json

    save(folder / "reference", {path: tensor for path, tensor in tensors.items()})
    relabel("import", folder / "reference", "--out", folder / "reference.labels")
    group = folder / "reference.labels/zarr.json"
    described = json.loads(group.read_text())
    info = described["attributes"]["relabel"]
    del info["imported"], info["sha256"]
    # Records and the description carry digests of what they say; format.md tells how they are made.
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
    # Another teacher: of another size, and with scores of its own.
    noise = torch.Generator().manual_seed(9)
    other = {}
    for path, tensor in list(tensors.items())[:10]:
        dense = torch.nn.functional.interpolate(densify(tensor)[None], (7, 7), mode="bilinear")[0]
        scores, ids = (dense + torch.randn(dense.shape, generator=noise)).topk(5, dim=0)
        other[path] = torch.stack([scores, ids.float()])
    reference = reference_store(tmp_path, other)
    save(tmp_path / "turned", {path: tensor.transpose(2, 3) for path, tensor in tensors.items()})
    for folder, value in [("maps", "yx"), ("turned", "xy")]:
        told = relabel_json("import", tmp_path / folder, "--out", tmp_path / value, "--reference", reference)
        assert (told["orientation"]["value"], told["orientation"]["from"]) == (value, "reference")
        agreement = told["orientation"]["reference"]
        assert agreement["images"] == 10
        assert agreement[value] > agreement["xy" if value == "yx" else "yx"] + 0.1
        assert told["assumed"] == []
    first, second = package.open(tmp_path / "yx"), package.open(tmp_path / "xy")
    assert all(np.array_equal(first.map(row)[1], second.map(row)[1]) for row in range(24))
    told = relabel_json(
        "import", tmp_path / "turned", "--out", tmp_path / "forced", "--reference", reference, "--orientation", "yx"
    )
    assert "the reference speaks against" in told["warnings"][0]


def test_a_reference_that_tells_nothing_leaves_an_assumption(tmp_path):
    tensors = write_naver(tmp_path / "maps", 8)
    unrelated = reference_store(tmp_path, write_naver(tmp_path / "other", 8, seed=77))
    told = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "a", "--reference", unrelated)
    assert (told["orientation"]["value"], told["orientation"]["from"]) == ("yx", "assumed")
    assert "which tells nothing" in told["assumed"][0]
    renamed = {f"n9/{number}.pt": tensor for number, tensor in enumerate(tensors.values())}
    save(tmp_path / "renamed", renamed)
    refused = relabel("import", tmp_path / "renamed", "--out", tmp_path / "b", "--reference", unrelated, expect=2)
    assert "labels of none of these images" in refused.stderr


def test_an_assumption_is_said(tmp_path):
    write_naver(tmp_path / "maps", 3)
    told = relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    assert "ASSUMED" in told.stdout and "ASSUMED" in told.stderr
    document = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store")
    assert document["orientation"]["from"] == "assumed" and document["images_this_run"] == 0
    info = package.open(tmp_path / "store").info
    assert info["teacher"]["card_origins"]["orientation"] == "assumed"


def test_an_interrupted_import_goes_on_to_the_same_bytes(tmp_path):
    write_naver(tmp_path / "maps", 240, size=(20, 20))
    words = ["import", str(tmp_path / "maps"), "--shard-size", "8", "--threads", "2", "--out"]
    relabel(*words, tmp_path / "whole")
    codes = []
    for kill in [signal.SIGINT, signal.SIGKILL, signal.SIGTERM, None]:
        process = subprocess.Popen(
            [PROGRAM, *words, str(tmp_path / "store")],
            env=os.environ | {"RELABEL_PYTHON": sys.executable},
            stderr=subprocess.PIPE,
            text=True,
        )
        records = tmp_path / "store/records"
        before = len(list(records.glob("*.json"))) if records.is_dir() else 0
        while kill and process.poll() is None:
            if records.is_dir() and len(list(records.glob("*.json"))) > before + 2:
                process.send_signal(kill)
                break
            time.sleep(0.002)
        said = process.communicate()[1]
        codes.append(process.returncode)
        if process.returncode == 130:
            assert "The same command goes on" in said
    assert codes[-1] == 0
    assert 130 in codes and -signal.SIGKILL in codes, f"nothing was interrupted: {codes}"
    assert store_bytes(tmp_path / "store") == store_bytes(tmp_path / "whole")


def test_an_export_goes_on_and_never_mixes(tmp_path):
    write_naver(tmp_path / "maps", 6)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    relabel("export", tmp_path / "store", "--out", tmp_path / "out")
    whole = store_bytes(tmp_path / "out")
    (tmp_path / "out" / path_of(1, 6)).unlink()
    cut = tmp_path / "out" / path_of(2, 6)
    cut.write_bytes(cut.read_bytes()[:100])
    assert relabel_json("export", tmp_path / "store", "--out", tmp_path / "out")["files_now"] == 2
    assert store_bytes(tmp_path / "out") == whole
    refused = relabel("export", tmp_path / "store", "--out", tmp_path / "out", "--dtype", "float16", expect=1)
    assert "dtype: float32 there, float16 asked for" in refused.stderr
    refused = relabel("export", tmp_path / "store", "--out", tmp_path / "maps", expect=1)
    assert "is not empty (it holds `n01440764`)" in refused.stderr


def test_class_ids_that_float16_cannot_tell_apart_are_refused(tmp_path):
    write_naver(tmp_path / "maps", 3, classes=3000)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store", "--classes", "3000")
    refused = relabel("export", tmp_path / "store", "--out", tmp_path / "out", "--dtype", "float16", expect=2)
    assert "only up to 2,048" in refused.stderr and not (tmp_path / "out").exists()
    relabel("export", tmp_path / "store", "--out", tmp_path / "out")
    write_token_labeling(tmp_path / "half", 3)
    refused = relabel("import", tmp_path / "half", "--out", tmp_path / "b", "--classes", "3000", expect=2)
    assert "exact only up to 2048" in refused.stderr


def test_other_files_or_flags_do_not_go_on_with_a_store(tmp_path):
    tensors = write_naver(tmp_path / "maps", 6)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    for words in [["--orientation", "xy"], ["--classes", "1000"], ["--shard-size", "2"]]:
        refused = relabel("import", tmp_path / "maps", "--out", tmp_path / "store", *words, expect=1)
        assert "was made with something else" in refused.stderr, refused.stderr
    save(tmp_path / "maps", {path_of(5, 6): tensors[path_of(0, 6)]})
    refused = relabel("import", tmp_path / "maps", "--out", tmp_path / "store", expect=1)
    assert "teacher: imported" in refused.stderr
    (tmp_path / "maps" / path_of(5, 6)).unlink()
    refused = relabel("import", tmp_path / "maps", "--out", tmp_path / "store", expect=1)
    assert "files: 6 images there, 5 here" in refused.stderr


def test_what_is_no_folder_of_maps_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, words in [("absent", "does not exist"), ("empty", "holds no .pt file")]:
        refused = relabel("import", tmp_path / folder, "--out", tmp_path / "store", expect=1)
        assert words in refused.stderr
        assert not (tmp_path / "store").exists()
    save(tmp_path / "weights", {"n0/a.pt": {"layer": torch.ones(3)}})
    refused = relabel_json("import", tmp_path / "weights", "--out", tmp_path / "store", expect=1)
    assert "none of 1 file that were looked at" in refused["error"]
    save(tmp_path / "flat", {"n0/a.pt": torch.ones(2, 3, 4, 4)})
    refused = relabel("import", tmp_path / "flat", "--out", tmp_path / "store", expect=1)
    assert "--rank-axis first" in refused.stderr
    refused = relabel("export", tmp_path / "empty", "--out", tmp_path / "out", expect=1)
    assert "is not a store" in refused.stderr
    relabel("import", tmp_path / "weights", expect=2)


def test_tensors_that_claim_more_than_their_file_holds_fail_by_name(tmp_path):
    tensors = write_naver(tmp_path / "maps", 9)
    paths = list(tensors)
    good = tensors[paths[0]]
    others = {
        paths[1]: (torch.zeros(1).expand(2, 5, 320_000, 320_000), "too-large: its shape is [2, 5, 320000, 320000]"),
        paths[2]: (torch.empty(2, 5, 15, 15, device="meta"), "not-a-map: its numbers are not in it"),
        paths[3]: (torch.zeros(1).expand(2, 5, 400, 400), "not-a-map: its shape is [2, 5, 400, 400]"),
        paths[4]: (good.numpy()[:, ::-1], "not-a-map: PyTorch cannot read it"),
    }
    for path, (tensor, _) in others.items():
        torch.save(tensor, tmp_path / "maps" / path)
    # What is a dense tensor when it is read is read: a part of a larger storage, and numbers that are negated when read.
    torch.save(torch.stack([good, good + 1])[0], tmp_path / "maps" / paths[5])
    torch.save(torch._neg_view(-tensors[paths[6]]), tmp_path / "maps" / paths[6])
    os.mkfifo(tmp_path / "maps" / "n01440764" / "fifo.pt")
    with zipfile.ZipFile(tmp_path / "maps" / paths[7], "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data/0", bytes(100 << 20))
    limited = ["bash", "-c", 'ulimit -v 16000000; exec "$0" "$@"', PROGRAM, "import", tmp_path / "maps", "--out", tmp_path / "store"]
    ran = subprocess.run(
        [*map(str, limited), "--json", "--threads", "1"],
        capture_output=True,
        text=True,
        env=os.environ | {"RELABEL_PYTHON": sys.executable},
        timeout=60,
    )
    assert ran.returncode == 3, ran.stderr
    told = json.loads(ran.stdout)
    failed = {failed["path"]: f"{failed['kind']}: {failed['reason']}" for failed in told["failed_images"]}
    for path, (_, words) in others.items():
        assert failed[path].startswith(words), failed[path]
    assert failed["n01440764/fifo.pt"] == "unreadable: it is not a regular file"
    assert failed[paths[7]] == "not-a-map: it is a compressed archive, which PyTorch does not write"
    assert set(failed) == {*others, "n01440764/fifo.pt", paths[7]}
    labels = package.open(tmp_path / "store")
    for path, tensor in [(paths[5], good), (paths[6], tensors[paths[6]])]:
        assert torch.equal(torch.from_numpy(labels.map(path.removesuffix(".pt"))[1]), tensor[1].long())


def test_a_failure_of_the_machine_is_not_a_failed_file(tmp_path, monkeypatch):
    write_naver(tmp_path / "maps", 2)
    listed = files.list_files(tmp_path / "maps")

    def fail(number):
        def opened(*_):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(files.os, "open", opened)

    for number in [errno.EIO, errno.ESTALE, errno.EMFILE]:
        fail(number)
        with pytest.raises(OSError):
            files.read_map(tmp_path / "maps", listed[0])
    fail(errno.EACCES)
    with pytest.raises(files.FileProblem):
        files.read_map(tmp_path / "maps", listed[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_import_that_hangs_ends_soon_after_a_signal(tmp_path, number):
    write_naver(tmp_path / "maps", 2)
    os.mkfifo(tmp_path / "classes.txt")
    process = subprocess.Popen(
        [PROGRAM, "import", tmp_path / "maps", "--out", tmp_path / "store", "--classes", tmp_path / "classes.txt", "--json"],
        env=os.environ | {"RELABEL_PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # It opens the FIFO, and waits for what is never written.
    with open(tmp_path / "classes.txt", "w"):
        time.sleep(0.3)
        process.send_signal(number)
        asked = time.monotonic()
        stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - asked < 5
    assert "interrupted" in json.loads(stdout)["error"]


def test_results_that_cannot_be_written_and_wrong_words_are_told_by_exit_codes(tmp_path):
    write_naver(tmp_path / "maps", 2)
    environment = os.environ | {"RELABEL_PYTHON": sys.executable}
    words = [PROGRAM, "import", tmp_path / "maps", "--out", tmp_path / "store"]
    for more in [[], ["--json"]]:
        with open("/dev/full", "w") as full:
            ran = subprocess.run([*words, *more], stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
        assert (ran.returncode, "No space left" in ran.stderr, "Traceback" in ran.stderr) == (1, True, False), ran.stderr
    module = [sys.executable, "-m", "relabel", "import", "--json", "--threads", "100000", "--out", "x", "y"]
    ran = subprocess.run(module, capture_output=True, text=True)
    assert (ran.returncode, "1024" in json.loads(ran.stdout)["error"]) == (2, True), ran.stderr


def test_names_that_act_on_a_terminal_are_shown_escaped(tmp_path):
    tensors = write_naver(tmp_path / "maps", 2)
    name = "n01440764/a\x1b[2J\nrelabel: done.pt"
    save(tmp_path / "maps", {name: next(iter(tensors.values()))})
    (tmp_path / "maps" / name).write_bytes(b"")
    ran = relabel("import", tmp_path / "maps", "--out", tmp_path / "store", "-v", expect=3)
    assert "a\\u{1b}[2J\\nrelabel: done.pt" in ran.stderr, ran.stderr
    assert "\x1b" not in ran.stderr + ran.stdout
