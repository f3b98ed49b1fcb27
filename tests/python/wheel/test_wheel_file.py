"""Content of the wheel: what it installs, where it runs, and what it declares."""

import email
import platform
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import PurePosixPath

import pytest
from elf_file import newest_glibc, section_names
from harness import GOLDEN, REPOSITORY

DEMO = "data/share/relabel/demo"
NATIVE = ["scripts/relabel", "relabel/_relabel.abi3.so"]
SAMPLE_FOLDERS = ["photos", "odd", "bad"]
MAX_BYTES = 60_000_000
NEWEST_GLIBC = (2, 28)


@pytest.fixture(scope="module")
def archive(wheel):
    with zipfile.ZipFile(wheel) as archive:
        yield archive


@pytest.fixture(scope="module")
def files(archive) -> dict[str, zipfile.ZipInfo]:
    """Files by name. Names below `*.data` begin with the installation scheme."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    return {re.sub(r"^[^/]+\.data/(purelib/|platlib/)?", "", info.filename): info for info in infos}


@pytest.fixture(scope="module")
def metadata(archive):
    (name,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
    return email.message_from_bytes(archive.read(name))


def test_the_name_lists_the_platforms(wheel):
    name, version, python, abi, platforms = wheel.stem.split("-")
    assert (name, python, abi) == ("relabel_maps", "cp310", "abi3")
    assert f"manylinux_2_28_{platform.machine()}" in platforms.split(".")
    assert re.search(rf'^version = "{re.escape(version)}"', (REPOSITORY / "Cargo.toml").read_text(), re.M)


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size <= MAX_BYTES


def test_the_program_and_the_package_are_included(archive, files):
    assert files["scripts/relabel"].external_attr >> 16 & stat.S_IXUSR
    modules = {str(path.relative_to(REPOSITORY / "python")) for path in (REPOSITORY / "python/relabel").rglob("*.py")}
    assert {"relabel/__main__.py", "relabel/ray/__main__.py", "relabel/torch/data.py"} <= modules
    assert {name for name in files if name.endswith(".py")} == modules
    assert {*NATIVE, "relabel/py.typed", "relabel/_relabel.pyi"} <= set(files)
    for name in modules:
        assert archive.read(files[name]) == (REPOSITORY / "python" / name).read_bytes(), name


def test_the_samples_are_those_of_the_tests(archive, files):
    expected = {f"{DEMO}/{path.name}": path for path in (REPOSITORY / "models").glob("efficientnet-lite0.*")}
    assert {PurePosixPath(name).suffix for name in expected} == {".onnx", ".toml", ".LICENSE"}
    for folder in SAMPLE_FOLDERS:
        samples = (GOLDEN / "images" / folder).iterdir()
        expected |= {f"{DEMO}/photographs/{folder}/{path.name}": path for path in samples}
    assert {name for name in files if name.startswith("data/")} == set(expected)
    for name, path in expected.items():
        assert archive.read(files[name]) == path.read_bytes(), name


def test_nothing_else_is_included(files):
    known = re.compile(r"relabel/.*\.(py|pyi|so|typed)|scripts/relabel|data/share/relabel/demo/.*|[^/]+\.dist-info/.*")
    assert [name for name in files if not known.fullmatch(name)] == []
    forbidden = re.compile(r"\.rs$|\.pyc$|(^|/)(tests?|Cargo\.(toml|lock)|__pycache__|\.git[^/]*)(/|$)")
    assert [name for name in files if forbidden.search(name)] == []
    assert any(name.endswith("LICENSE") and ".dist-info/" in name for name in files)


def test_the_metadata_declares_the_extras(wheel, metadata):
    assert metadata["Name"] == "relabel-maps"
    assert metadata["Version"] == wheel.name.split("-")[1]
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra")) == {"cpu", "cuda", "torch", "export", "ray", "all"}
    packages: dict[str, set[str]] = {}
    for requirement in metadata.get_all("Requires-Dist"):
        package, extra = re.fullmatch(r"([\w.-]+)[^;]*(?:; extra == [\"'](\w+)[\"'])?", requirement).groups()
        packages.setdefault(extra, set()).add(package)
    assert packages[None] == {"numpy"}
    assert (packages["cpu"], packages["cuda"]) == ({"onnxruntime"}, {"onnxruntime-gpu"})
    assert packages["export"] >= {"torch", "timm", "onnx", "onnxscript"}
    assert packages["ray"] == {"ray"}
    # Both packages of ONNX Runtime install the same files.
    assert "onnxruntime-gpu" not in packages["all"]
    assert packages["all"] >= packages["cpu"] | packages["torch"] | packages["export"] | packages["ray"]


@pytest.mark.parametrize("name", NATIVE)
def test_native_files_are_stripped_and_need_no_newer_glibc(archive, files, name):
    content = archive.read(files[name])
    names = section_names(content)
    assert ".dynsym" in names
    assert [section for section in names if section in (".symtab", ".strtab") or section.startswith(".debug")] == []
    assert newest_glibc(content) <= NEWEST_GLIBC


def test_auditwheel_confirms_the_platform(wheel):
    shown = tool("auditwheel", "show", wheel)
    version = re.search(r'platform tag:\s+"manylinux_2_(\d+)_', " ".join(shown.split()))
    assert version, shown
    assert int(version[1]) <= NEWEST_GLIBC[1]


def test_the_extension_uses_only_the_stable_abi(wheel):
    tool("abi3audit", "--strict", wheel)


def tool(name: str, *args: object) -> str:
    """Runs a module of this Python and returns what it prints."""
    completed = subprocess.run([sys.executable, "-m", name, *map(str, args)], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout
