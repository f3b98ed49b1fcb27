"""The examples `digits.py`, `emoji.py` and `canvases`: canvases, their crops, and the experiments, through ``relabel run``."""

import argparse
import io
import json
import tarfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import PROGRAM, REPOSITORY, call_main, load_script
from PIL import Image

EXAMPLES = REPOSITORY / "examples"
digits = load_script(EXAMPLES / "digits.py")
emoji = load_script(EXAMPLES / "emoji.py")

from canvases import data, results  # noqa: E402  loading the script adds its folder to the path
from canvases import emoji as emoji_pictures  # noqa: E402
from canvases.student import Arm  # noqa: E402


def test_digits_of_the_test_set_are_on_no_canvas():
    drawn, others = data.split_digits(3)
    assert (len(drawn.classes), len(others.classes)) == (1198, 599)
    pixels = {image.numpy().tobytes() for image in drawn.images}
    # No two of scikit-learn's digits are equal, so an image cannot be on both sides.
    assert len(pixels) == 1198 and not any(image.numpy().tobytes() in pixels for image in others.images)


def test_a_canvas_is_filed_under_one_of_its_digits(tmp_path):
    # One digit of each class, so that the digits on a canvas can be recognised.
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
    assert ((there.sum(1) >= 4) & (there.sum(1) <= 8)).all()
    assert there[torch.arange(20), canvases.classes].all()
    assert all(name.split("/")[0] == str(int(number)) for name, number in zip(canvases.ids, canvases.classes))


def test_the_pixels_of_a_crop_are_those_of_its_box():
    # The values of this canvas are the centres of its pixels, so a crop shows where it was cut.
    size = data.CANVAS_PIXELS
    centres = (torch.arange(size) + 0.5) / size
    x, y = centres.expand(size, size), centres[:, None].expand(size, size)
    boxes = data.random_boxes(200, (0.08, 0.5), torch.Generator().manual_seed(0))
    x0, y0, x1, y1 = boxes.unbind(1)
    assert (boxes >= 0).all() and (boxes <= 1).all()
    area = (x1 - x0) * (y1 - y0)
    assert area.min() > 0.07 and area.max() < 0.52
    steps = (torch.arange(data.INPUT_PIXELS) + 0.5) / data.INPUT_PIXELS
    inside = slice(2, -2)
    for plane, low, high, axis in [(x, x0, x1, 2), (y, y0, y1, 1)]:
        shown = data.cut(plane.expand(200, 1, size, size), boxes)[:, 0]
        wanted = low[:, None] + steps * (high - low)[:, None]
        shown = shown.select(3 - axis, data.INPUT_PIXELS // 2)
        assert torch.allclose(shown[:, inside], wanted[:, inside], atol=1e-5)


def test_a_crop_is_that_of_interpolate():
    images = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    shown = data.cut(images, torch.tensor([[10, 20, 50, 44]]) / 64)
    wanted = F.interpolate(images[:, :, 20:44, 10:50], size=32, mode="bilinear", align_corners=False)
    assert torch.allclose(shown[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], atol=1e-5)


def test_test_images_show_one_complete_digit_of_the_requested_size():
    white = data.Digits(torch.ones(1, 1, 12, 12), torch.zeros(1, dtype=torch.int64))
    for pixels in (12, 24):
        images, classes = data.draw_crops(white, 50, (pixels, pixels), 32, np.random.default_rng(0))
        assert images.shape == (50, 1, 32, 32) and (classes == 0).all()
        assert torch.allclose((images > 0.55).sum((1, 2, 3)).sqrt(), torch.tensor(float(pixels)), atol=1.0)


def test_one_epoch_of_every_arm_of_the_experiment(tmp_path):
    out = tmp_path / "results.json"
    options = f"--seeds 1 --epochs 1 --canvases 64 --teacher-steps 5 --processes 1 --relabel {PROGRAM} --out {out}"
    printed = call_main(digits, *options.split()).stdout.splitlines()
    results = json.loads(out.read_text())["top1"]["100"]
    assert set(results) == {"teacher", *map(str, digits.ARMS)}
    assert all(0 < share < 1 for share in results.values())
    table = [line for line in printed if line.startswith("| ")][:5]
    assert [line.split(" | ")[0] for line in table] == ["| target", "| single", "| global", "| swapped", "| localized"]
    assert f"{results['localized+region']:.3f}" in table[-1]


def test_one_epoch_with_the_labels_of_tiles(tmp_path):
    out = tmp_path / "results.json"
    arms = ["tiles+none", "calibrated+region"]
    options = f"--tiles 4 --seeds 1 --epochs 1 --canvases 64 --teacher-steps 20 --processes 1 --relabel {PROGRAM} --out {out}"
    call_main(digits, *options.split(), "--arms", *arms)
    assert set(json.loads(out.read_text())["top1"]["100"]) == {"teacher", *arms}


def test_arms_are_parsed_from_their_names():
    arms = [*digits.ARMS, *digits.TILES_ARMS]
    assert [Arm.parse(str(arm)) for arm in arms] == arms
    for text in ["global+region", "local+none", "single", "single+"]:
        with pytest.raises(argparse.ArgumentTypeError, match="is not TARGET.CUTMIX"):
            Arm.parse(text)


def test_means_have_standard_errors():
    assert results.mean_and_error([0.1, 0.2, 0.3]) == "0.200 ± 0.058"
    arms = [Arm("localized", "none"), Arm("swapped", "none")]
    found = {seed: {"localized+none": 0.8 + seed / 10, "swapped+none": 0.5 + seed / 10} for seed in (0, 1)}
    line = "| localized+none minus swapped+none | +0.300 ± 0.000 |"
    assert results.differences(found, arms, digits.COMPARED).splitlines()[2:] == [line]


def emoji_archive(path, hue, extra=0):
    """Writes an archive like those of emoji-datasource: two classes with nine pictures each, one with too few, and more classes."""
    entries = []
    with tarfile.open(path, "w:gz") as archive:
        def add(name, content):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))

        for group, count in [("animal-bird", 9), ("sky & weather", 9), ("rare", 2), *((f"x{at}", 9) for at in range(extra))]:
            for number in range(count):
                entries.append({"category": "Objects", "subcategory": group, "image": f"{group[:3]}{number}.png"})
                picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
                picture.paste((hue, 40 * (group[0] == "a"), 12 * number, 255), (8, 8, 56, 56))
                content = io.BytesIO()
                picture.save(content, "PNG")
                add(f"package/img/any/64/{entries[-1]['image']}", content.getvalue())
        add("package/emoji.json", json.dumps(entries).encode())
    return path


