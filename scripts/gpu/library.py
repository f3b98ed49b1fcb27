"""Finds ONNX Runtime for GPUs and the CUDA libraries that it needs.

    python3 scripts/gpu/library.py find        # prints the library's path, or nothing and ends with 1
    python3 scripts/gpu/library.py missing     # prints what is missing: a library, and the package that has it

What ONNX Runtime's CUDA provider needs is read from the provider itself, with `ldd`; the packages of NVIDIA, such as
PyTorch brings them, count as there, since relabel looks into them. cuDNN, and the compiler that it uses, are loaded
later, so `ldd` does not show them.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import machine
import results

PROVIDER = "libonnxruntime_providers_cuda.so"
SYSTEM_FOLDERS = ("/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
# Packages for CUDA 13 and newer; those for CUDA 12 have `-cu12` behind the name.
PACKAGES = {
    "libcublas": "nvidia-cublas",
    "libcublasLt": "nvidia-cublas",
    "libcudart": "nvidia-cuda-runtime",
    "libcurand": "nvidia-curand",
    "libcufft": "nvidia-cufft",
    "libnvrtc": "nvidia-cuda-nvrtc",
    "libnvJitLink": "nvidia-nvjitlink",
    "libcudnn": "nvidia-cudnn",
}
DRIVER = "libcuda.so.1"


def packages_folders() -> list[Path]:
    """Where pip may have put `onnxruntime` and `nvidia`."""
    folders = [results.folder() / "onnxruntime"]
    for environment in (results.REPOSITORY / ".venv", os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX")):
        if environment:
            folders += sorted(Path(environment).glob("lib/python3.*/site-packages"), reverse=True)
    for package in ("onnxruntime", "nvidia"):
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            folders += [Path(place).parent for place in spec.submodule_search_locations]
    return list(dict.fromkeys(folders))


def find() -> Path | None:
    """The first with a CUDA provider beside it: of the environment, brought here, of Python's packages, the system's."""
    named = os.environ.get("ORT_DYLIB_PATH")
    folders = [Path(named) if Path(named).is_dir() else Path(named).parent] if named else []
    folders += [packages / "onnxruntime/capi" for packages in packages_folders()]
    folders += map(Path, SYSTEM_FOLDERS)
    for folder in folders:
        if (folder / PROVIDER).exists() and (libraries := sorted(folder.glob("libonnxruntime.so*"))):
            return libraries[-1].absolute()
    return None


def missing(library: Path) -> list[tuple[str, str]]:
    """Libraries that the CUDA provider lacks, each with the package that has it. The driver comes with no package."""
    provider = library.parent / PROVIDER
    shown = subprocess.run(["ldd", provider], capture_output=True, text=True, timeout=60)
    if shown.returncode != 0:
        raise machine.Missing(f"{provider}: `ldd` cannot read it ({shown.stderr.strip()}); is it whole?")
    lines = [line.split() for line in shown.stdout.splitlines() if "=>" in line]
    not_found = [words[0] for words in lines if words[2:] == ["not", "found"]]
    cuda_12 = any(words[0] == "libcudart.so.12" for words in lines)
    loaded_later = ["libcudnn.so.9", "libnvrtc.so.12" if cuda_12 else "libnvrtc.so.13"]
    not_found += [name for name in loaded_later if not on_system(name)]
    lacking = [name for name in not_found if not in_packages(name)]
    return [(name, package_of(name, cuda_12)) for name in lacking]


def on_system(name: str) -> bool:
    """Whether the system's loader knows a library."""
    known = machine.said_by("ldconfig", "-p") or machine.said_by("/sbin/ldconfig", "-p")
    named = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return f"\t{name} " in known or any((Path(folder) / name).exists() for folder in named if folder)


def in_packages(name: str) -> bool:
    """Whether one of NVIDIA's packages has a library."""
    return any(any(packages.glob(f"nvidia/*/lib/{name}")) for packages in packages_folders())


def package_of(name: str, cuda_12: bool) -> str:
    if name == DRIVER:
        return "NVIDIA's driver"
    package = PACKAGES.get(name.split(".so")[0], "an unknown package")
    if package == "nvidia-cudnn":
        return f"{package}-cu12" if cuda_12 else f"{package}-cu13"
    return f"{package}-cu12" if cuda_12 else package


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["find", "missing"], help="the library, or what it lacks")
    arguments = parser.parse_args()
    library = find()
    if library is None:
        print("library.py: no ONNX Runtime has a CUDA provider; scripts/gpu/setup brings one", file=sys.stderr)
        return 1
    if arguments.what == "find":
        print(library)
        return 0
    try:
        lacking = missing(library)
    except (machine.Missing, OSError, subprocess.SubprocessError) as error:
        print(f"library.py: {error}", file=sys.stderr)
        return 1
    for name, package in lacking:
        print(f"{name} {package}")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
