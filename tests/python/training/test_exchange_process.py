"""`relabel import` and `relabel export` as processes: through the program, with signals, exit codes and terminals."""

import json
import os
import signal
import subprocess
import time

import pytest
from exchange_files import path_of, save, store_bytes, write_naver
from harness import PROGRAM, run_python, run_relabel, run_relabel_json


def test_the_program_imports_and_exports(tmp_path):
    tensors = write_naver(tmp_path / "maps", 6, size=(9, 12))
    save(tmp_path / "turned", {path: tensor.transpose(2, 3) for path, tensor in tensors.items()})
    flags = ["--map-size", "9x12", "--orientation", "xy", "--rank-axis", "first", "--classes", "1000", "--teacher-name", "mine"]
    document = run_relabel_json("import", tmp_path / "turned", "--out", tmp_path / "store", "--shard-size", 4, *flags)
    assert (document["labelled"], document["teacher"], document["rank_axis"]["from"]) == (6, "mine", "flag")
    document = run_relabel_json("export", tmp_path / "store", "--out", tmp_path / "out", "--dtype", "float16")
    assert (document["exported"], document["dtype"], document["shape"]) == (6, "float16", [2, 5, 9, 12])
    assert (tmp_path / "out" / path_of(0, 6)).is_file()


def test_an_interrupted_import_resumes_to_the_same_bytes(tmp_path):
    write_naver(tmp_path / "maps", 240, size=(20, 20))
    args = ["import", str(tmp_path / "maps"), "--shard-size", "8", "--threads", "2", "--out"]
    run_relabel(*args, tmp_path / "complete")
    codes = []
    for kill in [signal.SIGINT, signal.SIGKILL, signal.SIGTERM, None]:
        process = subprocess.Popen([PROGRAM, *args, str(tmp_path / "store")], stderr=subprocess.PIPE, text=True)
        records = tmp_path / "store/records"
        before = len(list(records.glob("*.json"))) if records.is_dir() else 0
        while kill and process.poll() is None:
            if records.is_dir() and len(list(records.glob("*.json"))) > before + 2:
                process.send_signal(kill)
                break
            time.sleep(0.002)
        stderr = process.communicate()[1]
        codes.append(process.returncode)
        if process.returncode == 130:
            assert "the same command resumes" in stderr
    assert codes[-1] == 0
    assert 130 in codes and -signal.SIGKILL in codes, f"nothing was interrupted: {codes}"
    assert store_bytes(tmp_path / "store") == store_bytes(tmp_path / "complete")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_blocked_import_ends_soon_after_a_signal(tmp_path, number):
    write_naver(tmp_path / "maps", 2)
    os.mkfifo(tmp_path / "classes.txt")
    process = subprocess.Popen(
        [PROGRAM, "import", tmp_path / "maps", "--out", tmp_path / "store", "--classes", tmp_path / "classes.txt", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The import opens the FIFO and waits for content that is never written.
    with open(tmp_path / "classes.txt", "w"):
        time.sleep(0.3)
        process.send_signal(number)
        sent = time.monotonic()
        stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - sent < 5
    assert "interrupted" in json.loads(stdout)["error"]


def test_unwritable_results_and_wrong_usage_have_their_exit_codes(tmp_path):
    write_naver(tmp_path / "maps", 2)
    command = [PROGRAM, "import", tmp_path / "maps", "--out", tmp_path / "store"]
    for flags in [[], ["--json"]]:
        with open("/dev/full", "w") as full:
            completed = subprocess.run([*command, *flags], stdout=full, stderr=subprocess.PIPE, text=True)
        assert completed.returncode == 1, completed.stderr
        assert "No space left" in completed.stderr and "Traceback" not in completed.stderr, completed.stderr
    completed = run_python("-m", "relabel", "import", "--json", "--threads", 100_000, "--out", "x", "y", code=2)
    assert "1024" in json.loads(completed.stdout)["error"]


def test_control_characters_in_names_are_escaped(tmp_path):
    tensors = write_naver(tmp_path / "maps", 2)
    name = "n01440764/a\x1b[2J\nrelabel: done.pt"
    save(tmp_path / "maps", {name: next(iter(tensors.values()))})
    (tmp_path / "maps" / name).write_bytes(b"")
    completed = run_relabel("import", tmp_path / "maps", "--out", tmp_path / "store", "-v", code=3)
    assert "a\\u{1b}[2J\\nrelabel: done.pt" in completed.stderr, completed.stderr
    assert "\x1b" not in completed.stderr + completed.stdout
