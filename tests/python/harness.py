"""Paths, the environment and the commands that all tests share."""

import importlib.util
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from unittest import mock

REPOSITORY = Path(__file__).resolve().parents[2]
# That of the wheel, which `make wheel` installs next to this Python.
PROGRAM = Path(sys.executable).with_name("relabel")
TEACHER = REPOSITORY / "models/efficientnet-lite0.onnx"
GOLDEN = REPOSITORY / "tests/data/golden"
PHOTOGRAPHS = GOLDEN / "images/photos"

# Schedulers, launchers, cloud tools and this project read these: a test must not depend on the caller's.
CLEARED_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "HF_", "JOB_COMPLETION_", "RAY_", "RELABEL", "SLURM_")
CLEARED = {
    "ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE",
    "ORT_DYLIB_PATH", "PYTHON",
}  # fmt: skip


def isolate_environment() -> None:
    """Removes the caller's settings from this process, and so from every program that a test starts.

    ONNX Runtime and PyTorch then come from the project's own environment.
    """
    for name in list(os.environ):
        if name.upper() in CLEARED or name.startswith(CLEARED_PREFIXES):
            del os.environ[name]
    os.environ["VIRTUAL_ENV"] = str(REPOSITORY / ".venv")
    os.environ["RELABEL_PYTHON"] = sys.executable


def run(*command: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Runs a program in the repository and expects its exit code.

    Args:
        command: The program and its arguments.
        code: The expected exit code.
        environment: Variables to set in addition to those of this process.
    """
    completed = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=os.environ | environment, cwd=REPOSITORY
    )
    assert completed.returncode == code, f"exit code {completed.returncode}\n{completed.stdout}{completed.stderr}"
    return completed


def run_python(*args: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Runs this Python with a script or ``-c`` and expects its exit code."""
    return run(sys.executable, *args, code=code, **environment)


def run_relabel(*args: object, code: int = 0) -> subprocess.CompletedProcess:
    """Runs ``relabel`` and expects its exit code."""
    return run(PROGRAM, *args, code=code)


def run_relabel_json(*args: object, code: int = 0) -> dict:
    """Runs ``relabel --json`` and returns its document."""
    return json.loads(run_relabel(*args, "--json", code=code).stdout)


def label(source: Path, store: Path, *args: object, code: int = 0) -> Path:
    """Labels a folder of images with the bundled teacher and returns the store."""
    run_relabel("run", "--teacher", TEACHER, "--in", source, "--out", store, *args, code=code)
    return store


def load_script(path: Path) -> ModuleType:
    """Imports a script of the repository, so that a test can call its functions without another start of PyTorch."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(f"script_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def call_main(script: ModuleType, *args: object, code: int = 0) -> subprocess.CompletedProcess:
    """Runs the ``main`` of a script in this process, as from a command line, and expects its exit code."""
    words = [Path(script.__file__).name, *map(str, args)]
    stdout, stderr = io.StringIO(), io.StringIO()
    with mock.patch.object(sys, "argv", words), redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            found = script.main() or 0
        except SystemExit as exit_:
            # As the interpreter does: it prints a message and exits with 1.
            if isinstance(exit_.code, str):
                print(exit_.code, file=stderr)
            found = 1 if isinstance(exit_.code, str) else exit_.code or 0
    completed = subprocess.CompletedProcess(words, found, stdout.getvalue(), stderr.getvalue())
    assert found == code, f"exit code {found}\n{completed.stdout}{completed.stderr}"
    return completed
