"""The wheel in an empty environment: the main job, and targets for training, without anything else of the project."""

import json
import shutil
import statistics
import subprocess
import sysconfig
import time

import numpy as np
import pytest
from harness import GOLDEN, REPOSITORY

START_SECONDS = 0.1
PHOTOGRAPH = "chelsea"

POOL = f"""
import json, sys
import numpy as np
import relabel

labels = relabel.open(sys.argv[1])
boxes = json.load(open(sys.argv[2]))
targets = labels.pool([{PHOTOGRAPH!r}] * len(boxes), boxes)
np.save(sys.argv[3], targets)
print(relabel.__version__)
"""


@pytest.fixture(scope="module")
def samples(environment):
    return environment.folder / "share/relabel/demo"


@pytest.fixture(scope="module")
def installed_store(environment, samples):
    """Label maps of the sample photographs."""
    store = environment.work / "photos.labels"
    teacher = samples / "efficientnet-lite0.onnx"
    environment.run("relabel", "run", "--teacher", teacher, "--in", samples / "photographs/photos", "--out", store)
    return store


def test_the_program_starts_quickly(environment, wheel):
    version = wheel.name.split("-")[1]
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        printed = environment.run("relabel", "--version").stdout
        seconds.append(time.perf_counter() - started)
        assert printed.split() == ["relabel", version]
    assert statistics.median(seconds) < START_SECONDS, seconds


def test_the_demo_labels_the_samples_and_draws_a_picture(environment):
    environment.run("relabel", "demo", "--out", "the demo")
    pictures = list((environment.work / "the demo").glob("*.png"))
    assert len(pictures) == 1
    assert pictures[0].read_bytes().startswith(b"\x89PNG")


def test_photographs_are_labelled(environment, installed_store):
    status = json.loads(environment.run("relabel", "status", installed_store, "--json").stdout)
    assert (status["images"], status["labelled"], status["failed"]) == (6, 6, 0)


def test_the_package_runs_every_command(environment, installed_store, wheel):
    by_program = environment.run("relabel", "status", installed_store, "--json").stdout
    assert environment.run("python", "-m", "relabel", "status", installed_store, "--json").stdout == by_program
    assert environment.run("python", "-m", "relabel", "--version").stdout.split()[1] == wheel.name.split("-")[1]
    assert "unrecognized subcommand" in environment.run("python", "-m", "relabel", "nonsense", code=2).stderr


def test_targets_equal_those_of_torchvision(environment, installed_store, wheel):
    golden = np.load(GOLDEN / "lite0.npz")
    row = list(golden["ids"]).index(f"photos/{PHOTOGRAPH}.JPEG")
    boxes, targets = environment.work / "boxes.json", environment.work / "targets.npy"
    boxes.write_text(json.dumps(golden["boxes"][row].tolist()))
    printed = environment.run("python", "-c", POOL, installed_store, boxes, targets).stdout
    assert printed.strip() == wheel.name.split("-")[1]
    assert np.abs(np.load(targets) - golden["targets"][row]).max() <= 1e-3


def test_a_student_trains_on_the_labels(environment, samples):
    """The training loop of `examples/train.py`, with the package of the wheel and the PyTorch of the tests."""
    for split in ("train", "val"):
        for number, photograph in enumerate(sorted((samples / "photographs/photos").iterdir())):
            folder = environment.work / "data" / split / ("n02123045", "n07920052")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(photograph, folder)
    teacher = samples / "efficientnet-lite0.onnx"
    environment.run("relabel", "run", "--teacher", teacher, "--in", "data/train", "--out", "train.labels")

    # Packages of the environment come first, those of the added folder last.
    (own,) = environment.folder.glob("lib/python3*/site-packages")
    added = own / "pytorch.pth"
    added.write_text(f"{sysconfig.get_path('purelib')}\n")
    try:
        imported = environment.run("python", "-c", "import relabel, torch; print(relabel.__file__); print(torch.__file__)").stdout
        assert imported.split()[0].startswith(str(own))
        assert not imported.split()[1].startswith(str(own))
        args = ["--labels", "train.labels", "--model", "squeezenet1_1", "--size", 32, "--batch", 2, "--workers", 0, "--epochs", 1]
        environment.run("python", REPOSITORY / "examples/train.py", "data", "--out", "student", "--cutmix", "region", *args)
    finally:
        added.unlink()
    lines = [json.loads(line) for line in (environment.work / "student/log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0]
    assert np.isfinite(lines[0]["loss"])


def test_commands_in_python_find_the_package_and_name_what_is_missing(environment, installed_store):
    message = environment.run("relabel", "export", installed_store, "--out", "exported", code=1).stderr
    assert "PyTorch is not installed" in message
    assert str(environment.bin) in message
    assert "pip install torch" in message
    message = environment.run("python", "-m", "relabel.ray", "--tasks", 1, "--", "--out", "labels", code=1).stderr
    assert "cannot import Ray" in message
    assert "pip install ray" in message


def test_a_package_in_another_folder_finds_its_program(environment, wheel, tmp_path):
    environment.install("--no-deps", "--target", tmp_path / "packages", wheel)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from relabel._program import find_program; print(find_program())"
    found = environment.run("python", "-c", code, tmp_path / "packages").stdout.strip()
    assert found == str(tmp_path / "packages/bin/relabel")
    assert subprocess.run([found, "--version"], capture_output=True, env={}).returncode == 0


def test_without_extras_the_message_names_the_extra(environment_without_extras):
    environment = environment_without_extras
    samples = environment.folder / "share/relabel/demo"
    args = ["run", "--teacher", samples / "efficientnet-lite0.onnx", "--in", samples / "photographs/photos", "--out", "labels"]
    message = environment.run("relabel", *args, code=1).stderr
    assert "cannot find ONNX Runtime" in message
    assert "pip install onnxruntime" in message
    assert "[cpu]" in message
    assert "[cuda]" in message
    assert not (environment.work / "labels").exists()
