"""The diffs of ``docs/training.md``, applied to the training scripts of torchvision and timm and to small ones of the same
structure, which are then run."""

import hashlib
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import REPOSITORY, call_main, load_script
from loop_spy import pooled
from recipe_page import PAGE, apply_diff, blocks
from timm.loss import SoftTargetCrossEntropy

import relabel
import relabel.torch as rt

LOOPS = Path(__file__).parent / "loops"
DOWNLOADS = REPOSITORY / "target/training-scripts"
"""Published scripts by their digest. They are downloaded once."""

PUBLISHED = {
    "torchvision": (
        "https://raw.githubusercontent.com/pytorch/vision/v0.21.0/references/classification/",
        {
            "train.py": "50e351e18f825fe8c87ba1cf0182c93b66f7351dab4588d20acdd5962a1076b9",
            "presets.py": "99e2fcea703726c31d3621806b895a56010d1501bc312b56a05401b0cc177a4e",
            "sampler.py": "2f1a5540a2b4c44ae45f1c0cd3a52c101e79d51a5b7b25f37b388f6b8cea4d24",
            "transforms.py": "8827fd2ca0d1222018f4590e0fa51a8c156b27a1703094fa80c74d147a309233",
            "utils.py": "8f891cd8e2b948c484cb45764a4a517bb1b103470f10b7646330824fd8ef279f",
        },
    ),
    "timm": (
        "https://raw.githubusercontent.com/huggingface/pytorch-image-models/aa4b5850c1543fa488abf260f18390eda46cf85d/",
        {"train.py": "f0bb70b9e1c8c576eb1f7beba9cb46953d01ec1308d68c59ec055a6266f76388"},
    ),
    "timm 1.0.28": (
        "https://raw.githubusercontent.com/huggingface/pytorch-image-models/v1.0.28/",
        {"train.py": "1fb02d26fe16536bc7de2c987980644353117c2b2b8046532261464093cd1ac6"},
    ),
}
SECTIONS = {"torchvision": "torchvision reference", "timm": "timm", "timm 1.0.28": "timm"}


def published(name: str, folder: Path) -> Path:
    """Writes the published files of a script to a folder. Skips the test if they cannot be downloaded."""
    address, digests = PUBLISHED[name]
    for file, digest in digests.items():
        kept = DOWNLOADS / digest
        if not kept.exists():
            try:
                content = urllib.request.urlopen(address + file, timeout=10).read()
            except OSError as error:
                pytest.skip(f"{address}{file} cannot be downloaded: {error}")
            assert hashlib.sha256(content).hexdigest() == digest, f"{address}{file} is not the file that was tried"
            DOWNLOADS.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
        shutil.copy(kept, folder / file)
    return folder


def patched(name: str, folder: Path):
    """Returns the folder's ``train.py`` as a module, after the diff of the page."""
    (diff,) = blocks(SECTIONS[name], "diff")
    script = folder / "train.py"
    script.write_text(apply_diff(script.read_text(encoding="utf-8"), diff), encoding="utf-8")
    return load_script(script)


@pytest.fixture
def folder(photographs, tmp_path, monkeypatch) -> Iterator[Path]:
    """``imagenet/train`` and ``imagenet/val``, and a folder for a script whose modules are forgotten after the test."""
    for split in ("train", "val"):
        shutil.copytree(photographs, tmp_path / "imagenet" / split)
    (tmp_path / "script").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "script")
    yield tmp_path
    for module in ("presets", "sampler", "transforms", "utils"):
        sys.modules.pop(module, None)


@pytest.fixture
def imitation(folder):
    """Returns the small script with the structure of a published one, after the diff of the page."""

    def of(name):
        shutil.copytree(LOOPS / name, folder / "script", dirs_exist_ok=True)
        return patched(name, folder / "script")

    return of


@pytest.fixture
def mixed(monkeypatch) -> list[torch.Tensor]:
    """Targets that timm's loss for mixed images received."""
    received = []
    forward = SoftTargetCrossEntropy.forward
    monkeypatch.setattr(SoftTargetCrossEntropy, "forward", lambda *args: received.append(args[2]) or forward(*args))
    return received


def run_torchvision(script, store, *args):
    common = ["--data-path", "imagenet", "--labels", str(store), "--batch-size", "6", "--train-crop-size", "32"]
    script.main(script.get_args_parser().parse_args([*common, *args]))


def run_timm(script, store, *args):
    call_main(script, "--data-dir", "imagenet", "--labels", store, "--batch-size", 6, "--img-size", 32, *args)


