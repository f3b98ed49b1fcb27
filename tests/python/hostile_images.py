"""Writes small image files that are costly to decode: decompression bombs of every format, and slow files.

    python3 hostile_images.py FOLDER

Needs only Python. Each file is valid, or invalid only after the costly part, so a decoder without limits pays the cost.
"""

import struct
import sys
import zlib
from pathlib import Path

# PIL's limit of pixels.
MAX_PIXELS = 178_956_970


def packed_zeros(count: int) -> bytes:
    """Returns `count` zeros as a zlib stream: a compressed mebibyte repeated, and the rest."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    mebibyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = rest.compress(bytes(count & ((1 << 20) - 1))) + rest.flush()
    checksum = struct.pack(">HH", count % 65_521, 1)
    return b"\x78\xda" + mebibyte * (count >> 20) + end + checksum


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, pixels: bytes, before: bytes = b"", interlaced: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    body = chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def zero_png(width: int, height: int, bits: int, colour: int, before: bytes = b"", interlaced: int = 0) -> bytes:
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row_bytes = 1 + -(-width * samples * bits // 8)
    return png(width, height, bits, colour, packed_zeros(row_bytes * height), before, interlaced)


def small_png(before: bytes) -> bytes:
    return zero_png(8, 8, 8, 2, before)


def jpeg_of_many_scans(width: int, height: int, scans: int) -> bytes:
    """Returns a progressive gray JPEG whose scans contain only end-of-block codes."""
    blocks = -(-width // 8) * -(-height // 8)
    table = bytes([1] + [0] * 15)
    out = [b"\xff\xd8\xff\xdb\x00\x43\x00" + bytes([16]) * 64]
    out.append(b"\xff\xc2\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00")
    # One code of one bit each: DC differences of 0 bits, and AC runs of 2^14 blocks without values.
    out.append(b"\xff\xc4\x00\x14\x00" + table + b"\x00")
    out.append(b"\xff\xc4\x00\x14\x10" + table + b"\xe0")
    # A code of one bit for each block; the last byte is filled with ones.
    out.append(b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00" + bytes(blocks // 8) + bytes([0xFF >> (blocks % 8)])[: blocks % 8])
    bits = "".join("0" + "1" * 14 for _ in range(-(-blocks // ((1 << 15) - 1))))
    bits += "1" * (-len(bits) % 8)
    run = b"".join(bytes([int(bits[at : at + 8], 2)]) for at in range(0, len(bits), 8)).replace(b"\xff", b"\xff\x00")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00" + run
    return b"".join(out) + scan * scans + b"\xff\xd9"


def jpeg_of_one_scan(width: int, height: int) -> bytes:
    """Returns a baseline gray JPEG with empty blocks."""
    blocks = -(-width // 8) * -(-height // 8)
    table = bytes([1] + [0] * 15) + b"\x00"
    out = b"\xff\xd8\xff\xdb\x00\x43\x00" + bytes([16]) * 64
    out += b"\xff\xc0\x00\x0b\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"
    out += b"\xff\xc4\x00\x14\x00" + table + b"\xff\xc4\x00\x14\x10" + table
    # Two codes of one bit for each block.
    return out + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(-(-blocks // 4)) + b"\xff\xd9"


def tiff(width: int, height: int, samples: int, compression: int, piece: bytes, pieces: int, tile: tuple[int, int] | None) -> bytes:
    """Returns a TIFF whose strips or tiles share the same bytes. `tile` is width and height in pixels."""
    offsets_at = 8 + len(piece)
    counts_at = offsets_at + 4 * pieces
    bits_at = counts_at + 4 * pieces
    directory_at = bits_at + 2 * samples

    def listed(at: int, value: int) -> int:
        return value if pieces == 1 else at

    entries = [(256, 4, 1, width), (257, 4, 1, height)]
    entries += [(258, 3, samples, bits_at if samples > 2 else 8), (259, 3, 1, compression), (262, 3, 1, 2 if samples == 3 else 1)]
    if tile:
        entries += [(277, 3, 1, samples), (322, 4, 1, tile[0]), (323, 4, 1, tile[1])]
        entries += [(324, 4, pieces, listed(offsets_at, 8)), (325, 4, pieces, listed(counts_at, len(piece)))]
    else:
        entries += [(273, 4, pieces, listed(offsets_at, 8)), (277, 3, 1, samples), (278, 4, 1, -(-height // pieces))]
        entries += [(279, 4, pieces, listed(counts_at, len(piece)))]
    body = b"II*\x00" + struct.pack("<I", directory_at) + piece + struct.pack("<I", 8) * pieces
    body += struct.pack("<I", len(piece)) * pieces + struct.pack("<H", 8) * samples
    body += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return body + bytes(4)


def gif(width: int, height: int, codes: int) -> bytes:
    """Returns a GIF that ends after a few pixels of its frame."""
    data = bytes([255]) + bytes(range(255)) if codes else b""
    frame = b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\x00\x08" + data * codes + b"\x00;"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf7\x00\x00" + bytes(range(256)) * 3 + frame


def bmp_of_runs(width: int, height: int) -> bytes:
    """Returns a run-length BMP that ends immediately: the rest of the image is its first colour."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 2, 0, 0, 256, 0)
    offset = 14 + 40 + 1024
    return b"BM" + struct.pack("<IHHI", offset + 2, 0, 0, offset) + header + bytes(range(256)) * 4 + b"\x00\x01"


