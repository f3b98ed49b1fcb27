"""The example `train.py`: targets, training, resuming and several processes, with label maps of ``relabel run``."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from harness import PROGRAM, REPOSITORY, call_main, load_script, run_python

import relabel
import relabel.torch as rt

EXAMPLES = REPOSITORY / "examples"
train = load_script(EXAMPLES / "train.py")

from canvases import data, teacher  # noqa: E402  loading the script adds its folder to the path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Canvases in ``train`` and ``val``, a teacher after five steps of training, and its label maps of ``train``."""
    root = tmp_path_factory.mktemp("canvases")
    drawn, _ = data.split_digits(0)
    data.save_canvases(drawn, 48, root / "data/train", np.random.default_rng(0))
    data.save_canvases(drawn, 20, root / "data/val", np.random.default_rng(1))
    kind = dataclasses.replace(teacher.ONE_SIZE, steps=5)
    path = teacher.export_teacher(teacher.train_teacher(drawn, 0, kind), kind, root / "teacher")
    teacher.make_labels(PROGRAM, path, root / "data/train", root / "labels")
    return root


def run_recipe(folders, out, *args, code=0):
    """Trains a small network and returns the lines of its log."""
    common = ["--model", "squeezenet1_1", "--size", "32", "--batch", "16", "--workers", "0", "--no-flip", "--scale", "0.08", "0.5"]
    call_main(train, folders / "data", "--out", out, "--labels", folders / "labels", *common, *args, code=code)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


RECIPES = [
    ("single", "none"),
    ("single", "paper"),
    ("global", "none"),
    ("global", "paper"),
    ("localized", "none"),
    ("localized", "paper"),
    ("localized", "region"),
]


@pytest.mark.parametrize(("target", "cutmix"), RECIPES)
def test_the_recipe_trains(folders, tmp_path, target, cutmix):
    lines = run_recipe(folders, tmp_path, "--target", target, "--cutmix", cutmix, "--epochs", "1")
    assert [line["epoch"] for line in lines] == [0]
    assert 1.5 < lines[0]["loss"] < 4 and 0 <= lines[0]["top1"] <= 1
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["model"]["classifier.1.weight"].shape[0] == 10


@pytest.mark.parametrize(("target", "cutmix"), RECIPES)
def test_the_recipe_uses_the_selected_targets(folders, target, cutmix):
    options = f"--out x --labels {folders / 'labels'} --target {target} --cutmix {cutmix} --size 32 --batch 16 --workers 0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", str(folders / "data"), *options.split()])
        arguments = train.parse()
    loader, _ = train.train_loader(arguments, 1)
    samples = [loader.dataset[index] for index in range(16)]
    torch.manual_seed(1)
    images, targets = loader.collate_fn(samples)
    labels = relabel.open(folders / "labels")
    rows = np.arange(16)
    numbers = [int(name.split("/")[0]) for name in labels.ids()[:16]]
    if target == "single":
        plain = np.eye(10, dtype=np.float32)[numbers]
    else:
        crops = [crop for _, crop in samples]
        boxes = np.array([crop.box for crop in crops], dtype=np.float32)
        plain = labels.image_targets(rows) if target == "global" else labels.pool(rows, boxes)
    if cutmix != "none":
        torch.manual_seed(1)
        paste = rt.CutMix().paste(images)
        partners = paste.partners.numpy()
        if cutmix == "paper":
            plain = paste.lam * plain + (1 - paste.lam) * plain[partners]
        else:
            flips = np.array([crop.flipped for crop in crops])
            plain = labels.cutmix_targets(rows, boxes, partners, np.tile(paste.rect, (16, 1)), (32, 32), flip=flips)
    assert np.allclose(targets.numpy(), plain, atol=1e-6)


def test_a_resumed_training_equals_an_uninterrupted_one(monkeypatch, folders, tmp_path):
    uninterrupted = run_recipe(folders, tmp_path / "uninterrupted", "--epochs", "2", "--cutmix", "region")
    validate, calls = train.validate, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "validate", interrupted)
        run_recipe(folders, tmp_path / "resumed", "--epochs", "2", "--cutmix", "region")
    resumed = run_recipe(folders, tmp_path / "resumed", "--epochs", "2", "--cutmix", "region", "--resume")
    logs = [[(line["epoch"], line["loss"], line["top1"]) for line in lines] for lines in (uninterrupted, resumed)]
    assert logs[0] == logs[1]


def test_another_training_is_not_resumed(folders, tmp_path):
    run_recipe(folders, tmp_path, "--epochs", "1")
    args = [folders / "data", "--out", tmp_path, "--labels", folders / "labels", "--target", "global", "--resume"]
    common = ["--model", "squeezenet1_1", "--size", "32", "--batch", "16", "--workers", "0", "--no-flip", "--scale", "0.08", "0.5", "--epochs", "1"]
    assert "target was localized, is global" in call_main(train, *args, *common, code=1).stderr


def test_folders_are_matched_to_the_teachers_classes_in_any_order(folders, tmp_path, monkeypatch):
    # The same teacher with the names of its outputs reversed: the folder "9" is class 0.
    for name in ["teacher.onnx", "teacher.toml"]:
        (tmp_path / name).write_bytes((folders / "teacher" / name).read_bytes())
    (tmp_path / "classes.txt").write_text("\n".join(reversed(data.CLASSES)))
    teacher.make_labels(PROGRAM, tmp_path / "teacher.onnx", folders / "data/train", tmp_path / "labels")
    options = f"{folders / 'data'} --out x --labels {tmp_path / 'labels'} --batch 16 --workers 0"
    monkeypatch.setattr(sys, "argv", ["train.py", *options.split()])
    arguments = train.parse()
    _, classes = train.train_loader(arguments, 1)
    assert classes and all(number == 9 - int(name) for name, number in classes.items())
    found = torch.cat([numbers for _, numbers in train.val_loader(arguments, classes, 0, 1)])
    folders_of_images = [int(path.parent.name) for path in sorted((folders / "data/val").glob("*/*.png"))]
    assert found.tolist() == [9 - number for number in folders_of_images]


def test_torchrun_divides_the_images(folders, tmp_path):
    options = "--model squeezenet1_1 --size 32 --batch 8 --workers 1 --epochs 1 --cutmix region"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    run_python(*launcher, EXAMPLES / "train.py", folders / "data", "--labels", folders / "labels", "--out", tmp_path, *options.split())
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1
    # Two processes share 20 validation images: top-1 over all of them is a multiple of 1/20.
    top1 = json.loads((tmp_path / "log.jsonl").read_text())["top1"]
    assert abs(top1 * 20 - round(top1 * 20)) < 1e-5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--target localized", "needs --labels STORE"),
        ("--target global --labels x --cutmix region", "needs --target localized"),
    ],
)
def test_contradicting_options_are_refused(tmp_path, options, reason):
    assert reason in call_main(train, tmp_path, "--out", tmp_path, *options.split(), code=2).stderr
