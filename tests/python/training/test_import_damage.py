"""`relabel import`: damaged files, and errors of the machine while files are read."""

import errno
import json
import os
import zipfile

import pytest
import torch
from exchange_files import relabel_json, save, write_naver
from harness import PROGRAM, run

import relabel as package
from relabel.exchange import files


class RunsCode:
    """A pickle that would create a folder if it were loaded without restrictions."""

    def __reduce__(self):
        return os.mkdir, ("created-by-pickle",)


def write_damaged(folder):
    """Writes good files and files with every kind of damage. Returns all tensors, and the expected reasons, by path."""
    tensors = write_naver(folder, 20)
    paths = list(tensors)
    good = tensors[paths[0]]

    def with_value(index, value):
        tensor = good.clone()
        tensor[index] = value
        return tensor

    wrong = {
        1: (good[:, :3].clone(), "not-a-map: its shape is [2, 3, 15, 15], that of the others [2, 5, 15, 15]"),
        2: (good.half(), "not-a-map: its dtype is float16, that of the others float32"),
        3: (good.double(), "not-a-map: its dtype is float64"),
        4: (good[0], "not-a-map: its shape is [5, 15, 15]"),
        5: ({"scores": good}, "not-a-map: it contains a dict"),
        6: (with_value((0, 2, 3, 4), float("nan")), "scores: 1 of 225 cells are not finite in float16 (the first: cell y 3, x 4 has NaN"),
        7: (with_value((0, 0, 3, 4), 70000.0), "scores: 1 of 225 cells are not finite in float16 (the first: cell y 3, x 4 has 70000"),
        8: (with_value((1, 0, 3, 4), 1000.0), "not-a-map: cell 3, 4: class id 1000 is out of range (0 to 999)"),
        9: (with_value((1, 0, 3, 4), 7.5), "not-a-map: cell 3, 4: class id 7.5 is not an integer"),
        10: (with_value((1, slice(0, 2), 3, 4), 7.0), "not-a-map: cell 3, 4: class 7 is listed twice"),
    }
    reasons = {paths[number]: reason for number, (_, reason) in wrong.items()}
    save(folder, {paths[number]: tensor for number, (tensor, _) in wrong.items()})
    (folder / paths[11]).write_bytes(b"")
    reasons[paths[11]] = "empty:"
    complete = (folder / paths[12]).read_bytes()
    (folder / paths[12]).write_bytes(complete[: len(complete) // 2])
    reasons[paths[12]] = "not-a-map: PyTorch cannot read it"
    (folder / paths[13]).write_bytes(os.urandom(9000))
    reasons[paths[13]] = "not-a-map: PyTorch cannot read it"
    torch.save(RunsCode(), folder / paths[14])
    reasons[paths[14]] = "not-a-map: PyTorch cannot read it"
    (folder / paths[15]).unlink()
    (folder / paths[15]).symlink_to("nowhere.pt")
    reasons[paths[15]] = "unreadable: No such file"
    return tensors, reasons


def test_damaged_files_fail_by_name_and_the_others_are_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors, reasons = write_damaged(tmp_path / "maps")
    document = relabel_json("import", tmp_path / "maps", "--out", tmp_path / "store", "--shard-size", 6, code=3)
    assert not (tmp_path / "created-by-pickle").exists(), "code in a file was executed"
    assert {failed["path"] for failed in document["failed_images"]} == set(reasons)
    for failed in document["failed_images"]:
        found = f"{failed['kind']}: {failed['reason']}"
        assert found.startswith(reasons[failed["path"]]), found
    labels = package.open(tmp_path / "store")
    for path, tensor in tensors.items():
        if path in reasons:
            with pytest.raises(package.NotLabelled):
                labels.map(path.removesuffix(".pt"))
        else:
            assert torch.equal(torch.from_numpy(labels.map(path.removesuffix(".pt"))[1]), tensor[1].long())
    assert relabel_json("verify", tmp_path / "store", "--full")["passed"]
    assert relabel_json("status", tmp_path / "store")["failed"] == len(reasons)
    document = relabel_json("export", tmp_path / "store", "--out", tmp_path / "out", code=3)
    assert document["skipped"] == {"failed": len(reasons), "to_do": 0}
    written = {str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.pt")}
    assert written == set(tensors) - set(reasons)


def test_tensors_that_claim_more_values_than_their_file_has_fail_by_name(tmp_path):
    tensors = write_naver(tmp_path / "maps", 9)
    paths = list(tensors)
    good = tensors[paths[0]]
    others = {
        paths[1]: (torch.zeros(1).expand(2, 5, 320_000, 320_000), "too-large: its shape is [2, 5, 320000, 320000]"),
        paths[2]: (torch.empty(2, 5, 15, 15, device="meta"), "not-a-map: it contains no values"),
        paths[3]: (torch.zeros(1).expand(2, 5, 400, 400), "not-a-map: its shape is [2, 5, 400, 400]"),
        paths[4]: (good.numpy()[:, ::-1], "not-a-map: PyTorch cannot read it"),
    }
    for path, (tensor, _) in others.items():
        torch.save(tensor, tmp_path / "maps" / path)
    # Dense once loaded: a view of a larger storage, and values that are negated when read.
    torch.save(torch.stack([good, good + 1])[0], tmp_path / "maps" / paths[5])
    torch.save(torch._neg_view(-tensors[paths[6]]), tmp_path / "maps" / paths[6])
    os.mkfifo(tmp_path / "maps" / "n01440764" / "fifo.pt")
    with zipfile.ZipFile(tmp_path / "maps" / paths[7], "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data/0", bytes(100 << 20))
    # The limit of 16 GB makes an attempt to allocate such a tensor fail.
    limited = ["bash", "-c", 'ulimit -v 16000000; exec "$0" "$@"', PROGRAM, "import", tmp_path / "maps", "--out", tmp_path / "store"]
    document = json.loads(run(*limited, "--json", "--threads", 1, code=3).stdout)
    failed = {failed["path"]: f"{failed['kind']}: {failed['reason']}" for failed in document["failed_images"]}
    for path, (_, reason) in others.items():
        assert failed[path].startswith(reason), failed[path]
    assert failed["n01440764/fifo.pt"] == "unreadable: not a regular file"
    assert failed[paths[7]] == "not-a-map: it is a compressed archive, which PyTorch does not write"
    assert set(failed) == {*others, "n01440764/fifo.pt", paths[7]}
    labels = package.open(tmp_path / "store")
    for path, tensor in [(paths[5], good), (paths[6], tensors[paths[6]])]:
        assert torch.equal(torch.from_numpy(labels.map(path.removesuffix(".pt"))[1]), tensor[1].long())


def test_an_error_of_the_machine_is_not_a_failed_file(tmp_path, monkeypatch):
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
