"""The program ``relabel``, which the wheel installs alongside this package."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from .console import Refusal

NAME = "relabel"


def find_program() -> Path:
    """Returns the path of the program that was installed with this package, or else the one on the PATH.

    Raises:
        Refusal: If the program is missing; the message lists the folders that were searched.
    """
    folders = list(dict.fromkeys(map(str, _folders())))
    program = shutil.which(NAME, path=os.pathsep.join(folders)) or shutil.which(NAME)
    if program is None:
        raise Refusal(
            f"cannot find the program {NAME}: it is neither in {', '.join(folders)}, nor on the PATH\n  help: install the wheel "
            "of relabel again (pip install --force-reinstall WHEEL), or add the folder of the program to the PATH"
        )
    return Path(program).absolute()


def become_program(args: Sequence[str]) -> NoReturn:
    """Replaces this process by the program, as if a shell had started it.

    Raises:
        Refusal: If the program is missing or cannot be started.
    """
    program = find_program()
    # Commands that the program hands back, such as `--quiet import DIR`, are then run by this Python.
    os.environ.setdefault("RELABEL_PYTHON", sys.executable)
    # Python ignores these signals, and the program would inherit that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program, [NAME, *args])
    except OSError as error:
        raise Refusal(
            f"cannot start {program}: {error.strerror}\n  help: install the wheel for this machine, or build one from the sources"
        ) from error


def _folders() -> Iterator[Path]:
    """Yields the folders where installers put programs, beginning with those that belong to this package's folder."""
    packages = Path(__file__).absolute().parents[1]
    yield packages / "bin"  # pip install --target
    if packages.name in ("site-packages", "dist-packages"):
        yield packages.parents[2] / "bin"  # <environment>/lib/python3.x/site-packages
    # Editable installs: the package is in a clone.
    yield Path(sysconfig.get_path("scripts"))
    yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
