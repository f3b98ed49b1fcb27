"""Kills runs and resumes them: the store must be that of an uninterrupted run."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from pathlib import Path

from bench import machine, programs, stores
from bench.gpu.check_labels import Settings, label, runs_folder, sources
from bench.results import Row, at_least

SHARD_IMAGES = 16
# A GPU labels a few photographs before the run can be killed.
MORE_ON_A_GPU = 5
LOOK_EVERY_S = 0.005


def kill(settings: Settings) -> list[Row]:
    """SIGKILL at random times, then the same command to its end."""
    dice = random.Random(settings.seed)
    kind, source, _ = sources(settings)[-1]
    words: list[object]
    if source == machine.GOLDEN_IMAGES:
        words = ["--shard-size", 4]
    else:
        times = MORE_ON_A_GPU if settings.device.startswith("cuda") else 1
        words = ["--limit", times * settings.photographs, "--shard-size", SHARD_IMAGES]
    complete, killed = runs_folder() / "kill.complete", runs_folder() / "kill.killed"
    began = time.monotonic()
    label(machine.LITE0, source, complete, settings.device, *words)
    wall_s = time.monotonic() - began
    shards = records(complete)

    shutil.rmtree(killed, ignore_errors=True)
    command = programs.label_command(machine.LITE0, source, killed, "--device", settings.device, *words)
    done_at_kills: list[int] = []
    for number in range(settings.kills):
        if number == 0:
            # While the device, the teacher and the store are opened, or soon after.
            has_ended = kill_when(command, killed, 0, dice.uniform(0.2, 0.9) * wall_s)
        else:
            before = records(killed)
            # Not too far ahead, so that later kills also interrupt work.
            wanted = before + 1 + int(dice.random() * (shards - before) / 2)
            has_ended = kill_when(command, killed, min(wanted, shards - 1), dice.uniform(0, 0.02))
        if has_ended:
            break
        done_at_kills.append(records(killed))
    during_work = sum(0 < done < shards for done in done_at_kills)
    programs.run(*command, codes=(0, programs.SOME_FAILED), limit_s=programs.LIMIT_S)
    programs.run(machine.relabel(), "verify", killed, "--full", limit_s=programs.LIMIT_S)
    differ = stores.different_files(killed, complete)
    kills = f"{len(done_at_kills)} kills, with {', '.join(map(str, done_at_kills)) or 'none'} of {shards} shards done"
    note = kills if not differ else f"{kills}; {', '.join(differ[:4])}"
    where = f"Lite0 on {settings.device}, {kind}, SIGKILL and the same command again"
    return [
        Row(f"{where}: files that differ from those of an uninterrupted run", len(differ), "files", "0", not differ, note),
        at_least(f"{where}: kills during the work", during_work, "kills", 1, kills),
    ]


def records(store: Path) -> int:
    """Returns the number of finished shards."""
    return len(list((store / "records").glob("*.json")))


def kill_when(command: list[str], store: Path, wanted: int, then_s: float) -> bool:
    """Starts a run and kills it `then_s` after `wanted` shards are done. Returns whether it ended before that."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=machine.environment()
    )
    try:
        until = time.monotonic() + programs.LIMIT_S
        while process.poll() is None and records(store) < wanted and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)
        try:
            process.wait(timeout=then_s)
        except subprocess.TimeoutExpired:
            return False
        if process.returncode not in (0, programs.SOME_FAILED):
            raise programs.Failed(f"a run ended with {process.returncode} before it was killed: {json.dumps(command)}")
        return True
    finally:
        process.kill()
        process.wait()
