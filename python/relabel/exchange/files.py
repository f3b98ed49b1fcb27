"""Published files: lists them and reads them. A file that cannot be read never gets the labels of another."""

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

from relabel.console import Refusal

MAX_FILE_BYTES = 64 << 20
"""Published maps have 4 to 20 kB. The limit keeps a stray checkpoint from filling the memory."""

SAMPLED_FILES = 64

DTYPES = {torch.float32: "float32", torch.float16: "float16"}
EXACT_UP_TO = {"float32": 1 << 24, "float16": 1 << 11}
"""Largest n such that every whole number from 0 to n is exact in the dtype."""


class Listed(NamedTuple):
    """A file of the listing."""

    path: str
    """Path below the folder, with ``/``."""
    length: int
    """Length in bytes."""


class FileProblem(Exception):
    """A file without usable labels. ``kind`` is one of the kinds of the store's records."""

    def __init__(self, kind: str, reason: str) -> None:
        # Unpickling calls the class with these arguments.
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


class PublishedMap(NamedTuple):
    """Content of one file."""

    values: NDArray[np.float32]
    """Scores and class ids ``[2, ., ., .]``."""
    dtype: str
    """``float32`` or ``float16``, the dtype in the file."""


def list_files(folder: Path) -> list[Listed]:
    """Lists every ``.pt`` file below a folder, sorted by the bytes of the path.

    Links are followed. Names that begin with a dot are ignored.

    Raises:
        Refusal: If there is no file, or a part of the folder cannot be listed: the store would keep an incomplete list.
    """
    found: list[Listed] = []

    def walk(directory: str, below: str, ancestors: tuple[tuple[int, int], ...]) -> None:
        status = os.stat(directory)
        here = (status.st_dev, status.st_ino)
        if here in ancestors:
            raise Refusal(f"cannot list {directory}: symlink loop\n  help: remove the link")
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    walk(entry.path, f"{below}{entry.name}/", (*ancestors, here))
                elif entry.name.endswith(".pt"):
                    found.append(Listed(below + entry.name, _length(entry)))

    if not folder.exists():
        raise Refusal(f"{folder} does not exist\n  help: pass the folder that contains the class folders")
    if not folder.is_dir():
        raise Refusal(
            f"{folder} is not a folder\n  help: unpack an archive first, and pass the folder that contains the class folders"
        )
    try:
        walk(str(folder), "", ())
    except OSError as error:
        raise Refusal(f"cannot list {folder}: {error}\n  help: make every folder below it readable") from error
    if not found:
        raise Refusal(
            f"{folder} contains no .pt file\n  help: pass the folder that contains the class folders (n01440764, ...)"
        )
    try:
        return sorted(found, key=lambda file: file.path.encode())
    except UnicodeEncodeError as error:
        raise Refusal(f"{folder} contains a file whose name is not UTF-8: {error.object!r}\n  help: rename it") from error


def _length(entry: os.DirEntry[str]) -> int:
    """Returns the length of a file. A dangling link is listed with length 0, so it is reported as unreadable."""
    try:
        return entry.stat().st_size
    except OSError as error:
        if not _concerns_file(error):
            raise
        return 0


def sample_of(files: Sequence[Listed]) -> list[Listed]:
    """Returns up to :data:`SAMPLED_FILES` files, evenly spaced, including the first and the last."""
    count = min(len(files), SAMPLED_FILES)
    return [files[round(at * (len(files) - 1) / max(count - 1, 1))] for at in range(count)]