def check_mixed(labels, crops, batches, seen):
    """Verifies that targets are mixed of those of the crops, with one other image of the batch."""
    assert len(batches) == 4
    for at, mixed_targets in enumerate(batches):
        batch = crops[6 * at : 6 * at + 6]
        targets = pooled(labels, batch)
        for own, other, found in zip(targets, targets[seen], mixed_targets.numpy()):
            difference = own - other
            # λ is undefined for equal targets, and inexact for similar ones.
            lam = np.clip((found - other) @ difference / max(difference @ difference, 1e-12), 0, 1)
            assert np.allclose(found, lam * own + (1 - lam) * other, atol=1e-5)


def added_and_removed(section):
    (diff,) = blocks(section, "diff")
    return [sum(line.startswith(sign) for line in diff.splitlines()) for sign in "+-"]


def test_the_diffs_have_three_and_four_lines():
    assert added_and_removed("torchvision reference") == [3, 0] and added_and_removed("timm") == [4, 0]
    assert "(#torchvision-reference) | 3 |" in PAGE and "(#timm) | 4 |" in PAGE


def test_a_hunk_must_occur_once():
    assert apply_diff("a\nb\nb\n", " a\n+c\n b\n") == "a\nc\nb\nb\n"
    for hunk, count in ((" b\n+c\n", 2), (" d\n+c\n", 0)):
        with pytest.raises(AssertionError, match=f"occur {count} times"):
            apply_diff("a\nb\nb\n", hunk)


@pytest.mark.parametrize("options", [[], ["--use-v2"], ["--backend", "tensor"], ["--backend", "tensor", "--use-v2"]], ids=" ".join)
def test_torchvision_loop(imitation, store, labels, photographs, spy, options):
    run_torchvision(imitation("torchvision"), store, *options)
    spy.check(labels, photographs, count=24, normalized=True)


def test_torchvision_loop_with_mixing(imitation, store, labels, spy):
    run_torchvision(imitation("torchvision"), store, "--use-v2", "--mixup-alpha", "0.2", "--cutmix-alpha", "1.0")
    # v2 pairs an image with the one before it.
    check_mixed(labels, spy.crops, spy.targets, np.roll(np.arange(6), 1))


@pytest.mark.parametrize("options", [[], ["--no-prefetcher"]], ids=" ".join)
def test_timm_loop(imitation, store, labels, photographs, spy, options):
    run_timm(imitation("timm"), store, "--smoothing", 0, *options)
    spy.check(labels, photographs, count=24, normalized=True)


@pytest.mark.parametrize("options", [[], ["--no-prefetcher"]], ids=" ".join)
def test_timm_loop_with_mixing(imitation, store, labels, spy, mixed, options):
    run_timm(imitation("timm"), store, "--smoothing", 0, "--mixup", 0.2, "--cutmix", 1, *options)
    check_mixed(labels, spy.crops, mixed, np.arange(6)[::-1])


def test_timm_loop_without_multi_label_trains_class_0(imitation, store, folder, mixed):
    """The trap that the page describes, and the reason for the fourth line."""
    imitation("timm")
    script = folder / "script/train.py"
    script.write_text(script.read_text().replace("multi_label=True,", ""))
    run_timm(load_script(script), store, "--smoothing", 0, "--mixup", 0.2)
    assert all(torch.equal(targets, torch.eye(1000)[:1].expand(6, 1000)) for targets in mixed) and len(mixed) == 4


def test_timm_loop_refuses_what_the_page_lists(imitation, store):
    script = imitation("timm")
    with pytest.raises(RuntimeError, match="gather"):
        run_timm(script, store)
    for options in (["--no-aug"], ["--train-crop-mode", "rkrc"], ["--train-crop-mode", "rkrr"]):
        with pytest.raises(ValueError, match="its box is unknown|moves pixels"):
            run_timm(script, store, "--smoothing", 0, *options)


def test_students_of_some_classes(folder, store):
    """The advice for ImageNet-100: the order of the folders, so that validation needs no change."""
    from timm.data import create_dataset
    from torchvision.datasets import ImageFolder

    labels = relabel.open(store)
    images, timm = ImageFolder("imagenet/train"), create_dataset("", root="imagenet", split="train", is_training=True)
    for data, classes in ((images, images.classes), (timm, list(timm.reader.class_to_idx))):
        wrapped = rt.LabelMapDataset(data, labels, classes=classes, target="image", return_label=True)
        assert wrapped.classes == ["n02123045", "n07920052"]
        assert [wrapped[at][2].item() for at in (0, 23)] == [data[at][1] for at in (0, 23)] == [0, 1]


