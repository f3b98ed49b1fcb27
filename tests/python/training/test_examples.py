"""The examples: canvases and their crops, the experiment with digits, and the recipe, all through ``relabel run``."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import relabel
import relabel.torch as rt

REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLES = REPOSITORY / "examples"
PROGRAM = REPOSITORY / "target/release/relabel"

sys.path.insert(0, str(EXAMPLES))

from canvases import data, teacher  # noqa: E402
from canvases.student import Arm  # noqa: E402


def script(name):
    """An example as a module: its ``main`` runs as from a command line, without another start of PyTorch."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


digits = script("digits")
train = script("train")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Canvases in ``train`` and ``val``, a hardly trained teacher, and its label maps of ``train``."""
    root = tmp_path_factory.mktemp("canvases")
    drawn, _ = data.split_digits(0)
    data.save_canvases(drawn, 48, root / "data/train", np.random.default_rng(0))
    data.save_canvases(drawn, 20, root / "data/val", np.random.default_rng(1))
    path = teacher.export_teacher(teacher.train_teacher(drawn, 0, 5), root / "teacher")
    teacher.make_labels(PROGRAM, path, root / "data/train", root / "labels")
    return root


def test_test_digits_are_on_no_canvas():
    drawn, others = data.split_digits(3)
    assert (len(drawn.classes), len(others.classes)) == (1198, 599)
    pixels = {image.numpy().tobytes() for image in drawn.images}
    # scikit-learn's digits themselves have no two alike, so that one image cannot be on both sides.
    assert len(pixels) == 1198 and not any(image.numpy().tobytes() in pixels for image in others.images)


def test_a_canvas_is_filed_under_one_of_its_digits(tmp_path):
    # One digit of each class, drawn without noise to speak of, so that what lies on a canvas can be found again.
    drawn, _ = data.split_digits(0)
    first = [int((drawn.classes == number).nonzero()[0]) for number in range(10)]
    ten = data.Digits(drawn.images[first], drawn.classes[first])
    data.save_canvases(ten, 20, tmp_path, np.random.default_rng(0))
    canvases = data.load_canvases(tmp_path)
    assert len(canvases.ids) == 20 and canvases.images.shape == (20, 1, 64, 64)
    patches = F.unfold(canvases.images, data.DIGIT_PIXELS)
    patterns = ten.images.flatten(1)
    distance = (patches[:, None] - patterns[None, :, :, None]).pow(2).mean(2).amin(2)
    there = distance < 0.015
    assert ((4 <= there.sum(1)) & (there.sum(1) <= 8)).all()
    assert there[torch.arange(20), canvases.classes].all()
    assert all(name.split("/")[0] == str(int(number)) for name, number in zip(canvases.ids, canvases.classes))


def test_box_and_pixels_of_a_crop_agree():
    # A canvas whose values are its pixels' centres: a crop then says itself where it was cut.
    size = data.CANVAS_PIXELS
    centres = (torch.arange(size) + 0.5) / size
    x, y = centres.expand(size, size), centres[:, None].expand(size, size)
    boxes = data.random_boxes(200, (0.08, 0.5), torch.Generator().manual_seed(0))
    x0, y0, x1, y1 = boxes.unbind(1)
    assert (boxes >= 0).all() and (boxes <= 1).all()
    area = (x1 - x0) * (y1 - y0)
    assert 0.07 < area.min() and area.max() < 0.52
    steps = (torch.arange(data.INPUT_PIXELS) + 0.5) / data.INPUT_PIXELS
    inside = slice(2, -2)
    for plane, low, high, axis in [(x, x0, x1, 2), (y, y0, y1, 1)]:
        shown = data.cut(plane.expand(200, 1, size, size), boxes)[:, 0]
        wanted = low[:, None] + steps * (high - low)[:, None]
        shown = shown.select(3 - axis, data.INPUT_PIXELS // 2)
        assert torch.allclose(shown[:, inside], wanted[:, inside], atol=1e-5)


def test_a_crop_is_that_of_torchvision():
    images = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    shown = data.cut(images, torch.tensor([[10, 20, 50, 44]]) / 64)
    wanted = F.interpolate(images[:, :, 20:44, 10:50], size=32, mode="bilinear", align_corners=False)
    assert torch.allclose(shown[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], atol=1e-5)


def test_the_examination_shows_one_whole_digit_of_the_size_asked_for():
    white = data.Digits(torch.ones(1, 1, 12, 12), torch.zeros(1, dtype=torch.int64))
    for pixels in (12, 24):
        images, classes = data.draw_test(white, 50, (pixels, pixels), np.random.default_rng(0))
        assert images.shape == (50, 1, 32, 32) and (classes == 0).all()
        assert torch.allclose((images > 0.55).sum((1, 2, 3)).sqrt(), torch.tensor(float(pixels)), atol=1.0)


def test_one_epoch_of_every_arm_of_the_experiment(tmp_path, monkeypatch, capsys):
    out = tmp_path / "results.json"
    words = f"--seeds 1 --epochs 1 --canvases 64 --teacher-steps 5 --processes 1 --relabel {PROGRAM} --out {out}"
    monkeypatch.setattr(sys, "argv", ["digits.py", *words.split()])
    digits.main()
    results = json.loads(out.read_text())["top1"]["100"]
    assert set(results) == {"teacher", *map(str, digits.ARMS)}
    assert all(0 < share < 1 for share in results.values())
    printed = capsys.readouterr().out.splitlines()
    table = [line for line in printed if line.startswith("| ")][:5]
    assert [line.split(" | ")[0] for line in table] == ["| target", "| single", "| global", "| swapped", "| localized"]
    assert f"{results['localized+region']:.3f}" in table[-1]


def test_arms_are_read_as_they_are_written():
    assert [Arm.parse(str(arm)) for arm in digits.ARMS] == digits.ARMS
    for text in ["global+region", "local+none", "single", "single+"]:
        with pytest.raises(ValueError, match="is no arm"):
            Arm.parse(text)


def test_means_have_standard_errors():
    assert digits.mean_and_error([0.1, 0.2, 0.3]) == "0.200 ± 0.058"
    arms = [Arm("localized", "none"), Arm("swapped", "none")]
    results = {seed: {"localized+none": 0.8 + seed / 10, "swapped+none": 0.5 + seed / 10} for seed in (0, 1)}
    line = "| localized+none less swapped+none | +0.300 ± 0.000 |"
    assert digits.differences(results, arms).splitlines()[2:] == [line]


def run_recipe(monkeypatch, folders, out, *words):
    common = "--model squeezenet1_1 --size 32 --batch 16 --workers 0 --no-flip --scale 0.08 0.5".split()
    labels = ["--labels", str(folders / "labels")]
    monkeypatch.setattr(sys, "argv", ["train.py", str(folders / "data"), "--out", str(out), *labels, *common, *words])
    train.main()
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
def test_the_recipe_trains(monkeypatch, folders, tmp_path, target, cutmix):
    lines = run_recipe(monkeypatch, folders, tmp_path, "--target", target, "--cutmix", cutmix, "--epochs", "1")
    assert [line["epoch"] for line in lines] == [0]
    assert 1.5 < lines[0]["loss"] < 4 and 0 <= lines[0]["top1"] <= 1
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["model"]["classifier.1.weight"].shape[0] == 10


@pytest.mark.parametrize(("target", "cutmix"), RECIPES)
def test_the_recipe_has_the_targets_that_it_says(folders, target, cutmix):
    words = f"--out x --labels {folders / 'labels'} --target {target} --cutmix {cutmix} --size 32 --batch 16 --workers 0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py", str(folders / "data"), *words.split()])
        arguments = train.parse()
    loader, _ = train.train_loader(arguments, 1)
    samples = [loader.dataset[index] for index in range(16)]
    torch.manual_seed(1)
    images, targets = loader.collate_fn(samples)
    crops = [(sample[0] if target == "single" else sample)[1] for sample in samples]
    boxes = np.array([crop.box for crop in crops], dtype=np.float32)
    labels = relabel.open(folders / "labels")
    rows = np.arange(16)
    numbers = [int(name.split("/")[0]) for name in labels.ids()[:16]]
    plain = {
        "single": np.eye(10, dtype=np.float32)[numbers],
        "global": labels.image_targets(rows),
        "localized": labels.pool(rows, boxes),
    }[target]
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


def test_a_resumed_recipe_gives_what_an_unbroken_one_gives(monkeypatch, folders, tmp_path):
    unbroken = run_recipe(monkeypatch, folders, tmp_path / "unbroken", "--epochs", "2", "--cutmix", "region")
    validate, calls = train.validate, []

    def interrupted(*words):
        calls.append(words)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*words)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "validate", interrupted)
        run_recipe(patch, folders, tmp_path / "broken", "--epochs", "2", "--cutmix", "region")
    broken = run_recipe(monkeypatch, folders, tmp_path / "broken", "--epochs", "2", "--cutmix", "region", "--resume")
    told = [[(line["epoch"], line["loss"], line["top1"]) for line in lines] for lines in (unbroken, broken)]
    assert told[0] == told[1]


def test_another_run_is_not_resumed(monkeypatch, folders, tmp_path):
    run_recipe(monkeypatch, folders, tmp_path, "--epochs", "1")
    with pytest.raises(SystemExit, match="target was localized, is global"):
        run_recipe(monkeypatch, folders, tmp_path, "--epochs", "1", "--target", "global", "--resume")


def test_folders_are_the_teachers_classes_whatever_their_order(folders, tmp_path, monkeypatch):
    # The same teacher whose outputs have their names in reverse: the folder "9" is class 0.
    for name in ["teacher.onnx", "teacher.toml"]:
        (tmp_path / name).write_bytes((folders / "teacher" / name).read_bytes())
    (tmp_path / "classes.txt").write_text("\n".join(reversed(data.CLASSES)))
    teacher.make_labels(PROGRAM, tmp_path / "teacher.onnx", folders / "data/train", tmp_path / "labels")
    words = f"{folders / 'data'} --out x --labels {tmp_path / 'labels'} --batch 16 --workers 0"
    monkeypatch.setattr(sys, "argv", ["train.py", *words.split()])
    arguments = train.parse()
    _, classes = train.train_loader(arguments, 1)
    assert classes and all(number == 9 - int(name) for name, number in classes.items())
    told = torch.cat([numbers for _, numbers in train.val_loader(arguments, classes, 0, 1)])
    folders_of_images = [int(path.parent.name) for path in sorted((folders / "data/val").glob("*/*.png"))]
    assert told.tolist() == [9 - number for number in folders_of_images]


def test_torchrun_divides_images_and_agrees(folders, tmp_path):
    words = "--model squeezenet1_1 --size 32 --batch 8 --workers 1 --epochs 1 --cutmix region"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [EXAMPLES / "train.py", folders / "data", "--labels", folders / "labels", "--out", tmp_path, *words.split()]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1
    # 20 validation images in two shares: top-1 of all of them is a multiple of 1/20.
    top1 = json.loads((tmp_path / "log.jsonl").read_text())["top1"]
    assert abs(top1 * 20 - round(top1 * 20)) < 1e-5


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--target localized", "needs --labels STORE"),
        ("--target global --labels x --cutmix region", "needs --target localized"),
    ],
)
def test_the_recipe_refuses_what_makes_no_sense(monkeypatch, tmp_path, capsys, words, reason):
    monkeypatch.setattr(sys, "argv", ["train.py", str(tmp_path), "--out", str(tmp_path), *words.split()])
    with pytest.raises(SystemExit):
        train.parse()
    assert reason in capsys.readouterr().err
