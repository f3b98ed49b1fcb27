"""Reads the label maps of a store with the standard library and NumPy, and compares stores.

    from stores import read, compare, different_files
    maps = read(Path("photos.labels"))          # maps.scores, maps.classes: [image, rank, y, x]

A machine with a GPU may have no Zarr library; docs/format.md defines the layout. `relabel verify` checks the checksums.
zstd comes from Python 3.14, the package zstandard, libzstd or the program, whichever is installed.
"""

from __future__ import annotations

import ctypes
import filecmp
import json
import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from machine import Missing

NO_CHUNK = 2**64 - 1
CRC_BYTES = 4
# Folders whose files may differ between stores with the same labels.
NOT_LABELS = {"runs", ".locks", ".seen", ".staging"}


@dataclass(frozen=True)
class Maps:
    """Scores (float32) and classes of all images; rows without labels have scores of -inf."""

    scores: np.ndarray
    classes: np.ndarray


def read(store: Path) -> Maps:
    """Reads all label maps of a store."""
    scores = _read_array(store / "scores").astype(np.float32)
    return Maps(scores, _read_array(store / "classes"))


def _read_array(folder: Path) -> np.ndarray:
    about = json.loads((folder / "zarr.json").read_text())
    number = np.dtype(about["data_type"]).newbyteorder("<")
    fill = -np.inf if about["fill_value"] == "-Infinity" else about["fill_value"]
    images, ranks, height, width = about["shape"]
    per_shard = about["chunk_grid"]["configuration"]["chunk_shape"][0]
    unpack = _from_blosc if folder.name == "scores" else zstd
    values = np.full(about["shape"], fill, number)
    for first in range(0, images, per_shard):
        file = folder / f"c.{first // per_shard}.0.0.0"
        if not file.exists():
            continue
        shard = file.read_bytes()
        index_bytes = 16 * per_shard
        index = np.frombuffer(shard[-index_bytes - CRC_BYTES : -CRC_BYTES], "<u8").reshape(per_shard, 2)
        for row, (offset, length) in enumerate(index.tolist()):
            if offset != NO_CHUNK:
                chunk = unpack(shard[offset : offset + length - CRC_BYTES], ranks * height * width * number.itemsize)
                values[first + row] = np.frombuffer(chunk, number).reshape(height, width, ranks).transpose(2, 0, 1)
    return values


def _from_blosc(frame: bytes, size: int) -> bytes:
    """Decodes a c-blosc frame with zlib blocks: header, block offsets, blocks of one or more parts."""
    _, _, flags, item_size, length, block_size, _ = struct.unpack("<BBBBIII", frame[:16])
    stored, shuffled, not_split = bool(flags & 2), bool(flags & 1), bool(flags & 16)
    if length != size:
        raise ValueError(f"a chunk has {length} bytes, expected {size}")
    if stored:
        return frame[16 : 16 + length]
    blocks = -(-length // block_size)
    data = bytearray()
    for block, start in enumerate(struct.unpack(f"<{blocks}I", frame[16 : 16 + 4 * blocks])):
        block_bytes = min(block_size, length - block * block_size)
        parts = 1 if not_split or block_bytes < block_size else item_size
        plain = bytearray()
        for _ in range(parts):
            (part_bytes,) = struct.unpack_from("<i", frame, start)
            part = frame[start + 4 : start + 4 + part_bytes]
            plain += part if part_bytes == block_bytes // parts else zlib.decompress(part)
            start += 4 + part_bytes
        if shuffled:
            even = len(plain) // item_size * item_size
            planes = np.frombuffer(bytes(plain[:even]), np.uint8).reshape(item_size, -1)
            plain[:even] = planes.T.tobytes()
        data += plain
    return bytes(data)


def zstd(frame: bytes, size: int) -> bytes:
    """Decodes a zstd frame."""
    global _zstd
    if _zstd is None:
        _zstd = _find_zstd()
    return _zstd(frame, size)


_zstd = None


def _find_zstd():
    try:
        from compression import zstd as built_in

        return lambda frame, _: built_in.decompress(frame)
    except ImportError:
        pass
    try:
        import zstandard

        return lambda frame, size: zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except ImportError:
        pass
    try:
        library = ctypes.CDLL("libzstd.so.1")
        library.ZSTD_decompress.restype = ctypes.c_size_t
        library.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
        return lambda frame, size: _by_library(library, frame, size)
    except OSError:
        pass
    if not shutil.which("zstd"):
        raise Missing("no zstd decoder found; python3 -m pip install zstandard")
    return lambda frame, _: subprocess.run(["zstd", "-dcq"], input=frame, stdout=subprocess.PIPE, check=True).stdout


def _by_library(library: ctypes.CDLL, frame: bytes, size: int) -> bytes:
    into = ctypes.create_string_buffer(size)
    given = library.ZSTD_decompress(into, size, frame, len(frame))
    if given != size:
        raise ValueError(f"a zstd frame is damaged or contains more than {size} bytes")
    return into.raw


@dataclass(frozen=True)
class Difference:
    """Difference between the label maps of a store and those of a reference store."""

    images: int
    cells: int
    # Cells with a different best class.
    other_class: int
    # Those whose two best scores in the reference are more than `gap` apart.
    other_class_beyond_gap: int
    # Largest difference of the two best scores among cells with a different class.
    largest_gap: float
    # Largest difference of scores of the same cell and rank.
    largest: float
    largest_score: float

    @property
    def share_of_largest_score(self) -> float:
        return self.largest / self.largest_score


def compare(one: Path, right: Path, gap: float, apart: np.ndarray | None = None) -> Difference:
    """Compares two stores of the same images; `right` is the reference.

    `apart` is the difference of the two best scores of each cell of the labelled images, if it is known before rounding.
    Otherwise it is computed from the store. Rounding to float16 may enlarge it by one step, which is subtracted.
    """
    ours, theirs = read(one), read(right)
    if ours.scores.shape != theirs.scores.shape:
        raise ValueError(f"{one} and {right} have different shapes: {ours.scores.shape}, {theirs.scores.shape}")
    labelled = np.isfinite(theirs.scores[:, 0, 0, 0])
    if not np.array_equal(labelled, np.isfinite(ours.scores[:, 0, 0, 0])):
        raise ValueError(f"{one} and {right} have labels for different images")
    if not labelled.any():
        raise ValueError(f"{right} has no labels to compare")
    scores, right_scores = ours.scores[labelled], theirs.scores[labelled]
    other = ours.classes[labelled, 0] != theirs.classes[labelled, 0]
    if apart is None:
        best = right_scores[:, 0]
        apart = best - right_scores[:, 1] - np.spacing(np.abs(best).astype(np.float16)).astype(np.float32)
    return Difference(
        images=int(labelled.sum()),
        cells=other.size,
        other_class=int(other.sum()),
        other_class_beyond_gap=int((other & (apart > gap)).sum()),
        largest_gap=float(apart[other].max(initial=0.0)),
        largest=float(np.abs(scores - right_scores).max()),
        largest_score=float(np.abs(right_scores).max()),
    )


def files(store: Path) -> set[str]:
    """Returns the paths of the files that labels depend on."""
    found = (file.relative_to(store) for file in store.rglob("*") if file.is_file())
    return {str(file) for file in found if file.parts[0] not in NOT_LABELS and not file.name.startswith(".")}


def different_files(one: Path, other: Path) -> list[str]:
    """Returns the files that only one of two stores has or whose bytes differ."""
    ours, theirs = files(one), files(other)
    differ = (name for name in ours & theirs if not filecmp.cmp(one / name, other / name, shallow=False))
    return sorted((ours ^ theirs) | set(differ))