def fingerprint(folder: Path, files: Sequence[Listed]) -> str:
    """Returns the SHA-256 of all paths and lengths and of the content of a sample.

    Reading every file would take as long as the import itself.
    """
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
    """Reads a regular file, at most one byte more than :data:`MAX_FILE_BYTES`.

    Raises:
        OSError: If it cannot be read or is not a regular file. Opening a FIFO would block until its other end is opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(MAX_FILE_BYTES + 1)


def _concerns_file(error: OSError) -> bool:
    """Returns whether an error is about the file itself, not an I/O error of the host (``EIO``, ``ESTALE``, ``EMFILE``, ...)."""
    return error.errno in {
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL,
        errno.ENXIO, errno.EOVERFLOW,
    }


def read_map(folder: Path, file: Listed) -> PublishedMap:
    """Reads one file.

    Raises:
        FileProblem: If it is missing, has changed since it was listed, or is not a tensor ``[2, ., ., .]`` of float16 or
            float32.
        OSError: If reading fails with an I/O error of the host.
    """
    if file.length > MAX_FILE_BYTES:
        raise FileProblem("too-large", f"{file.length} bytes; a map has at most {MAX_FILE_BYTES}")
    try:
        content = read_regular(folder / file.path)
    except OSError as error:
        if not _concerns_file(error):
            raise
        raise FileProblem("unreadable", error.strerror or str(error)) from error
    if len(content) != file.length:
        raise FileProblem("changed", f"{len(content)} bytes, {file.length} when it was listed")
    if not content:
        raise FileProblem("empty", "0 bytes")
    _check_archive(content)
    try:
        tensor = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch does not document what a damaged file raises
        raise FileProblem("not-a-map", f"PyTorch cannot read it: {_first_line(error)}") from error
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise FileProblem("not-a-map", f"it contains a {type(tensor).__name__}, expected a dense tensor")
    if tensor.dtype not in DTYPES:
        raise FileProblem("not-a-map", f"its dtype is {_name(tensor.dtype)}, expected float32 or float16")
    if tensor.ndim != 4 or tensor.shape[0] != 2 or 0 in tensor.shape:
        raise FileProblem("not-a-map", f"its shape is {list(tensor.shape)}, expected [2, k, h, w]")
    if tensor.device.type != "cpu":
        raise FileProblem("not-a-map", f"it contains no values: its tensor is on the device {tensor.device.type}")
    # An expanded tensor claims more values than its file contains.
    if tensor.numel() * tensor.element_size() > MAX_FILE_BYTES:
        raise FileProblem("too-large", f"its shape is {list(tensor.shape)}, more than {MAX_FILE_BYTES} bytes of values")
    try:
        values = tensor.detach().resolve_neg().to(torch.float32).contiguous().numpy()
    except Exception as error:  # a tensor subclass may refuse anything
        raise FileProblem("not-a-map", f"its values cannot be read: {_first_line(error)}") from error
    return PublishedMap(values, DTYPES[tensor.dtype])


def _check_archive(content: bytes) -> None:
    """Refuses an archive that unpacks to more than a map can have. PyTorch itself does not compress.

    Raises:
        FileProblem: If it is compressed, or its directory lists more bytes than :data:`MAX_FILE_BYTES`.
    """
    if not content.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except Exception as error:  # zipfile does not document what a damaged archive raises
        raise FileProblem("not-a-map", f"PyTorch cannot read it: {_first_line(error)}") from error
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise FileProblem("not-a-map", "it is a compressed archive, which PyTorch does not write")
    if sum(member.file_size for member in members) > MAX_FILE_BYTES:
        raise FileProblem("too-large", f"its archive lists more than {MAX_FILE_BYTES} bytes")


def read_alike(folder: Path, file: Listed, lengths: tuple[int, ...], dtype: str) -> NDArray[np.float32]:
    """Reads one file and checks it against the shape and dtype of the others.

    Returns:
        float32 ``[2, *lengths]``.

    Raises:
        FileProblem: See :func:`read_map`. Also if shape or dtype differ.
    """
    found = read_map(folder, file)
    if found.values.shape[1:] != lengths:
        raise FileProblem("not-a-map", f"its shape is {list(found.values.shape)}, that of the others {[2, *lengths]}")
    if found.dtype != dtype:
        raise FileProblem("not-a-map", f"its dtype is {found.dtype}, that of the others {dtype}")
    return found.values


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}"[:200]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
