"""Where the program, its library and its inputs are, and what machine this is.

    python3 scripts/gpu/machine.py      # prints the facts

The environment may name other places: RELABEL (the program), RELABEL_BARE (the bare session's benchmark),
ORT_DYLIB_PATH (ONNX Runtime's library), RELABEL_GPU_FOLDER (where everything that is made lies).
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
    """Something that a step needs is not here; the message says what to do."""


def relabel() -> Path:
    """The program."""
    named = os.environ.get("RELABEL")
    program = Path(named) if named else REPOSITORY / "target/release/relabel"
    if not os.access(program, os.X_OK):
        raise Missing(f"{program}: the program is not there; scripts/gpu/setup brings it, or RELABEL=FILE names it")
    return program


def bare() -> Path:
    """The benchmark that runs a bare session: the newest that cargo built, unless it is named."""
    named = os.environ.get("RELABEL_BARE")
    if named:
        found = [Path(named)]
    else:
        built = (REPOSITORY / "target/release/deps").glob("bare-*")
        found = sorted((file for file in built if file.suffix != ".d"), key=lambda file: file.stat().st_mtime)
    if not found or not os.access(found[-1], os.X_OK):
        raise Missing(
            "the bare session's benchmark is not there; `cargo build --release --bench bare` or scripts/gpu/setup "
            "brings it, or RELABEL_BARE=FILE names it"
        )
    return found[-1]


def photos() -> Path:
    """The photographs of photos.py."""
    return results.folder() / "photos"


def teacher(name: str) -> Path:
    """A teacher's file, such as that of `resnet50.fp16`."""
    return results.folder() / "teachers" / f"{name}.onnx"


def gpu_library() -> Path | None:
    """The ONNX Runtime that scripts/gpu/setup found or brought, if it did."""
    note = results.folder() / "onnxruntime.path"
    library = Path(note.read_text().strip()) if note.exists() else None
    return library if library and library.exists() else None


def environment(**changes: str) -> dict[str, str]:
    """What the programs are run with: this environment, and ONNX Runtime for GPUs where there is one."""
    library = gpu_library()
    chosen = {"ORT_DYLIB_PATH": str(library)} if library else {}
    # `python3` on the path is asked where NVIDIA's libraries are: this Python is the one that has PyTorch.
    chosen["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return chosen | os.environ | {"PATH": chosen["PATH"]} | changes


def said_by(*words: str | Path) -> str:
    """What a command prints, or nothing where it fails."""
    try:
        ran = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60, env=environment())
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


@functools.cache
def relabel_version() -> str:
    """The program's version, and the beginning of its file's SHA-256, which tells builds apart."""
    try:
        program = relabel()
    except Missing:
        return ""
    return f"{said_by(program, '--version')} ({hashlib.sha256(program.read_bytes()).hexdigest()[:12]})"


@functools.cache
def _facts() -> dict[str, str]:
    asked = "name,driver_version,memory.total"
    gpus = said_by("nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader")
    library = os.environ.get("ORT_DYLIB_PATH") or gpu_library()
    cores = len(os.sched_getaffinity(0))
    return {
        "gpu": "; ".join(gpus.splitlines()) or "none",
        "processor": processor(),
        "cores": str(cores),
        "memory_gib": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "onnxruntime": Path(library).resolve().name if library else "whichever relabel finds",
    }


def facts() -> dict[str, str]:
    """The machine in words. No names of hosts, users or folders."""
    return dict(_facts())


def processor() -> str:
    """The name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def gpu_count() -> int:
    """GPUs that nvidia-smi lists."""
    return len(said_by("nvidia-smi", "-L").splitlines())


if __name__ == "__main__":
    for key, value in facts().items():
        print(f"{key:<12} {value}")
    print(f"{'relabel':<12} {relabel_version()}")
