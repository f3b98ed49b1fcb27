"""TIFF files by Pillow, and files with strips, tiles, byte orders and layouts that it cannot write."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image

# Photometric, sample format, bits of each sample, extra samples.
LAYOUTS = [
    (0, 1, [1], []), (1, 1, [1], []), (0, 1, [2], []), (1, 1, [2], []), (0, 1, [4], []), (1, 1, [4], []),
    (0, 1, [8], []), (1, 1, [8], []), (1, 2, [8], []), (0, 1, [16], []), (1, 1, [16], []), (1, 2, [16], []),
    (0, 3, [32], []), (1, 3, [32], []), (1, 1, [32], []), (1, 2, [32], []), (1, 1, [12], []), (1, 3, [64], []),
    (1, 1, [8, 8], [0]), (1, 1, [8, 8], [1]), (1, 1, [8, 8], [2]),
    (2, 1, [8] * 3, []), (2, 1, [8] * 4, []), (2, 1, [8] * 4, [0]), (2, 1, [8] * 4, [1]), (2, 1, [8] * 4, [2]),
    (2, 1, [8] * 5, [1, 0]), (2, 1, [8] * 5, [0, 0]), (2, 1, [8] * 6, [2, 0, 0]), (2, 3, [32] * 3, []),
    (2, 1, [16] * 3, []), (2, 1, [16] * 4, []), (2, 1, [16] * 4, [0]), (2, 1, [16] * 4, [1]), (2, 1, [16] * 4, [2]),
    (3, 1, [1], []), (3, 1, [2], []), (3, 1, [4], []), (3, 1, [8], []), (3, 1, [8, 8], [0]), (3, 1, [8, 8], [2]),
    (5, 1, [8] * 4, []), (5, 1, [8] * 5, [0]), (5, 1, [16] * 4, []), (6, 1, [8] * 3, []), (8, 1, [8] * 3, []),
]  # fmt: skip


def tiffs(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    found = {}
    for number, layout in enumerate(LAYOUTS):
        found[f"tiff_{number}_{layout[0]}_{layout[2][0]}x{len(layout[2])}.tif"] = tiff(dice, photo.size, *layout)
        found[f"tiff_{number}_packed.tif"] = tiff(dice, photo.size, *layout, packed=True)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "jpeg", "group3", "lzma"):
        for mode in ("1", "L", "P", "I;16", "RGB", "RGBA", "CMYK", "F"):
            image = photo.convert("L").convert(mode) if mode in ("I;16", "F") else photo.convert(mode)
            options = {317: dice.choice([1, 2])} if compression in ("tiff_lzw", "tiff_adobe_deflate") else {}
            options |= {274: dice.randrange(1, 9)} if dice.random() < 0.3 else {}
            buffer = io.BytesIO()
            try:
                image.save(buffer, "TIFF", compression=compression, tiffinfo=options)
            except (OSError, KeyError, ValueError):
                continue
            found[f"tiff_{compression}_{mode.replace(';', '')}.tif"] = buffer.getvalue()
    return found


def tiff(
    dice: random.Random,
    size: tuple[int, int],
    photometric: int,
    sample_format: int,
    bits: list[int],
    extra: list[int],
    packed: bool = False,
) -> bytes:
    width, height = size
    order = dice.choice("<>")
    tiled = dice.random() < 0.3
    piece_width, piece_height = (
        (16 * dice.choice([1, 2]), 16) if tiled else (width, dice.choice([height, height, 1, 7, height + 3]))
    )
    row_bytes = (piece_width * sum(bits) + 7) // 8
    pieces = []
    for top in range(0, height, piece_height):
        for _ in range(0, width, piece_width):
            rows = piece_height if tiled else min(piece_height, height - top)
            pieces.append(samples(dice, order, sample_format, bits, row_bytes * rows))
    compression = 1
    if packed:
        compression = dice.choice([8, 32946, 32773])
        pieces = [pack_bits(piece, row_bytes) if compression == 32773 else zlib.compress(piece) for piece in pieces]

    tags: dict[int, tuple[str, list[int]]] = {
        256: (dice.choice("HI"), [width]), 257: ("I", [height]), 258: ("H", bits), 259: ("H", [compression]),
        262: ("H", [photometric]), 277: ("H", [len(bits)]),
    }  # fmt: skip
    if sample_format != 1 or dice.random() < 0.3:
        tags[339] = ("H", [sample_format] * dice.choice([1, len(bits)]))
    if extra:
        tags[338] = ("H", extra)
    if photometric == 3:
        tags[320] = ("H", [dice.randrange(65536) for _ in range(3 << min(bits[0], 8))])
    if dice.random() < 0.3:
        tags[274] = (dice.choice("HHI"), [dice.randrange(1, 9)])
    if dice.random() < 0.2:
        tags[700] = ("B", list(xmp(dice)))
    if dice.random() < 0.1:
        tags[266] = ("H", [2])
    if dice.random() < 0.05:
        tags[284] = ("H", [2])
    if packed and compression != 32773 and dice.random() < 0.3:
        tags[317] = ("H", [2])
    offsets, counts = (324, 325) if tiled else (273, 279)
    if tiled:
        tags |= {322: ("H", [piece_width]), 323: ("H", [piece_height])}
    else:
        tags[278] = ("I", [piece_height])
    tags |= {offsets: ("I", [0] * len(pieces)), counts: ("I", [len(piece) for piece in pieces])}

    # Values that do not fit into their entries follow the directory, then the strips or tiles.
    after = 8 + 2 + 12 * len(tags) + 4
    offset_of, values = {}, b""
    for tag in sorted(tags):
        kind, numbers = tags[tag]
        if struct.calcsize(f"{len(numbers)}{kind}") > 4:
            offset_of[tag] = after + len(values)
            values += bytes(struct.calcsize(f"{len(numbers)}{kind}"))
    at = after + len(values)
    starts = []
    for piece in pieces:
        starts.append(at)
        at += len(piece)
    tags[offsets] = ("I", starts)
    directory, values = struct.pack(order + "H", len(tags)), b""
    for tag in sorted(tags):
        kind, numbers = tags[tag]
        content = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        directory += struct.pack(order + "HHI", tag, {"B": 1, "H": 3, "I": 4}[kind], len(numbers))
        if tag in offset_of:
            directory += struct.pack(order + "I", offset_of[tag])
            values += content
        else:
            directory += content.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return head + directory + bytes(4) + values + b"".join(pieces)


def xmp(dice: random.Random) -> bytes:
    forms = [b'<x tiff:Orientation="%d"/>', b"<tiff:Orientation>%d</tiff:Orientation>", b"tiff:Orientation='%d'"]
    return dice.choice(forms) % dice.randrange(10)


def samples(dice: random.Random, order: str, sample_format: int, bits: list[int], size: int) -> bytes:
    if sample_format == 3 and bits[0] == 32:
        values = np.random.default_rng(dice.randrange(1 << 30)).normal(120, 150, size // 4)
        return values.astype(order + "f4").tobytes()
    if bits[0] == 32 and dice.random() < 0.7:
        return b"".join(struct.pack(order + "i", dice.choice([-5, 0, 7, 255, 256, 300, 100])) for _ in range(size // 4))
    if bits[0] == 16 and dice.random() < 0.7:
        return b"".join(struct.pack(order + "H", dice.randrange(400)) for _ in range(size // 2))
    return dice.randbytes(size)


def pack_bits(data: bytes, row: int) -> bytes:
    """Compresses with PackBits, in literal runs that do not cross rows."""
    packed = b""
    for start in range(0, len(data), row):
        line = data[start : start + row]
        for at in range(0, len(line), 128):
            part = line[at : at + 128]
            packed += bytes([len(part) - 1]) + part
    return packed
