"""Checks for the native tools that the build needs, which would otherwise fail after minutes. pyproject.toml has the rest."""

import platform
import shutil
import sys

from setuptools import setup

# Commands of PEP 517 builds and of `pip install -e`.
COMMANDS_THAT_COMPILE = {"bdist_wheel", "build", "build_ext", "build_rust", "develop", "editable_wheel", "install"}

TOOLS = {
    "cargo": "Rust 1.92 or newer, from https://rustup.rs",
    "cmake": "CMake, which builds libjpeg-turbo",
    "cc": "a C compiler (Debian: build-essential)",
}
if platform.machine() in ("x86_64", "AMD64"):
    TOOLS["nasm"] = "NASM, the assembler of libjpeg-turbo"

if COMMANDS_THAT_COMPILE & set(sys.argv):
    missing = [f"  {tool}: {purpose}" for tool, purpose in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.exit("cannot build relabel: missing programs\n" + "\n".join(missing) + "\n  help: install them, or install a wheel, which needs no compiler")

setup()
