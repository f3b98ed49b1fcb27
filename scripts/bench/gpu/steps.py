"""Runs all checks and measurements of labelling on a GPU. Each step can also be run by itself:

    scripts/bench gpu                                   # all steps, the most important measurements first
    scripts/bench gpu --quick --minutes 14              # fewer photographs and repeats; starts no step after 14 minutes
    scripts/bench gpu --quick check-first table         # only these steps
    scripts/bench gpu --list                            # list the steps

Every step is a process of its own with a time limit. It writes its rows to target/bench/results and its output to
target/bench/logs. If one fails, the others still run.

Exit codes: 0 all steps ran and every check passed, 1 a step failed, timed out or was skipped, 2 wrong usage. Missed
speed targets are listed in the table.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.command import command_of, parser_of

L2 = "tf_efficientnet_l2_ns_475"
# Between asking a step that hangs to end, and ending it.
GRACE_S = 20


@dataclass(frozen=True)
class Step:
    """A command of this package under its own name."""

    name: str
    words: tuple[object, ...]


def all_steps(chosen: argparse.Namespace) -> list[Step]:
    """Returns the steps in order."""
    on = ("--device", chosen.device)
    quick = ("--quick",) if chosen.quick else ()
    photographs = chosen.photographs or (12_000 if chosen.quick else 20_000)

    def measure(part: str, teacher: str, short: str) -> Step:
        return Step(f"{part}-{short}", ("measure", part, "--teacher", teacher, *on, *quick))

    return [
        # It tests CUDA.
        *([] if chosen.device == "cpu" else [Step("setup", ("setup", *on))]),
        Step("photos", ("photographs", "--images", photographs)),
        Step("check-first", ("check", *on, "golden", "placement", "refusals", "fp16")),
        Step("teachers-first", ("teachers", "resnet50.fp16", f"{L2}.fp16")),
        measure("end-to-end", "resnet50.fp16", "resnet50"),
        measure("end-to-end", f"{L2}.fp16", "l2"),
        measure("peer", "resnet50.fp16", "resnet50"),
        measure("peer", f"{L2}.fp16", "l2"),
        measure("ceiling", f"{L2}.fp16", "l2"),
        measure("knobs", "resnet50.fp16", "resnet50"),
        measure("knobs", f"{L2}.fp16", "l2"),
        measure("sessions", "resnet50.fp16", "resnet50"),
        Step("check-sessions", ("check", *on, "sessions")),
        Step("check-kill", ("check", *on, "kill")),
        Step("teachers-more", ("teachers", "resnet50.fp32", "convnext_base.fp16", f"{L2}.fp32")),
        Step("check-teachers", ("check", *on, "teachers")),
        measure("end-to-end", "convnext_base.fp16", "convnext"),
        measure("end-to-end", "resnet50.fp32", "resnet50-fp32"),
        measure("end-to-end", f"{L2}.fp32", "l2-fp32"),
        Step("table", ("table", *(() if chosen.price is None else ("--price", chosen.price)))),
    ]


def main(words: list[str]) -> int:
    chosen, steps = arguments(words)
    if chosen.list:
        print("\n".join(step.name for step in steps))
        return 0
    machine.choose_programs(chosen)
    wanted = [step for step in steps if not chosen.names or step.name in chosen.names]
    limit_s = chosen.step_limit or (420 if chosen.quick else 1800)
    began = time.monotonic()
    succeeded = True
    for step in wanted:
        # The table takes no time and summarises all steps.
        is_over = chosen.minutes is not None and time.monotonic() - began >= 60 * chosen.minutes
        if is_over and step.name != "table":
            quick = " --quick" if chosen.quick else ""
            print(f"skipped    {step.name}: {chosen.minutes:g} minutes are over; run scripts/bench gpu{quick} {step.name}")
            succeeded = False
        else:
            succeeded &= run(step, limit_s)
    return 0 if succeeded else 1


def run(step: Step, limit_s: float) -> bool:
    """Runs a step, prints its outcome, and returns whether it succeeded."""
    log = machine.folder() / "logs" / f"{step.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    code = code_of(command_of(*step.words), log, limit_s)
    outcome = "timed out" if code is None else "done" if code == 0 else f"FAILED ({code})"
    print(f"{outcome:<10} {step.name}, {time.monotonic() - began:.0f} s, {log}", flush=True)
    lines = log.read_text(errors="replace").splitlines()
    if code != 0:
        print("".join(f"             {line}\n" for line in lines[-4:]), end="", flush=True)
    elif step.name == "table":
        print("\n".join(lines), flush=True)
    return code == 0


def code_of(command: list[str], log: Path, limit_s: float) -> int | None:
    """Runs a command and all that it starts; returns its exit code, or None if it exceeded the limit."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, cwd=machine.ROOT, stdout=output, stderr=output, start_new_session=True)
        try:
            return child.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # On Ctrl-C, too. The children of a step that ended by itself have ended.
            if child.poll() is None:
                end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ends a process with all of its group."""
    os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def arguments(words: list[str]) -> tuple[argparse.Namespace, list[Step]]:
    parser = parser_of("gpu", __doc__)
    parser.add_argument("names", nargs="*", metavar="STEP", help="steps to run (default: all); see --list")
    parser.add_argument("--quick", action="store_true", help="fewer photographs and repeats, and shorter runs")
    parser.add_argument("--device", default="cuda:0", metavar="D", help="as in `relabel run`; cpu only tests the steps")
    parser.add_argument("--minutes", type=float, metavar="N", help="start no step after N minutes")
    parser.add_argument("--price", type=float, metavar="N", help="EUR per hour of the GPU, for the table")
    count = "number of photographs to make (default: 20,000; 12,000 with --quick)"
    parser.add_argument("--photographs", type=int, metavar="N", help=count)
    parser.add_argument("--step-limit", type=float, metavar="S", help="seconds of a step (default: 1800; 420 with --quick)")
    parser.add_argument("--list", action="store_true", help="list the steps")
    machine.add_programs(parser)
    chosen = parser.parse_args(words)
    steps = all_steps(chosen)
    names = {step.name for step in steps}
    if unknown := [name for name in chosen.names if name not in names]:
        parser.error(f"unknown step {unknown[0]}; see --list")
    return chosen, steps