def test_pictures_of_emoji_have_the_classes_of_their_groups(tmp_path):
    archives = [emoji_archive(tmp_path / "one.tgz", 250), emoji_archive(tmp_path / "two.tgz", 120)]
    pictures, names = emoji_pictures.load_pictures(archives)
    assert names == ["animal-bird", "sky-and-weather"] and pictures.images.shape == (36, 4, 64, 64)
    assert pictures.classes.tolist() == ([0] * 9 + [1] * 9) * 2
    assert torch.allclose(pictures.images[0, 0, 32, 32], torch.tensor(250 / 255)) and pictures.images[0, :, 0, 0].eq(0).all()
    images, classes = emoji_pictures.draw_singles(pictures, 20, 32, (12, 28), np.random.default_rng(0))
    assert images.shape == (20, 3, 32, 32) and images.min() >= 0 and images.max() <= 1
    # Bright red or dark red: pixels of the pasted square.
    assert all((abs(image[0] - 250 / 255) < 0.01).any() or (abs(image[0] - 120 / 255) < 0.01).any() for image in images)
    assert set(classes.tolist()) == {0, 1}


def test_one_epoch_of_the_experiment_with_emoji(tmp_path):
    archives = [emoji_archive(tmp_path / "one.tgz", 250, extra=4), emoji_archive(tmp_path / "two.tgz", 120, extra=4)]
    out = tmp_path / "results.json"
    arms = ["single+paper", "localized+region", "hard+none"]
    options = f"--archives {archives[0]} --test-archive {archives[1]} --seeds 1 --epochs 1 --canvases 64 --teacher-steps 5"
    printed = call_main(emoji, *options.split(), *f"--processes 1 --relabel {PROGRAM} --out {out} --arms".split(), *arms).stdout
    found = json.loads(out.read_text())["top1"]["100"]
    assert set(found) == {"teacher", *arms} and f"{found['hard+none']:.3f}" in printed