def test_cutmix_by_region_in_the_scripts(imitation, store, folder, labels, spy):
    """The table of the section: another class, and one collation."""
    for name, collate in (("torchvision", "    collate_fn = default_collate\n"), ("timm", "    collate_fn = None\n")):
        imitation(name)
        script = folder / "script/train.py"
        text = script.read_text().replace("LabelMapDataset", "CropDataset")
        dataset = "dataset" if name == "torchvision" else "dataset_train"
        added = f"    collate_fn = relabel.torch.PoolCollate({dataset}, cutmix=relabel.torch.CutMix(region=True))\n"
        assert text.count(collate) == 1
        script.write_text(text.replace(collate, added))
        spy.targets.clear()
        run, options = (run_torchvision, []) if name == "torchvision" else (run_timm, ["--smoothing", 0])
        run(load_script(script), store, *options)
        assert len(spy.targets) == 4 and all(torch.allclose(found.sum(1), torch.ones(6), atol=1e-4) for found in spy.targets)


SMALL_TORCHVISION = [
    "--model", "squeezenet1_1", "--device", "cpu", "--epochs", "1", "--workers", "0", "--lr", "0.001",
    "--val-resize-size", "32", "--val-crop-size", "32",
]  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--use-v2", "--backend", "tensor", "--model-ema"]], ids=" ".join)
def test_published_torchvision_script(folder, store, labels, photographs, spy, options):
    script = patched("torchvision", published("torchvision", folder / "script"))
    run_torchvision(script, store, *SMALL_TORCHVISION, *options)
    spy.check(labels, photographs, count=24, normalized=True)


def test_published_torchvision_script_with_augmentation(folder, store, labels, spy):
    script = patched("torchvision", published("torchvision", folder / "script"))
    run_torchvision(script, store, *SMALL_TORCHVISION, "--auto-augment", "ta_wide", "--random-erase", "0.5")
    mix = ["--mixup-alpha", "0.2", "--cutmix-alpha", "1"]
    spy.crops.clear()
    spy.targets.clear()
    run_torchvision(script, store, *SMALL_TORCHVISION, *mix, "--use-v2")
    check_mixed(labels, spy.crops, spy.targets, np.roll(np.arange(6), 1))
    with pytest.raises(ValueError, match="Target ndim should be 1"):
        run_torchvision(script, store, *SMALL_TORCHVISION, *mix)


def run_published_timm(folder, store, *options):
    small = ["--model", "test_resnet", "--device", "cpu", "--epochs", 1, "--workers", 0, "--lr", 0.001, "--val-split", ""]
    exact = ["--color-jitter", 0, "--train-interpolation", "bilinear", "--smoothing", 0, "--output", folder / "out"]
    mean_and_std = ["--mean", 0.485, 0.456, 0.406, "--std", 0.229, 0.224, 0.225]
    script = patched("timm", published("timm", folder / "script"))
    run_timm(script, store, *small, *exact, *mean_and_std, *options)


@pytest.mark.parametrize("options", [[], ["--no-prefetcher"]], ids=" ".join)
def test_published_timm_script(folder, store, labels, photographs, spy, options):
    run_published_timm(folder, store, *options)
    spy.check(labels, photographs, count=24, normalized=True)


@pytest.mark.parametrize("options", [[], ["--bce-loss"]], ids=" ".join)
def test_published_timm_script_with_mixing(folder, store, labels, spy, mixed, options):
    run_published_timm(folder, store, "--mixup", 0.2, "--cutmix", 1, *options)
    assert len(spy.crops) == 24
    if not options:
        check_mixed(labels, spy.crops, mixed, np.arange(6)[::-1])


def test_published_timm_script_with_augmentation(folder, store, spy):
    run_published_timm(folder, store, "--aug-splits", 3, "--jsd-loss", "--aa", "augmix-m5-w4-d2", "--reprob", 0.25)
    assert len(spy.crops) == 24


def test_published_timm_script_refuses_several_sizes(folder, store):
    with pytest.raises(ValueError, match="its box is unknown"):
        run_published_timm(folder, store, "--train-img-sizes", 64, 96)


def test_the_diff_applies_to_an_older_timm_script(folder):
    published("timm 1.0.28", folder / "script")
    (diff,) = blocks("timm", "diff")
    assert "multi_label=True," in apply_diff((folder / "script/train.py").read_text(), diff)
