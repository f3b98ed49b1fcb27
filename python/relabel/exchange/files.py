"""Published files: finding them, and reading one. A file that cannot be read is never replaced by another."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .output import Refusal

LARGEST_FILE_BYTES = 64 << 20
"""Published maps have 4 to 20 kB; a stray checkpoint must not fill the memory."""

SAMPLED_FILES = 64

DTYPES = {torch.float32: "float32", torch.float16: "float16"}
EXACT_UP_TO = {"float32": 1 << 24, "float16": 1 << 11}
"""The number up to which every whole number can be told from its neighbours."""


class Listed(NamedTuple):
    """A file as it was found."""

    path: str
    """Below the folder, with ``/``."""
    length: int


class FileProblem(Exception):
    """Why a file gives no labels: a kind of the records, and words."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind, self.reason = kind, reason


class PublishedMap(NamedTuple):
    """What a file holds."""

    values: NDArray[np.float32]
    """``[2, ., ., .]``"""
    dtype: str
    """Of the file."""


def list_files(folder: Path) -> list[Listed]:
    """Every ``.pt`` file below a folder, sorted by path, byte by byte. Links are followed; names that begin with a dot are
    passed over.

    Raises:
        Refusal: there is none, or a part of the folder cannot be listed: a list with holes would be frozen.
    """
    found: list[Listed] = []

    def walk(place: str, below: str, above: tuple[tuple[int, int], ...]) -> None:
        status = os.stat(place)
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise Refusal(f"{place} leads back to a folder that it lies in")
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    walk(entry.path, f"{below}{entry.name}/", (*above, here))
                elif entry.name.endswith(".pt"):
                    found.append(Listed(below + entry.name, _length(entry)))

    if not folder.exists():
        raise Refusal(f"{folder} does not exist")
    if not folder.is_dir():
        raise Refusal(f"{folder} is no folder. Unpack an archive first, and name the folder that has the class folders in it")
    try:
        walk(str(folder), "", ())
    except OSError as error:
        raise Refusal(f"{folder} cannot be listed: {error}") from error
    if not found:
        raise Refusal(f"{folder} holds no .pt file. Name the folder that has the class folders (n01440764, ...) in it")
    try:
        return sorted(found, key=lambda file: file.path.encode())
    except UnicodeEncodeError as error:
        raise Refusal(f"{folder} holds a file whose name is no UTF-8: {error.object!r}. Rename it") from error


def _length(entry: os.DirEntry[str]) -> int:
    """The length of a file. A link that leads nowhere is a file that cannot be read, not one that is not there."""
    try:
        return entry.stat().st_size
    except OSError as error:
        if not _concerns_file(error):
            raise
        return 0


def sample_of(files: Sequence[Listed]) -> list[Listed]:
    """Files evenly spread over the list, the first and the last among them."""
    count = min(len(files), SAMPLED_FILES)
    return [files[round(at * (len(files) - 1) / max(count - 1, 1))] for at in range(count)]


def fingerprint(folder: Path, files: Sequence[Listed]) -> str:
    """A digest of the paths and lengths of all files and of the content of a sample. Reading everything twice would take
    as long as the import itself."""
    sha = hashlib.sha256()
    for file in files:
        sha.update(f"{file.path}\0{file.length}\n".encode())
    for file in sample_of(files):
        try:
            sha.update(hashlib.sha256(read_regular(folder / file.path)).digest())
        except OSError as error:
            if not _concerns_file(error):
                raise
            sha.update(b"unreadable")
    return sha.hexdigest()


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file, of which at most one more than :data:`LARGEST_FILE_BYTES` is read.

    Raises:
        OSError: it cannot be read, or is something else: opening a FIFO would wait for its other end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(LARGEST_FILE_BYTES + 1)


def _concerns_file(error: OSError) -> bool:
    """Whether an error tells something of the file itself. Every other one is a failure or a shortage of the machine
    (``EIO``, ``ESTALE``, ``EMFILE``, ...), which tells nothing of the file."""
    return error.errno in {
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL,
        errno.ENXIO, errno.EOVERFLOW,
    }


def read_map(folder: Path, file: Listed) -> PublishedMap:
    """Reads a file.

    Raises:
        FileProblem: it is not there, not what was listed, or no tensor ``[2, ., ., .]`` of float16 or float32.
        OSError: the machine failed, which tells nothing of the file.
    """
    if file.length > LARGEST_FILE_BYTES:
        raise FileProblem("too-large", f"{file.length} bytes; a map has at most {LARGEST_FILE_BYTES}")
    try:
        content = read_regular(folder / file.path)
    except OSError as error:
        if not _concerns_file(error):
            raise
        raise FileProblem("unreadable", error.strerror or str(error)) from error
    if len(content) != file.length:
        raise FileProblem("changed", f"it has {len(content)} bytes, {file.length} when it was listed")
    if not content:
        raise FileProblem("empty", "it has no bytes")
    _check_archive(content)
    try:
        tensor = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises is nowhere said
        raise FileProblem("not-a-map", f"PyTorch cannot read it: {_first_line(error)}") from error
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise FileProblem("not-a-map", f"it holds a {type(tensor).__name__}, and no dense tensor")
    if tensor.dtype not in DTYPES:
        raise FileProblem("not-a-map", f"its numbers are {_name(tensor.dtype)}, and not float32 or float16")
    if tensor.ndim != 4 or tensor.shape[0] != 2 or 0 in tensor.shape:
        raise FileProblem("not-a-map", f"its shape is {list(tensor.shape)}, and not [2, k, h, w]")
    if tensor.device.type != "cpu":
        raise FileProblem("not-a-map", f"its numbers are not in it: it is a tensor of the device {tensor.device.type}")
    # A tensor that was expanded claims more numbers than its file has.
    if tensor.numel() * tensor.element_size() > LARGEST_FILE_BYTES:
        raise FileProblem("too-large", f"its shape is {list(tensor.shape)}, more than {LARGEST_FILE_BYTES} bytes of numbers")
    try:
        values = tensor.detach().resolve_neg().to(torch.float32).contiguous().numpy()
    except Exception as error:  # a subclass of tensors may refuse anything
        raise FileProblem("not-a-map", f"its numbers cannot be read: {_first_line(error)}") from error
    return PublishedMap(values, DTYPES[tensor.dtype])


def _check_archive(content: bytes) -> None:
    """Refuses an archive that would unpack to more than a map can have: PyTorch itself compresses nothing.

    Raises:
        FileProblem: it is compressed, or says that it is longer than it is.
    """
    if not content.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except Exception as error:  # what a damaged archive raises is nowhere said
        raise FileProblem("not-a-map", f"PyTorch cannot read it: {_first_line(error)}") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise FileProblem("not-a-map", "it is a compressed archive, which PyTorch does not write")
    if sum(member.file_size for member in members) > LARGEST_FILE_BYTES:
        raise FileProblem("too-large", f"its archive says that it holds more than {LARGEST_FILE_BYTES} bytes")


def read_alike(folder: Path, file: Listed, lengths: tuple[int, ...], dtype: str) -> NDArray[np.float32]:
    """Reads a file that must have the shape and the numbers of the others.

    Raises:
        FileProblem: as :func:`read_map`, or it has others.
    """
    found = read_map(folder, file)
    if found.values.shape[1:] != lengths:
        raise FileProblem("not-a-map", f"its shape is {list(found.values.shape)}, that of the others {[2, *lengths]}")
    if found.dtype != dtype:
        raise FileProblem("not-a-map", f"its numbers are {found.dtype}, those of the others {dtype}")
    return found.values


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}"[:200]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
