"""`python -m relabel.ray`: its arguments and decisions, and two tasks on a small Ray of this machine."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from exchange_files import store_bytes
from harness import PHOTOGRAPHS, PROGRAM, TEACHER, label, run_relabel_json

from relabel.console import Output
from relabel.ray.arguments import parse, value_of
from relabel.ray.command import main
from relabel.ray.labeller import CANNOT_START, Labeller, last_message
from relabel.ray.progress import Progress
from relabel.ray.tasks import Ending, Task, exit_code

CLUSTER = """
import ray, sys
context = ray.init(
    address="local", num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False,
    logging_level="error", _node_ip_address="127.0.0.1", _temp_dir=sys.argv[1],
)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""

KILLED_ONCE = """#!{python}
# Runs the program. The first process of task 0 is killed after its first shard.
import os, pathlib, subprocess, sys, time
words = sys.argv[1:]
if words[0] != "run" or "--task-index 0 " not in " ".join(words):
    os.execv({program!r}, ["relabel", *words])
try:
    os.mkdir({marker!r})
except FileExistsError:
    os.execv({program!r}, ["relabel", *words])
process = subprocess.Popen([{program!r}, *words])
records = pathlib.Path({store!r}, "records")
while not (done := list(records.glob("*.json"))) and process.poll() is None:
    time.sleep(0.01)
process.kill()
for record in done:
    pathlib.Path({marker!r}, record.name).write_text(str(record.stat().st_mtime_ns))
os.kill(os.getpid(), 9)
"""


def test_values_of_options_are_found():
    assert value_of(["--in", "a", "--out", "b"], "--out") == "b"
    assert value_of(["--out=b=c"], "--out") == "b=c"
    assert value_of(["--output", "b", "out"], "--out") is None
    assert value_of(["--out"], "--out") == ""


def test_threads_follow_the_cores_unless_given():
    args = ["--tasks", "2", "--cpus-per-task", "6.5", "--relabel", str(PROGRAM), "--", "--out", "labels"]
    assert parse(args).command() == [str(PROGRAM), "run", "--out", "labels", "--threads", "6"]
    for given in [["--threads=3"], ["--threads", "3"]]:
        assert parse([*args, *given]).command() == [str(PROGRAM), "run", "--out", "labels", *given]


def test_tasks_are_over_when_another_attempt_is_useless():
    retries = 2
    assert not Task(0, attempts=3).is_over(retries)
    for code, attempts, over in [
        (0, 1, True), (3, 1, True), (2, 1, True), (1, 2, False), (130, 2, False), (-9, 2, False), (1, 3, True), (-9, 3, True),
    ]:  # fmt: skip
        assert Task(0, attempts, ending=Ending(code, "")).is_over(retries) is over, (code, attempts)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([0, 3], 3), ([3, 1], 1), ([0, -9], 1), ([130, 0], 1), ([1, 2, 3], 2), ([0, None], 1)],
)
def test_the_exit_code_is_that_of_the_worst_task(codes, expected):
    tasks = [Task(index, 1, ending=None if code is None else Ending(code, "")) for index, code in enumerate(codes)]
    assert exit_code(tasks) == expected


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--tasks", "2", "--", "--in", "photos"], "no store given\n  help: add --out STORE after the --"),
        (["--tasks", "0", "--", "--out", "labels"], "argument --tasks: expected a whole number from 1"),
        (["--tasks", "2", "--retries", "-1", "--", "--out", "labels"], "argument --retries: expected"),
        (["--tasks", "2", "--poll", "nan", "--", "--out", "labels"], "argument --poll: expected a number from 0"),
        (["--tasks", "2", "--gpus-per-task", "1.5", "--", "--out", "labels"], "--gpus-per-task: expected a whole number"),
        (["--tasks", "2", "--out", "labels"], "unrecognized arguments: --out labels"),
        (["--", "--out", "labels"], "required: --tasks"),
        (["--tasks", "2", "--", "--out", "labels", "--task-index=1"], "--task-index cannot be passed to relabel run"),
        (["--tasks", "2", "--", "--out", "labels", "--json"], "--json cannot be passed to relabel run"),
        (["--tasks", "2", "--relabel", "no-such-program", "--", "--out", "labels"], "cannot find the program no-such-program"),
    ],
)
def test_invalid_arguments_are_refused_before_ray_is_imported(args, reason, capfd, monkeypatch):
    hide_ray(monkeypatch)
    assert main(args) == 2
    assert reason in capfd.readouterr().err


def test_a_missing_ray_is_reported(capfd, monkeypatch):
    hide_ray(monkeypatch)
    assert main(["--tasks", "2", "--relabel", str(PROGRAM), "--", "--out", "labels"]) == 1
    message = capfd.readouterr().err
    assert message.startswith("relabel: cannot import Ray: ")
    assert "pip install ray" in message
    assert "[ray]" in message


