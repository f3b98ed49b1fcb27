"""`relabel import`: folders without label maps, and stores that other files or settings made."""

import torch
from exchange_files import path_of, relabel, relabel_json, save, write_naver


def test_other_files_or_settings_do_not_resume_a_store(tmp_path):
    tensors = write_naver(tmp_path / "maps", 6)
    relabel("import", tmp_path / "maps", "--out", tmp_path / "store")
    for flags in [["--orientation", "xy"], ["--classes", "1000"], ["--shard-size", "2"]]:
        refused = relabel("import", tmp_path / "maps", "--out", tmp_path / "store", *flags, code=1)
        assert "was created with different settings" in refused.stderr, refused.stderr
    save(tmp_path / "maps", {path_of(5, 6): tensors[path_of(0, 6)]})
    refused = relabel("import", tmp_path / "maps", "--out", tmp_path / "store", code=1)
    assert "teacher: imported" in refused.stderr
    (tmp_path / "maps" / path_of(5, 6)).unlink()
    refused = relabel("import", tmp_path / "maps", "--out", tmp_path / "store", code=1)
    assert "files: 6 images there, 5 here" in refused.stderr


def test_folders_without_label_maps_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, reason in [("absent", "does not exist"), ("empty", "contains no .pt file")]:
        refused = relabel("import", tmp_path / folder, "--out", tmp_path / "store", code=1)
        assert reason in refused.stderr
        assert not (tmp_path / "store").exists()
    save(tmp_path / "weights", {"n0/a.pt": {"layer": torch.ones(3)}})
    refused = relabel_json("import", tmp_path / "weights", "--out", tmp_path / "store", code=1)
    assert "contains no label maps: none of 1 sampled file is one" in refused["error"]
    save(tmp_path / "flat", {"n0/a.pt": torch.ones(2, 3, 4, 4)})
    refused = relabel("import", tmp_path / "flat", "--out", tmp_path / "store", code=1)
    assert "--rank-axis first" in refused.stderr
    refused = relabel("export", tmp_path / "empty", "--out", tmp_path / "out", code=1)
    assert "not a store" in refused.stderr
    relabel("import", tmp_path / "weights", code=2)
