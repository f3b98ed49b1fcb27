"""Small fully convolutional teachers of single objects, their export, and the labels by ``relabel run``."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import CANVAS_PIXELS, CLASSES, DIGIT_PIXELS, Digits, draw_crops, draw_singles

SHARPNESS = 2.0  # factor of the exported scores

CARD = f"""name = "canvases"
input_size = [{CANVAS_PIXELS}, {CANVAS_PIXELS}]
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
filter = "bilinear"
classes = "classes.txt"
"""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Size of a teacher, and the images of single objects that it is trained on.

    Attributes:
        blocks: Number of convolutions; each after the first halves the map.
        steps: Training steps.
        draw: Draws that many images of single objects, ``[n, channels, y, x]``, and their classes, ``[n]``.
        classes: Names of the classes.
        learning_rate: Highest learning rate.
    """

    blocks: int
    steps: int
    draw: Callable[[Any, int, np.random.Generator], tuple[Tensor, Tensor]]
    classes: list[str]
    learning_rate: float = 0.05


def _draw_one_size(digits: Digits, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    return draw_singles(digits, count, DIGIT_PIXELS + 8, rng)[:2]


def _draw_all_sizes(digits: Digits, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    return draw_crops(digits, count, (DIGIT_PIXELS, 3.5 * DIGIT_PIXELS), CANVAS_PIXELS, rng)


ONE_SIZE = Kind(blocks=3, steps=300, draw=_draw_one_size, classes=CLASSES)
"""Knows digits of the size that they have on canvases. A cell is 4x4 pixels."""

ALL_SIZES = Kind(blocks=4, steps=500, draw=_draw_all_sizes, classes=CLASSES)
"""Knows digits of the sizes that they have on canvases and in resized parts of canvases. A cell is 8x8 pixels."""


class Teacher(nn.Module):
    """Classifier of RGB images."""

    def __init__(self, blocks: int, classes: int, width: int = 24) -> None:
        super().__init__()
        layers = _block(3, width)
        for _ in range(blocks - 1):
            layers += [nn.MaxPool2d(2), *_block(width, min(2 * width, 96))]
            width = min(2 * width, 96)
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.flatten(F.adaptive_avg_pool2d(self.features(images), 1), 1))


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]


def train_teacher(source: Any, seed: int, kind: Kind, batch: int = 64) -> Teacher:
    """Trains on images that ``kind`` draws from a source, such as :class:`Digits`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    teacher = Teacher(kind.blocks, len(kind.classes))
    optimizer = torch.optim.SGD(teacher.parameters(), lr=kind.learning_rate, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=kind.learning_rate, total_steps=kind.steps)
    for _ in range(kind.steps):
        images, classes = kind.draw(source, batch, rng)
        loss = F.cross_entropy(teacher(images.expand(-1, 3, -1, -1)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return teacher.eval()


@torch.no_grad()
def teacher_accuracy(teacher: Teacher, source: Any, seed: int, kind: Kind) -> float:
    """Returns the top-1 accuracy on images that ``kind`` draws."""
    images, classes = kind.draw(source, 1000, np.random.default_rng([seed, 2]))
    return (teacher(images.expand(-1, 3, -1, -1)).argmax(1) == classes).float().mean().item()


def export_teacher(teacher: Teacher, kind: Kind, folder: Path) -> Path:
    """Writes ``teacher.onnx``, its card and its class list."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "teacher.onnx"
    with torch.no_grad():
        for parameter in teacher.head.parameters():
            parameter.mul_(SHARPNESS)
    torch.onnx.export(
        teacher,
        (torch.zeros(1, 3, CANVAS_PIXELS, CANVAS_PIXELS),),
        str(path),
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    path.with_suffix(".toml").write_text(CARD)
    (folder / "classes.txt").write_text("\n".join(kind.classes) + "\n")
    return path


def installed_program() -> Path:
    """Returns the path of the program that the package ``relabel-maps`` installed with this interpreter."""
    return Path(sys.executable).with_name("relabel")


def check_program(program: Path) -> None:
    """Exits unless the program can run a network. Otherwise this would show after minutes, when the teacher is trained."""
    if not program.is_file():
        raise SystemExit(f"{program} is missing; pass the path of the program with --relabel")
    network = Path(__file__).resolve().parents[2] / "models" / "efficientnet-lite0.onnx"
    finished = subprocess.run([str(program), "teacher", str(network), "--json"], stdout=subprocess.DEVNULL)
    if finished.returncode:
        raise SystemExit(finished.returncode)


def make_labels(program: Path, teacher: Path, images: Path, store: Path, tiles: str | None = None) -> None:
    """Labels the images with ``relabel run``, top 5 of every cell, and calibrates pooling if there are tiles."""
    source = ["--teacher", teacher, "--in", images, "--threads", "1", "--quiet"]
    commands = [["run", "--out", store, *source]]
    if tiles:
        commands[0] += ["--tiles", tiles]
        commands.append(["calibrate", store, "--images", "500", *source])
    for command in commands:
        subprocess.run([str(word) for word in [program, *command]], check=True, stdout=subprocess.DEVNULL)
