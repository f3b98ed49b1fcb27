"""A small fully convolutional teacher of single digits, its export, and its label maps by ``relabel run``."""

import subprocess
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import CANVAS_PIXELS, CLASSES, DIGIT_PIXELS, Digits, draw_singles

SHARPNESS = 2.0  # factor of the exported scores

CARD = f"""name = "digits"
input_size = [{CANVAS_PIXELS}, {CANVAS_PIXELS}]
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
filter = "bilinear"
classes = "classes.txt"
"""


class Teacher(nn.Module):
    """Classifier of RGB images. A cell is 4x4 pixels and has a receptive field of 18x18."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, width), nn.MaxPool2d(2), *_block(width, 2 * width), nn.MaxPool2d(2), *_block(2 * width, 4 * width)
        )
        self.head = nn.Linear(4 * width, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.flatten(F.adaptive_avg_pool2d(self.features(images), 1), 1))


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]


def train_teacher(digits: Digits, seed: int, steps: int, batch: int = 64) -> Teacher:
    """Trains on single digits with their size on the canvases, at random positions in 20x20 pixels of noise."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    teacher = Teacher()
    optimizer = torch.optim.SGD(teacher.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=steps)
    for _ in range(steps):
        images, classes, _ = draw_singles(digits, batch, DIGIT_PIXELS + 8, rng)
        loss = F.cross_entropy(teacher(images.expand(-1, 3, -1, -1)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return teacher.eval()


@torch.no_grad()
def teacher_accuracy(teacher: Teacher, digits: Digits, seed: int) -> float:
    """Returns the top-1 accuracy on single digits."""
    images, classes, _ = draw_singles(digits, 1000, DIGIT_PIXELS + 8, np.random.default_rng([seed, 2]))
    return (teacher(images.expand(-1, 3, -1, -1)).argmax(1) == classes).float().mean().item()


def export_teacher(teacher: Teacher, folder: Path) -> Path:
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
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return path


def make_labels(program: Path, teacher: Path, images: Path, store: Path) -> None:
    """Labels the images with ``relabel run``, top 5 of every cell."""
    command = [program, "run", "--teacher", teacher, "--in", images, "--out", store, "--threads", "1", "--quiet"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
