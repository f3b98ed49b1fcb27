"""Locates the programs, their library and their inputs, and describes the machine.

Environment variables change the locations, for all processes of a benchmark: RELABEL (the program), RELABEL_BARE (the
benchmark of the bare session), ORT_DYLIB_PATH (the library of ONNX Runtime), RELABEL_BENCH_FOLDER (all generated files).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN_IMAGES = ROOT / "tests/data/golden/images"
LITE0 = ROOT / "models/efficientnet-lite0.onnx"
PACKAGES = ("onnxruntime", "onnxruntime-gpu", "torch", "numpy", "Pillow")


class Missing(Exception):
    """A requirement is missing. The message describes what to do."""


class NoBare(Missing):
    """The benchmark of the bare session is not built. The results that need it are skipped."""


def folder() -> Path:
    """Returns the folder of all generated files."""
    named = os.environ.get("RELABEL_BENCH_FOLDER")
    return Path(named) if named else ROOT / "target/bench"


def photographs() -> Path:
    """Returns the folder of the GPU steps' photographs."""
    return folder() / "photographs"


def teacher(name: str) -> Path:
    """Returns the path of a teacher of the GPU steps, such as `resnet50.fp16`."""
    return folder() / "teachers" / f"{name}.onnx"


def cores() -> int:
    return len(os.sched_getaffinity(0))


def add_programs(parser: argparse.ArgumentParser) -> None:
    """Adds the options that name the measured programs."""
    program = "program to measure (default: the one next to this Python, else that of target, else that of PATH)"
    parser.add_argument("--relabel", metavar="FILE", help=program)
    parser.add_argument("--bare", metavar="FILE", help="benchmark of the bare session (default: the newest that cargo built)")


def choose_programs(chosen: argparse.Namespace) -> None:
    """Makes the named programs those of this process and of all that it starts."""
    for variable, value in (("RELABEL", chosen.relabel), ("RELABEL_BARE", chosen.bare)):
        if value:
            os.environ[variable] = str(Path(value).absolute())
    relabel()


def relabel() -> Path:
    """Returns the program to measure."""
    if named := os.environ.get("RELABEL"):
        found: Path | None = Path(named)
    else:
        next_to_python = Path(sys.executable).parent / "relabel"
        in_path = shutil.which("relabel")
        found = next_to_python if next_to_python.is_file() else newest("relabel") or (Path(in_path) if in_path else None)
    if found is None or not os.access(found, os.X_OK):
        raise Missing(f"program not found{f': {found}' if found else ''}; install the wheel, or name it with --relabel FILE")
    return found


def bare() -> Path:
    """Returns the benchmark of the bare session."""
    named = os.environ.get("RELABEL_BARE")
    found = Path(named) if named else newest("deps/bare-*")
    if found is None or not os.access(found, os.X_OK):
        build = "`cargo bench --bench bare --no-run` in a clone builds it"
        raise NoBare(f"benchmark of the bare session not found; {build}, and --bare FILE names it")
    return found


def newest(pattern: str) -> Path | None:
    """Returns the newest program that cargo built, for this machine's or a named target."""
    found = [file for release in ("release", "*/release") for file in ROOT.glob(f"target/{release}/{pattern}")]
    programs = [file for file in found if file.is_file() and os.access(file, os.X_OK)]
    return max(programs, key=lambda file: file.stat().st_mtime, default=None)


def library() -> Path | None:
    """Returns the ONNX Runtime for all programs: $ORT_DYLIB_PATH, else that of this Python, if it has one."""
    if named := os.environ.get("ORT_DYLIB_PATH"):
        return Path(named)
    spec = importlib.util.find_spec("onnxruntime")
    package = Path(spec.origin).parent if spec and spec.origin else None
    return max((package / "capi").glob("libonnxruntime.so*"), default=None) if package else None


def environment(**changes: str) -> dict[str, str]:
    """Returns the environment of all programs: this Python comes first, with its ONNX Runtime."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    chosen = {"ORT_DYLIB_PATH": str(library())} if library() else {}
    return os.environ | chosen | {"PATH": path} | changes


def output_of(*words: str | Path) -> str:
    """Returns the output of a command, or an empty string if it fails."""
    try:
        ran = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60, env=environment())
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


@functools.cache
def relabel_version() -> str:
    """Returns the program's version and the first digits of its SHA-256, which distinguish builds."""
    try:
        program = relabel()
    except Missing:
        return ""
    return f"{output_of(program, '--version')} ({hashlib.sha256(program.read_bytes()).hexdigest()[:12]})"


@functools.cache
def facts() -> dict[str, str]:
    """Returns a description of the machine, without names of hosts, users or folders."""
    gpus = output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    return {
        "gpu": "; ".join(gpus.splitlines()) or "none",
        "processor": processor(),
        "cores": str(cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "ONNX Runtime": path.resolve().name if (path := library()) else "found by relabel",
        **{name: found for name in PACKAGES if (found := version_of(name))},
    }


def version_of(package: str) -> str:
    """Returns the version of an installed package, or an empty string."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def processor() -> str:
    """Returns the name of the CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def gpu_count() -> int:
    """Returns the number of GPUs that nvidia-smi lists."""
    return len(output_of("nvidia-smi", "-L").splitlines())
