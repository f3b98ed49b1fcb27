"""Compares students that train on pictures of several emoji with single, global soft and localized labels, with and without
CutMix.

    python examples/emoji.py --archives google.tgz twitter.tgz facebook.tgz --test-archive apple.tgz

Archives are those of the npm packages ``emoji-datasource-VENDOR``, version 16: ``npm pack emoji-datasource-google@16.0.0``. Their
pictures belong to the vendors and have different licences: read them before you use the pictures for anything else. The teacher,
the canvases and the students never see the vendor of the test.

Each seed has its own canvases, teacher, label maps (by ``relabel run``) and students. Needs the package
``relabel-maps[cpu,torch]``, scikit-learn and onnx.
"""

import argparse
import dataclasses
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from canvases.data import INPUT_PIXELS, load_canvases
from canvases.emoji import Pictures, draw_singles, load_pictures, save_canvases
from canvases.results import Results, differences, run_seeds, save, table
from canvases.student import Arm, Settings, accuracy, train_student
from canvases.teacher import Kind, check_program, export_teacher, installed_program, make_labels, teacher_accuracy, train_teacher

import relabel

ARMS = [
    *(Arm(target, mixing) for target in ("single", "global", "swapped") for mixing in ("none", "paper")),
    *(Arm("localized", mixing) for mixing in ("none", "paper", "region")),
    *(Arm("hard", mixing) for mixing in ("none", "paper")),
]
COMPARED = [
    (Arm("single", "paper"), Arm("single", "none")),
    (Arm("global", "none"), Arm("single", "none")),
    (Arm("localized", "none"), Arm("global", "none")),
    (Arm("localized", "none"), Arm("swapped", "none")),
    (Arm("localized", "paper"), Arm("localized", "none")),
    (Arm("localized", "region"), Arm("localized", "none")),
    (Arm("localized", "region"), Arm("localized", "paper")),
    (Arm("hard", "none"), Arm("localized", "none")),
    (Arm("hard", "paper"), Arm("localized", "paper")),
]
TEACHER_PIXELS = (14, 30)  # of the emoji in 32 x 32; on canvases they have 16 to 28
TEST_PIXELS = (12, 28)  # of the emoji in 32 x 32


@dataclasses.dataclass(frozen=True)
class Setup:
    """Pictures and program of all seeds."""

    archives: list[Path]
    test_archive: Path
    canvases: int
    teacher_steps: int
    program: Path


def main() -> None:
    arguments = parse()
    settings = Settings(epochs=arguments.epochs, width=arguments.width, learning_rate=arguments.learning_rate)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    setup = Setup(
        arguments.archives, arguments.test_archive, arguments.canvases, arguments.teacher_steps, arguments.relabel.resolve()
    )
    check_program(setup.program)
    train = partial(one_seed, arms=arguments.arms, settings=settings, setup=setup)
    results = run_seeds(train, seeds, arguments.processes)
    if arguments.out:
        save(results, settings, arguments.canvases, arguments.out)
    print(table(results, arguments.arms, "emoji of the vendor of the test"))
    print(differences(results, arguments.arms, COMPARED))


def one_seed(seed: int, arms: list[Arm], settings: Settings, setup: Setup) -> Results:
    """Makes canvases, teacher and label maps of a seed, and trains every arm."""
    torch.set_num_threads(1)
    pictures, names = load_pictures(setup.archives)
    unseen, test_names = load_pictures([setup.test_archive])
    if names != test_names:
        raise SystemExit("the classes of the test archive differ from those of the other archives; are the versions equal?")
    kind = Kind(blocks=4, steps=setup.teacher_steps, draw=_draw_for_teacher, classes=names, learning_rate=0.2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_canvases(pictures, names, setup.canvases, folder / "canvases", np.random.default_rng([seed, 0]))
        teacher = train_teacher(pictures, seed, kind)
        results = {"teacher": teacher_accuracy(teacher, unseen, seed, kind)}
        model = export_teacher(teacher, kind, folder / "teacher")
        make_labels(setup.program, model, folder / "canvases", folder / "labels")
        images = load_canvases(folder / "canvases", names)
        labels = relabel.open(folder / "labels")
        test = draw_singles(unseen, 2000, INPUT_PIXELS, TEST_PIXELS, np.random.default_rng([seed, 3]))
        for arm in arms:
            network = train_student(arm, settings, images, labels, seed)
            results[str(arm)] = accuracy(network, *test)
            print(f"seed {seed}: {arm} {results[str(arm)]:.3f}", flush=True)
    return results


def _draw_for_teacher(pictures: Pictures, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return draw_singles(pictures, count, INPUT_PIXELS, TEACHER_PIXELS, rng)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", nargs="+", type=Path, required=True, help="pictures of the teacher and the canvases")
    parser.add_argument("--test-archive", type=Path, required=True, help="pictures of the test, by another vendor")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds [5]")
    parser.add_argument("--first-seed", type=int, default=100, help="first seed; settings were chosen on seeds 1 and 2 [100]")
    parser.add_argument("--epochs", type=int, default=90, help="epochs of each student [90]")
    parser.add_argument("--learning-rate", type=float, default=0.2, help="learning rate of all students [0.2]")
    parser.add_argument("--canvases", type=int, default=1500, help="number of training images [1500]")
    parser.add_argument("--teacher-steps", type=int, default=3000, help="training steps of the teacher [3000]")
    parser.add_argument("--width", type=int, default=24, help="channels of the student's first layer [24]")
    parser.add_argument("--arms", nargs="+", type=Arm.parse, default=ARMS, help="TARGET+CUTMIX, such as localized+region [all]")
    parser.add_argument("--processes", type=int, default=2, help="seeds that run in parallel, one core each [2]")
    parser.add_argument("--relabel", type=Path, default=installed_program(), help="path of the program [that of the package]")
    parser.add_argument("--out", type=Path, help="JSON file for the settings and results of all seeds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
