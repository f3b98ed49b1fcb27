"""Runs of an experiment with several seeds, and their results as tables."""

import dataclasses
import json
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from .student import Arm, Mixing, Settings

Results = dict[str, float]
"""Top-1 accuracy by arm, and that of the teacher."""


def run_seeds(train: Callable[[int], Results], seeds: range, processes: int) -> dict[int, Results]:
    """Returns the results of each seed. Seeds run in parallel if there are several processes."""
    if processes == 1:
        return dict(zip(seeds, map(train, seeds)))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return dict(zip(seeds, pool.map(train, seeds)))


def save(results: dict[int, Results], settings: Settings, canvases: int, path: Path) -> None:
    """Writes settings and results as JSON."""
    record = {"settings": dataclasses.asdict(settings), "canvases": canvases, "top1": results}
    path.write_text(json.dumps(record, indent=1) + "\n")


def table(results: dict[int, Results], arms: list[Arm], teacher_test: str) -> str:
    """Returns means and standard errors as Markdown. ``teacher_test`` describes the images of the teacher's accuracy."""
    headings: dict[Mixing, str] = {"none": "no CutMix", "paper": "CutMix", "region": "CutMix by region"}
    columns = [mixing for mixing in headings if any(arm.cutmix == mixing for arm in arms)]
    lines = [
        "| target | " + " | ".join(headings[mixing] for mixing in columns) + " |",
        "|---" + "|---:" * len(columns) + "|",
    ]
    for target in dict.fromkeys(arm.target for arm in arms):
        cells = [
            mean_and_error([result[str(Arm(target, mixing))] for result in results.values()])
            if Arm(target, mixing) in arms
            else ""
            for mixing in columns
        ]
        lines.append(f"| {target} | " + " | ".join(cells) + " |")
    teachers = mean_and_error([result["teacher"] for result in results.values()])
    lines.append(f"\nTop-1 on {len(results)} seeds, mean ± standard error; the teacher: {teachers} of {teacher_test}.\n")
    return "\n".join(lines)


def differences(results: dict[int, Results], arms: list[Arm], compared: list[tuple[Arm, Arm]]) -> str:
    """Returns the differences between arms, paired by seed, which removes the variance between seeds."""
    lines = ["| difference | top-1 |", "|---|---:|"]
    for better, worse in compared:
        if better in arms and worse in arms:
            values = [result[str(better)] - result[str(worse)] for result in results.values()]
            lines.append(f"| {better} minus {worse} | {mean_and_error(values, '+')} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def mean_and_error(values: list[float], sign: str = "") -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):{sign}.3f} ± {error:.3f}"
