"""Finds ONNX Runtime with CUDA and the CUDA libraries that it needs.

    python3 scripts/gpu/library.py find        # prints the path of the library; exit code 1 if there is none
    python3 scripts/gpu/library.py missing     # prints each missing library and the package that provides it

`ldd` lists the dependencies of ONNX Runtime's CUDA provider. Libraries in NVIDIA's Python packages, which PyTorch
installs, count as found, because relabel searches them. cuDNN and the compiler that it uses are loaded later and do not
appear in `ldd`.
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
    """Returns the folders in which pip may have installed `onnxruntime` and `nvidia`."""
    folders = [results.folder() / "onnxruntime"]
    for environment in (results.REPOSITORY / ".venv", os.environ.get("VIRTUAL_ENV"), os.environ.get("CONDA_PREFIX")):
        if environment:
            folders += sorted(Path(environment).glob("lib/python3.*/site-packages"), reverse=True)
    for package in ("onnxruntime", "nvidia"):
        spec = importlib.util.find_spec(package)
        if spec and spec.submodule_search_locations:
            folders += [Path(location).parent for location in spec.submodule_search_locations]
    return list(dict.fromkeys(folders))


def find() -> Path | None:
    """Returns the first library with a CUDA provider: from ORT_DYLIB_PATH, target/gpu, Python's packages, the system."""
    named = os.environ.get("ORT_DYLIB_PATH")
    folders = [Path(named) if Path(named).is_dir() else Path(named).parent] if named else []
    folders += [packages / "onnxruntime/capi" for packages in packages_folders()]
    folders += map(Path, SYSTEM_FOLDERS)
    for folder in folders:
        if (folder / PROVIDER).exists() and (libraries := sorted(folder.glob("libonnxruntime.so*"))):
            return libraries[-1].absolute()
    return None


def missing(library: Path) -> list[tuple[str, str]]:
    """Returns the missing libraries of the CUDA provider, each with the package that provides it."""
    provider = library.parent / PROVIDER
    shown = subprocess.run(["ldd", provider], capture_output=True, text=True, timeout=60)
    if shown.returncode != 0:
        raise machine.Missing(f"`ldd` cannot read {provider} ({shown.stderr.strip()}); is it complete?")
    lines = [line.split() for line in shown.stdout.splitlines() if "=>" in line]
    not_found = [words[0] for words in lines if words[2:] == ["not", "found"]]
    cuda_12 = any(words[0] == "libcudart.so.12" for words in lines)
    loaded_later = ["libcudnn.so.9", "libnvrtc.so.12" if cuda_12 else "libnvrtc.so.13"]
    not_found += [name for name in loaded_later if not on_system(name)]
    absent = [name for name in not_found if not in_packages(name)]
    return [(name, package_of(name, cuda_12)) for name in absent]


def on_system(name: str) -> bool:
    """Whether the system's loader finds a library."""
    known = machine.output_of("ldconfig", "-p") or machine.output_of("/sbin/ldconfig", "-p")
    named = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return f"\t{name} " in known or any((Path(folder) / name).exists() for folder in named if folder)


def in_packages(name: str) -> bool:
    """Whether one of NVIDIA's packages contains a library."""
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
    parser.add_argument("what", choices=["find", "missing"], help="the library, or its missing dependencies")
    arguments = parser.parse_args()
    library = find()
    if library is None:
        print("library.py: no ONNX Runtime with a CUDA provider found; scripts/gpu/setup installs one", file=sys.stderr)
        return 1
    if arguments.what == "find":
        print(library)
        return 0
    try:
        absent = missing(library)
    except (machine.Missing, OSError, subprocess.SubprocessError) as error:
        print(f"library.py: {error}", file=sys.stderr)
        return 1
    for name, package in absent:
        print(f"{name} {package}")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
