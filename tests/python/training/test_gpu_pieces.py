"""`scripts/gpu/pieces`: transfer of the program in pieces."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from harness import REPOSITORY, run_python


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of the scripts' files."""
    path = tmp_path / "gpu"
    monkeypatch.setenv("RELABEL_GPU_FOLDER", str(path))
    return path


def script(name: str, *args: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Runs a script and expects its exit code."""
    return run_python(REPOSITORY / "scripts/gpu" / name, *args, code=code, **environment)


@pytest.fixture
def packed(tmp_path) -> dict[str, bytes]:
    """Writes a wheel of incompressible files and returns those that are packed."""
    dice = np.random.default_rng(5)
    files = {
        "onnxruntime/capi/libonnxruntime.so.1.0": dice.bytes(90_000),
        "onnxruntime/capi/libonnxruntime_providers_cuda.so": dice.bytes(200_000),
        "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": b"not packed",
        "onnxruntime/__init__.py": b"not packed",
        "nvidia/cu13/lib/libcurand.so.10": dice.bytes(70_000),
    }
    with zipfile.ZipFile(tmp_path / "made.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return {name: content for name, content in files.items() if content != b"not packed"}


def test_pieces_are_unpacked_as_they_arrive(folder, packed, tmp_path):
    programs = {"RELABEL": shutil.which("true"), "RELABEL_BARE": shutil.which("false")}
    pieces, target = folder / "pieces", tmp_path / "target"
    script("pieces", "pack", tmp_path / "made.whl", "--piece-mib", 0.1, **programs)
    names = sorted(piece.name for piece in pieces.glob("*.piece"))
    assert len(names) >= 4
    assert max(piece.stat().st_size for piece in pieces.iterdir()) <= 0.1 * 2**20

    arrived = tmp_path / "arrived"
    arrived.mkdir()
    unpack = ["--folder", arrived, "unpack", "--into", target]
    assert "pieces.json not found" in script("pieces", *unpack, code=1).stderr
    for name in ["pieces.json", names[0], names[-1]]:
        shutil.copy(pieces / name, arrived)
    stderr = script("pieces", *unpack, code=1).stderr
    assert f"{names[1]} is missing" in stderr and names[0] not in stderr
    assert os.access(target / "bin/relabel", os.X_OK)
    assert not (target / "onnxruntime/onnxruntime/capi/libonnxruntime_providers_cuda.so").exists()

    for name in names[1:-1]:
        shutil.copy(pieces / name, arrived)
    damaged = bytearray((arrived / names[1]).read_bytes())
    damaged[100] ^= 1
    (arrived / names[1]).write_bytes(damaged)
    assert f"{names[1]} is damaged" in script("pieces", *unpack, code=1).stderr

    shutil.copy(pieces / names[1], arrived)
    script("pieces", *unpack)
    assert {str(file.relative_to(target / "onnxruntime")): file.read_bytes() for file in target.rglob("*.so*")} == packed
    assert script("pieces", *unpack).stdout == "", "unpacked files are not unpacked again"