def webp_lossless(width: int, height: int) -> bytes:
    """Returns a lossless WebP of one colour: five codes of one symbol each, so that pixels take no bits."""
    bits, value = 0, 0

    def put(number: int, count: int) -> None:
        nonlocal bits, value
        value |= number << bits
        bits += count

    put(0x2F, 8)
    put(width - 1, 14)
    put(height - 1, 14)
    put(0, 1)  # no alpha
    put(0, 3)  # version
    put(0, 1)  # no transform
    put(0, 1)  # no colour cache
    put(0, 1)  # one group of codes
    for _ in range(5):
        put(1, 1)  # a simple code
        put(0, 1)  # of one symbol
        put(0, 1)  # of one bit
        put(0, 1)
    data = value.to_bytes(-(-bits // 8), "little") + bytes(16)
    data += bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data


def files() -> dict[str, bytes]:
    mebibyte = packed_zeros((1 << 20) - 1)
    gibibyte = packed_zeros(1 << 30)

    def profile(packed: bytes) -> bytes:
        return chunk(b"iCCP", b"icc\x00\x00" + packed)

    made = {
        "profile-bomb.png": small_png(profile(gibibyte)),
        "text-bomb.png": small_png(chunk(b"zTXt", b"note\x00\x00" + gibibyte)),
        "international-text-bomb.png": small_png(chunk(b"iTXt", b"note\x00\x01\x00\x00\x00" + gibibyte)),
        "many-profiles.png": small_png(profile(mebibyte) * 3000),
        "many-texts.png": small_png(chunk(b"zTXt", b"note\x00\x00" + mebibyte) * 3000),
        "xmp-bomb.png": small_png(chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x01\x00\x00\x00" + mebibyte) * 60),
        "pixels-go-on.png": png(8, 8, 8, 2, gibibyte),
        "square-rgba16.png": zero_png(13_377, 13_377, 16, 6),
        "square-gray.png": zero_png(13_377, 13_377, 8, 0),
        "square-interlaced.png": zero_png(13_377, 13_377, 1, 0, interlaced=1),
        "line-rgba16.png": zero_png(MAX_PIXELS, 1, 16, 6),
        "line-bits.png": zero_png(MAX_PIXELS, 1, 1, 0),
        "column-bits.png": zero_png(1, MAX_PIXELS, 1, 0),
        "long-line.png": zero_png(30_000_000, 1, 1, 0),
        "long-column.png": zero_png(1, 30_000_000, 1, 0),
        "large-bits.png": zero_png(11_000, 11_000, 1, 0),
        "beyond-pil.png": zero_png(65_500, 65_500, 1, 0),
        "no-pixels.png": png(13_377, 13_377, 8, 2, b""),
        "scans-small.jpg": jpeg_of_many_scans(200, 200, 30_000),
        "scans-large.jpg": jpeg_of_many_scans(2_000, 2_000, 30_000),
        "scans-within-limits.jpg": jpeg_of_many_scans(2_000, 2_000, 500),
        "scans-huge.jpg": jpeg_of_many_scans(8_000, 8_000, 2_000),
        "square.jpg": jpeg_of_one_scan(13_377, 13_377),
        "large.jpg": jpeg_of_one_scan(10_000, 10_000),
        "beyond-pil.jpg": jpeg_of_one_scan(65_500, 65_500),
        "line.jpg": jpeg_of_one_scan(65_500, 1),
        "strip-bomb.tif": tiff(13_000, 13_000, 3, 8, packed_zeros(13_000 * 13_000 * 3), 1, None),
        "strips-of-one-row.tif": tiff(60_000, 2_900, 1, 8, packed_zeros(60_000), 2_900, None),
        "tiles-beyond-the-page.tif": tiff(1, 65_520, 1, 8, packed_zeros(16_000_000), 4_095, (1_000_000, 16)),
        "small-tiles.tif": tiff(10_000, 10_000, 1, 8, packed_zeros(256), 390_625, (16, 16)),
        "huge-tile.tif": tiff(16, 16, 3, 8, packed_zeros(1 << 20), 1, (65_536, 65_536)),
        "screen.gif": gif(65_535, 2_700, 40),
        "beyond-pil.gif": gif(65_535, 65_535, 1),
        "large.gif": gif(11_000, 11_000, 40),
        "runs.bmp": bmp_of_runs(13_377, 13_377),
        "large-runs.bmp": bmp_of_runs(10_000, 10_000),
        "header-only.bmp": bmp_of_runs(2**31 - 1, 2**31 - 1),
        "square.webp": webp_lossless(16_383, 10_000),
        "large.webp": webp_lossless(6_000, 6_000),
        "header-only.ppm": b"P6 13377 13377 255\n",
        "header-only-of-text.ppm": b"P3 13377 13377 255\n" + b"1 " * 1000,
        "comments.pgm": b"P5\n" + b"#\n" * 5_000_000 + b"1 1 255\n\x00",
    }
    return made


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (folder / name).write_bytes(content)
    # A sparse file, longer than the limit for images.
    with open(folder / "long-file.tif", "wb") as file:
        file.write(b"II*\x00")
        file.truncate(1 << 34)


if __name__ == "__main__":
    main()
