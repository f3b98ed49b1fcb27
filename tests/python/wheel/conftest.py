"""The wheel under test, and environments that it is installed in. Nothing else of the project is in them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import REPOSITORY


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The file that the variable WHEEL names, or the newest of `make wheel`."""
    if given := os.environ.get("WHEEL"):
        return Path(given).absolute()
    wheels = sorted((REPOSITORY / "target/dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    assert wheels, "target/dist contains no wheel: run make wheel, or set WHEEL to its file"
    return wheels[-1]


class Environment:
    """A virtual environment, whose programs are run without the variables of the caller."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.work = folder / "env", folder / "env/bin", folder / "work"
        self.work.mkdir()
        (folder / "home").mkdir()
        (folder / "no programs").mkdir()
        self._variables = {"HOME": str(folder / "home"), "PATH": str(folder / "no programs"), "LANG": "C.UTF-8"}
        subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)

    def install(self, *args: object) -> None:
        """Runs `pip install`, with the caller's settings of pip."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [self.bin / "python", "-m", "pip", "install", "--quiet", *map(str, args)]
        subprocess.run(command, check=True, env=variables, cwd=self.work)

    def run(self, name: str, *args: object, code: int = 0) -> subprocess.CompletedProcess:
        """Runs a program of the environment in the folder `work` and expects its exit code."""
        completed = subprocess.run(
            [self.bin / name, *map(str, args)], capture_output=True, text=True, env=self._variables, cwd=self.work
        )
        assert completed.returncode == code, f"exit code {completed.returncode}\n{completed.stdout}{completed.stderr}"
        return completed


@pytest.fixture(scope="session")
def environment(wheel, tmp_path_factory) -> Environment:
    """The wheel with the extra [cpu]."""
    environment = Environment(tmp_path_factory.mktemp("wheel"))
    environment.install(f"{wheel}[cpu]")
    return environment


@pytest.fixture(scope="session")
def environment_without_extras(wheel, tmp_path_factory) -> Environment:
    """The wheel alone, in which only the program can be run."""
    environment = Environment(tmp_path_factory.mktemp("bare"))
    environment.install("--no-deps", wheel)
    return environment
