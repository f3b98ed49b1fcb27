"""Locates the program, its library and its inputs, and describes the machine.

    python3 scripts/gpu/machine.py      # prints the facts

Environment variables change the locations: RELABEL (the program), RELABEL_BARE (the benchmark of the bare session),
ORT_DYLIB_PATH (the library of ONNX Runtime), RELABEL_GPU_FOLDER (the folder of all generated files).
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import results

REPOSITORY = results.REPOSITORY
GOLDEN_IMAGES = REPOSITORY / "tests/data/golden/images"
LITE0 = REPOSITORY / "models/efficientnet-lite0.onnx"


class Missing(Exception):
    """A requirement of a step is missing. The message describes what to do."""


def relabel() -> Path:
    """Returns the program."""
    named = os.environ.get("RELABEL")
    program = Path(named) if named else REPOSITORY / "target/release/relabel"
    if not os.access(program, os.X_OK):
        raise Missing(f"program not found: {program}; run scripts/gpu/setup, or name it with RELABEL=FILE")
    return program


def bare() -> Path:
    """Returns the benchmark of the bare session: $RELABEL_BARE, else the newest that cargo built."""
    named = os.environ.get("RELABEL_BARE")
    if named:
        found = [Path(named)]
    else:
        built = (REPOSITORY / "target/release/deps").glob("bare-*")
        found = sorted((file for file in built if file.suffix != ".d"), key=lambda file: file.stat().st_mtime)
    if not found or not os.access(found[-1], os.X_OK):
        raise Missing(
            "benchmark of the bare session not found; run `cargo build --release --bench bare` or scripts/gpu/setup, or name "
            "it with RELABEL_BARE=FILE"
        )
    return found[-1]


def photos() -> Path:
    """Returns the folder of the photographs of photos.py."""
    return results.folder() / "photos"


def teacher(name: str) -> Path:
    """Returns the path of a teacher, such as `resnet50.fp16`."""
    return results.folder() / "teachers" / f"{name}.onnx"


def gpu_library() -> Path | None:
    """Returns the ONNX Runtime that scripts/gpu/setup found or installed, if any."""
    note = results.folder() / "onnxruntime.path"
    library = Path(note.read_text().strip()) if note.exists() else None
    return library if library and library.exists() else None


def environment(**changes: str) -> dict[str, str]:
    """Returns the environment for the programs: that of this process, and ONNX Runtime with CUDA if there is one."""
    library = gpu_library()
    chosen = {"ORT_DYLIB_PATH": str(library)} if library else {}
    # relabel asks the `python3` on the path for NVIDIA's libraries: this Python has PyTorch.
    chosen["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return chosen | os.environ | {"PATH": chosen["PATH"]} | changes


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
def _facts() -> dict[str, str]:
    asked = "name,driver_version,memory.total"
    gpus = output_of("nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader")
    library = os.environ.get("ORT_DYLIB_PATH") or gpu_library()
    cores = len(os.sched_getaffinity(0))
    return {
        "gpu": "; ".join(gpus.splitlines()) or "none",
        "processor": processor(),
        "cores": str(cores),
        "memory_gib": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "onnxruntime": Path(library).resolve().name if library else "found by relabel",
    }


def facts() -> dict[str, str]:
    """Returns a description of the machine, without names of hosts, users or folders."""
    return dict(_facts())


def processor() -> str:
    """Returns the name of the CPU."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def gpu_count() -> int:
    """Returns the number of GPUs that nvidia-smi lists."""
    return len(output_of("nvidia-smi", "-L").splitlines())


if __name__ == "__main__":
    for key, value in facts().items():
        print(f"{key:<12} {value}")
    print(f"{'relabel':<12} {relabel_version()}")