def test_a_process_that_cannot_start_is_reported(tmp_path):
    code, message = Labeller().label([str(PROGRAM), "run"], 0, 2, str(tmp_path / "missing"))
    assert code == CANNOT_START
    assert message.startswith("cannot start: ")
    assert "missing" in message


def test_the_last_message_includes_its_help():
    assert last_message("relabel: 3 images\nrelabel: cannot read x\n  cause\n  help: y\n") == "cannot read x\n  cause\n  help: y"
    assert last_message("  the tail began here\n  help: y") == "  the tail began here\n  help: y"
    assert last_message("") == "no output"


@pytest.mark.parametrize(("code", "help_line"), [(2, "correct the arguments"), (1, "the same command resumes")])
def test_the_summary_lists_what_is_not_done(tmp_path, capfd, code, help_line):
    options = parse(["--tasks", "2", "--retries", "1", "--relabel", str(PROGRAM), "--", "--out", str(tmp_path / "labels")])
    tasks = [Task(0, 1, ending=Ending(0, "")), Task(1, 2, ending=Ending(code, "cannot label\n  help: do"))]
    progress = Progress(options, Output(False, False, 0, False))
    progress.ended(tasks[1], tasks[1].ending)
    progress.summary(tasks)
    assert capfd.readouterr().err.splitlines() == [
        f"relabel: task 1 ended with {code}, attempt 2 of 2, giving up: cannot label",
        "  help: do",
        "relabel: no store yet, 2 of 2 tasks over",
        "relabel: retries: 1",
        "relabel: tasks that are not done: 1",
        f"  help: {help_line}",
    ]


def test_a_killed_task_is_retried_and_resumes(tmp_path, cluster):
    source = photographs(tmp_path / "photographs", 20)
    program, marker, store = tmp_path / "killed_once", tmp_path / "killed", tmp_path / "labels"
    values = {"python": sys.executable, "program": str(PROGRAM), "marker": str(marker), "store": str(store)}
    program.write_text(KILLED_ONCE.format(**values))
    program.chmod(0o755)
    done = start(cluster, source, store, "--relabel", program, "--retry-after", 0, "--poll", 0.5)
    errors = done.communicate(timeout=120)[1]
    assert done.returncode == 0, errors
    for line in [
        "task 0 was killed by signal 9, attempt 1 of 4, retrying in 0 s: ",
        "task 0 is done",
        "task 1 is done",
        "retries: 1\n",
        "20 of 20 images, 0 failed, 10 of 10 shards, 2 of 2 tasks over",
    ]:
        assert line in errors, line
    kept = list(marker.iterdir())
    assert kept
    for record in kept:
        assert (store / "records" / record.name).stat().st_mtime_ns == int(record.read_text())
    assert store_bytes(store) == store_bytes(label(source, tmp_path / "alone", "--shard-size", 2))


def test_sigterm_stops_the_tasks_and_keeps_their_shards(tmp_path, cluster):
    source = photographs(tmp_path / "photographs", 600)
    store = tmp_path / "labels"
    process = start(cluster, source, store)
    give_up = time.monotonic() + 60
    while not list(store.glob("records/*.json")) and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "interrupted: asking the tasks to stop" in errors
    assert "the same command resumes" in errors
    status = run_relabel_json("status", store)
    assert 0 < status["labelled"] < status["images"]


@pytest.fixture(scope="module")
def cluster():
    """Address and environment of a Ray with two cores. Closing its stdin ends it."""
    # Paths of sockets must be short.
    folder = tempfile.mkdtemp(prefix="ray-")
    environment = os.environ | {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        address = process.stdout.readline().strip()
        assert address, "Ray did not start"
        yield environment | {"RAY_ADDRESS": address}
        process.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def start(environment: dict, source: Path, store: Path, *options: object) -> subprocess.Popen:
    """Starts `python -m relabel.ray` with two tasks of one core, and shards of two images."""
    words = ["-m", "relabel.ray", "--tasks", 2, "--relabel", PROGRAM, *options]
    run = ["--teacher", TEACHER, "--in", source, "--out", store, "--shard-size", 2]
    command = [sys.executable, *map(str, words), "--", *map(str, run)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def photographs(folder: Path, count: int) -> Path:
    """Makes a folder with `count` photographs."""
    folder.mkdir()
    names = ["astronaut.JPEG", "camera.JPEG", "chelsea.JPEG", "rocket.JPEG"]
    for number in range(count):
        shutil.copy(PHOTOGRAPHS / names[number % 4], folder / f"{number}.JPEG")
    return folder


def hide_ray(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "relabel.ray.schedule", raising=False)
