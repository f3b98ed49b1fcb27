"""The student and its training, with each kind of target."""

import argparse
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import relabel
from relabel.torch import CutMix
from relabel.torch.mix import Paste

from .data import Canvases, cut, random_boxes

Target = Literal["single", "global", "localized", "swapped", "hard", "tiles", "calibrated"]
"""``"hard"`` is ``"localized"`` with a share of the folder class."""
Mixing = Literal["none", "paper", "region"]
POOLING: dict[Target, relabel.Pooling] = {"localized": "paper", "tiles": "tiles", "calibrated": "calibrated"}
"""The argument ``pooling`` of the targets that CutMix by region can pool."""


HARD_WEIGHT = 0.2  # of the folder class


@dataclass(frozen=True)
class Arm:
    """One arm of the experiment: the target of a crop, and the kind of CutMix."""

    target: Target
    cutmix: Mixing

    def __str__(self) -> str:
        return f"{self.target}+{self.cutmix}"

    @staticmethod
    def parse(text: str) -> "Arm":
        """Parses the text that ``str`` returns."""
        target, _, cutmix = text.partition("+")
        known = target in get_args(Target) and cutmix in get_args(Mixing)
        if not known or (cutmix == "region" and target not in POOLING):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not TARGET+CUTMIX\n  help: targets are {', '.join(get_args(Target))}; kinds of CutMix "
                f"{', '.join(get_args(Mixing))}; region is for {', '.join(POOLING)}"
            )
        return Arm(target, cutmix)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Settings:
    """Settings of all arms."""

    epochs: int = 25
    width: int = 16
    batch: int = 64
    learning_rate: float = 0.2
    weight_decay: float = 5e-4
    scale: tuple[float, float] = (0.08, 0.5)
    cutmix_prob: float = 1.0


def student(width: int, channels: int, classes: int) -> nn.Module:
    """Returns a network of three convolutions, average pooling and a linear layer."""

    def block(channels_in: int, channels_out: int, kernel: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(channels, width, 5, 2),
        *block(width, 2 * width, 3, 2),
        *block(2 * width, 4 * width, 3, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    ).to(memory_format=torch.channels_last)


def train_student(arm: Arm, settings: Settings, canvases: Canvases, labels: relabel.Labels, seed: int) -> nn.Module:
    """Trains on crops of the canvases. With one seed all arms have the same initial network, order and crops."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    cutmix = None if arm.cutmix == "none" else CutMix(prob=settings.cutmix_prob, region=arm.cutmix == "region")
    network = student(settings.width, canvases.images.shape[1], labels.num_classes)
    rows = labels.rows(canvases.ids)
    steps = settings.epochs * (len(rows) // settings.batch)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(settings.epochs):
        for chosen in torch.randperm(len(rows), generator=generator).split(settings.batch):
            if len(chosen) < settings.batch:
                continue
            boxes = random_boxes(len(chosen), settings.scale, generator)
            images = cut(canvases.images[chosen], boxes)
            targets = _targets(arm.target, labels, rows[chosen.numpy()], boxes, canvases.classes[chosen])
            if cutmix and cutmix.region:
                paste = cutmix.paste(images)
                if paste is not None:
                    images = paste.images
                    targets = _targets_by_region(arm.target, labels, rows[chosen.numpy()], boxes, paste)
            elif cutmix:
                images, targets = cutmix(images, targets)
            loss = F.cross_entropy(network(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def _targets(target: Target, labels: relabel.Labels, rows: np.ndarray, boxes: Tensor, classes: Tensor) -> Tensor:
    """Returns targets ``[batch, classes]``."""
    single = F.one_hot(classes, labels.num_classes).float()
    if target == "single":
        return single
    if target == "hard":
        localized = torch.from_numpy(labels.pool(rows, boxes.numpy(), threads=1))
        return (1 - HARD_WEIGHT) * localized + HARD_WEIGHT * single
    if target == "global":
        return torch.from_numpy(labels.image_targets(rows, threads=1))
    if target in POOLING:
        return torch.from_numpy(labels.pool(rows, boxes.numpy(), pooling=POOLING[target], threads=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the swapped axes are intended here
        return torch.from_numpy(labels.pool(rows, boxes.numpy(), convention="naver", threads=1))


def _targets_by_region(
    target: Target, labels: relabel.Labels, rows: np.ndarray, boxes: Tensor, paste: Paste
) -> Tensor:
    partners = paste.partners.numpy()
    return torch.from_numpy(
        labels.cutmix_targets(
            rows, boxes.numpy(), partners, paste.rect, paste.input_size, pooling=POOLING[target], threads=1
        )
    )


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, classes: Tensor) -> float:
    """Returns the top-1 accuracy."""
    return (network(images).argmax(1) == classes).float().mean().item()
