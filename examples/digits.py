"""Compares students that train on images of several digits with single, global soft and localized labels.

    python examples/digits.py             # five seeds, all arms: the first table of docs/experiment.md
    python examples/digits.py --long      # localized labels, four times the epochs: the second table
    python examples/digits.py --tiles 5   # another teacher, and predictions for tiles: the third table
    python examples/digits.py --seeds 1 --epochs 2 --arms localized+none

Each seed has its own test digits, canvases, teacher, label maps (by ``relabel run``) and students. Needs the
package ``relabel-maps[cpu,torch]``, scikit-learn and onnx.
"""

import argparse
import dataclasses
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from canvases.data import INPUT_PIXELS, draw_crops, load_canvases, save_canvases, split_digits
from canvases.results import Results, differences, run_seeds, save, table
from canvases.student import Arm, Settings, accuracy, train_student
from canvases.teacher import (
    ALL_SIZES,
    ONE_SIZE,
    Kind,
    check_program,
    export_teacher,
    installed_program,
    make_labels,
    teacher_accuracy,
    train_teacher,
)

import relabel

ARMS = [
    Arm("single", "none"),
    Arm("single", "paper"),
    Arm("global", "none"),
    Arm("global", "paper"),
    Arm("swapped", "none"),
    Arm("swapped", "paper"),
    Arm("localized", "none"),
    Arm("localized", "paper"),
    Arm("localized", "region"),
]
LONG_ARMS = [arm for arm in ARMS if arm.target == "localized"]
LONG_EPOCHS = 100
TILES_ARMS = [
    Arm("global", "none"),
    *(Arm(target, mixing) for target in ("localized", "tiles", "calibrated") for mixing in ("none", "region")),
]
COMPARED = [
    (Arm("global", "none"), Arm("single", "none")),
    (Arm("localized", "none"), Arm("global", "none")),
    (Arm("localized", "none"), Arm("swapped", "none")),
    (Arm("localized", "paper"), Arm("localized", "none")),
    (Arm("localized", "region"), Arm("localized", "none")),
    (Arm("localized", "region"), Arm("localized", "paper")),
    (Arm("tiles", "none"), Arm("global", "none")),
    (Arm("tiles", "none"), Arm("localized", "none")),
    (Arm("calibrated", "none"), Arm("localized", "none")),
    (Arm("calibrated", "none"), Arm("tiles", "none")),
    (Arm("tiles", "region"), Arm("tiles", "none")),
    (Arm("calibrated", "region"), Arm("calibrated", "none")),
    (Arm("calibrated", "region"), Arm("localized", "region")),
]
TEST_DIGIT_PIXELS = (12, 24)


@dataclasses.dataclass(frozen=True)
class Setup:
    """Data and teacher of a seed, and the program that labels."""

    canvases: int
    teacher: Kind
    tiles: str | None
    program: Path


def main() -> None:
    arguments = parse()
    settings = Settings(epochs=arguments.epochs, width=arguments.width)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    setup = Setup(arguments.canvases, arguments.teacher, arguments.tiles, arguments.relabel.resolve())
    check_program(setup.program)
    train = partial(one_seed, arms=arguments.arms, settings=settings, setup=setup)
    results = run_seeds(train, seeds, arguments.processes)
    if arguments.out:
        save(results, settings, arguments.canvases, arguments.out)
    print(table(results, arguments.arms, "single digits"))
    print(differences(results, arguments.arms, COMPARED))


def one_seed(seed: int, arms: list[Arm], settings: Settings, setup: Setup) -> Results:
    """Makes data, teacher and label maps of a seed, and trains every arm."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train_digits, test_digits = split_digits(seed)
        save_canvases(train_digits, setup.canvases, folder / "canvases", np.random.default_rng([seed, 0]))
        teacher = train_teacher(train_digits, seed, setup.teacher)
        results = {"teacher": teacher_accuracy(teacher, test_digits, seed, setup.teacher)}
        model = export_teacher(teacher, setup.teacher, folder / "teacher")
        make_labels(setup.program, model, folder / "canvases", folder / "labels", setup.tiles)
        images = load_canvases(folder / "canvases")
        labels = relabel.open(folder / "labels")
        test = draw_crops(test_digits, 2000, TEST_DIGIT_PIXELS, INPUT_PIXELS, np.random.default_rng([seed, 3]))
        for arm in arms:
            network = train_student(arm, settings, images, labels, seed)
            results[str(arm)] = accuracy(network, *test)
            print(f"seed {seed}: {arm} {results[str(arm)]:.3f}", flush=True)
    return results


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds [5]")
    parser.add_argument("--first-seed", type=int, default=100, help="first seed; settings were chosen on seeds 1 and 2 [100]")
    parser.add_argument("--long", action="store_true", help=f"localized labels only, {LONG_EPOCHS} epochs")
    parser.add_argument("--tiles", help="store predictions for these tiles, and calibrate; see relabel run --tiles [none]")
    parser.add_argument("--epochs", type=int, help="epochs of each student [25]")
    parser.add_argument("--canvases", type=int, default=1500, help="number of training images [1500]")
    parser.add_argument("--teacher-steps", type=int, help="training steps of the teacher [300, with tiles 500]")
    parser.add_argument("--width", type=int, default=16, help="channels of the student's first layer [16]")
    parser.add_argument("--arms", nargs="+", type=Arm.parse, help="TARGET+CUTMIX, such as localized+region [all]")
    parser.add_argument("--processes", type=int, default=2, help="seeds that run in parallel, one core each [2]")
    parser.add_argument("--relabel", type=Path, default=installed_program(), help="path of the program [that of the package]")
    parser.add_argument("--out", type=Path, help="JSON file for the settings and results of all seeds")
    arguments = parser.parse_args()
    arguments.arms = arguments.arms or (TILES_ARMS if arguments.tiles else LONG_ARMS if arguments.long else ARMS)
    kind = ALL_SIZES if arguments.tiles else ONE_SIZE
    arguments.teacher = dataclasses.replace(kind, steps=arguments.teacher_steps or kind.steps)
    arguments.epochs = arguments.epochs or (LONG_EPOCHS if arguments.long else Settings.epochs)
    return arguments


if __name__ == "__main__":
    main()
