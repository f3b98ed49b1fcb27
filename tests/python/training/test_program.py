"""`python -m relabel`: which program runs a command, and what is implemented in Python."""

import os
import stat
from pathlib import Path

import pytest
from harness import PROGRAM, run, run_python

from relabel import _program
from relabel.console import Refusal


def make_program(folder: Path, script: str = "exit 0") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "relabel"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def pretend_package_is_in(monkeypatch, packages: Path) -> None:
    monkeypatch.setattr(_program, "__file__", str(packages / "relabel/_program.py"))


@pytest.mark.parametrize(
    ("packages", "programs"),
    [
        ("env/lib/python3.11/site-packages", "env/bin"),
        ("local/lib/python3.10/dist-packages", "local/bin"),
        ("target", "target/bin"),
    ],
)
def test_the_program_next_to_the_package_is_preferred(tmp_path, monkeypatch, packages, programs):
    other = make_program(tmp_path / "other")
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.setattr(_program.sysconfig, "get_path", lambda *_: str(other.parent))
    pretend_package_is_in(monkeypatch, tmp_path / packages)
    assert _program.find_program() == other
    (tmp_path / programs / "relabel").mkdir(parents=True)  # a folder of this name is not the program
    assert _program.find_program() == other
    (tmp_path / programs / "relabel").rmdir()
    nearest = make_program(tmp_path / programs)
    assert _program.find_program() == nearest


def test_a_missing_program_is_reported_with_the_searched_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_program.sysconfig, "get_path", lambda *_: str(tmp_path / "scripts"))
    pretend_package_is_in(monkeypatch, tmp_path)
    with pytest.raises(Refusal) as refusal:
        _program.find_program()
    message = str(refusal.value)
    assert message.startswith(f"cannot find the program relabel: it is neither in {tmp_path}/bin, {tmp_path}/scripts, nor on")
    assert "\n  help: " in message


def test_commands_are_handed_to_the_program(tmp_path):
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    assert run_python("-m", "relabel", "--version", PATH=path).stdout == run(PROGRAM, "--version").stdout
    refused = run_python("-m", "relabel", "status", tmp_path, "--json", code=1, PATH=path)
    assert refused.stdout == run(PROGRAM, "status", tmp_path, "--json", code=1).stdout
    assert run_python("-m", "relabel", code=2, PATH=path).stderr == run(PROGRAM, code=2).stderr
    # The help describes every option; the commands in Python only parse them.
    assert run_python("-m", "relabel", "import", "--help", PATH=path).stdout == run(PROGRAM, "import", "--help").stdout


def test_commands_in_python_do_not_start_the_program():
    refused = run_python("-m", "relabel", "export", code=2)
    assert "relabel: the following arguments are required: STORE, --out" in refused.stderr


def test_numpy_is_imported_on_first_use_only():
    run_python("-c", "import sys, relabel, relabel.__main__; assert 'numpy' not in sys.modules; relabel.open; sys.modules['numpy']")
    run_python("-c", "from relabel import *; Labels, SparseTargets, Fill, open.__kwdefaults__['cache']")
