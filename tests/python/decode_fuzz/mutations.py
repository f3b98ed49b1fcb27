"""Damages files: bits, bytes, numbers, ends, and the chunks of PNG and WebP with corrected checksums."""

import random
import struct
import zlib

INTERESTING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 127, 128, 254, 255, 256, 257, 65535, 1 << 31, (1 << 32) - 1]


def mutated(dice: random.Random, name: str, content: bytes, seeds: dict[str, bytes]) -> bytes:
    """Returns a damaged copy of a file."""
    structured = {"png": png_chunks, "webp": webp_chunks}.get(name.rsplit(".", 1)[-1])
    if structured and dice.random() < 0.5:
        content = structured(dice, content)
        if dice.random() < 0.7:
            return content
    for _ in range(dice.choice([1, 1, 1, 1, 1, 2])):
        content = dice.choice([flip, flip, flip, field, cut, drop, insert, repeat, text])(dice, content)
    if dice.random() < 0.02:
        other = seeds[dice.choice(sorted(seeds))]
        content = content[: position(dice, content)] + other[position(dice, other) :]
    return content


def position(dice: random.Random, content: bytes) -> int:
    """Returns a random position, more often in the header."""
    limit = len(content) if dice.random() < 0.5 else min(len(content), dice.choice([16, 32, 64, 128]))
    return dice.randrange(limit) if limit else 0


def flip(dice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice([1, 1, 1, 1, 2, 8])):
        if changed:
            changed[position(dice, content)] ^= 1 << dice.randrange(8)
    return bytes(changed)


def field(dice: random.Random, content: bytes) -> bytes:
    size, order = dice.choice([1, 2, 4]), dice.choice("<>")
    number = dice.choice(INTERESTING) & ((1 << 8 * size) - 1)
    at = position(dice, content)
    return content[:at] + struct.pack(order + {1: "B", 2: "H", 4: "I"}[size], number) + content[at + size :]


def cut(dice: random.Random, content: bytes) -> bytes:
    if dice.random() < 0.4:
        return content[: max(0, len(content) - dice.randrange(1, 20))]
    return content[: position(dice, content)]


def drop(dice: random.Random, content: bytes) -> bytes:
    at = position(dice, content)
    return content[:at] + content[at + dice.choice([1, 1, 2, 4, 12]) :]


def insert(dice: random.Random, content: bytes) -> bytes:
    at = position(dice, content)
    return content[:at] + dice.randbytes(dice.choice([1, 1, 2, 4, 9])) + content[at:]


def repeat(dice: random.Random, content: bytes) -> bytes:
    at, size = position(dice, content), dice.randrange(1, 40)
    return content[:at] + content[at : at + size] + content[at:]


def text(dice: random.Random, content: bytes) -> bytes:
    at = position(dice, content)
    return content[:at] + dice.choice([b"#", b"\n", b" ", b"#a\n", b"\r", b"-1", b"_", b"\0", b"\xff"]) + content[at:]


PNG_KINDS = [
    b"IDAT", b"PLTE", b"tRNS", b"gAMA", b"pHYs", b"cHRM", b"sRGB", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL",
    b"fcTL", b"fdAT", b"abCd", b"IEND", b"DDAT", b"IHDR",
]  # fmt: skip


def move(dice: random.Random, chunks: list[tuple[bytes, bytes]], number: int, action: int) -> bool:
    """Deletes a chunk (action 0) or repeats it elsewhere (action 1). Returns whether `action` is one of these."""
    if action == 0:
        del chunks[number]
    elif action == 1:
        chunks.insert(dice.randrange(len(chunks) + 1), chunks[number])
    return action in (0, 1)


def png_chunks(dice: random.Random, content: bytes) -> bytes:
    chunks, at = [], 8
    while at + 8 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(dice.choice([1, 1, 2])):
        if not chunks:
            break
        number = dice.randrange(len(chunks))
        kind, data = chunks[number]
        action = dice.randrange(8)
        if move(dice, chunks, number, action):
            continue
        if action == 2:
            chunks[number] = (kind, cut(dice, data) if data else b"")
        elif action == 3:
            chunks[number] = (kind, flip(dice, data))
        elif action == 4:
            chunks[number] = (dice.choice(PNG_KINDS), data)
        elif action == 5 and data:
            at = dice.randrange(len(data))
            chunks[number : number + 1] = [(kind, data[:at]), (kind, data[at:])]
        elif action == 6 and kind == b"IDAT":
            try:
                rows = zlib.decompress(data)
            except zlib.error:
                continue
            rows = dice.choice([flip, cut, repeat, insert])(dice, rows)
            chunks[number] = (kind, zlib.compress(rows, dice.choice([0, 1, 9])))
        else:
            random_chunk = (
                dice.choice([b"tRNS", b"PLTE", b"tEXt", b"gAMA", b"xYzz"]),
                dice.randbytes(dice.randrange(8)),
            )
            chunks.insert(dice.randrange(len(chunks) + 1), random_chunk)
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return content[:8] + b"".join(parts)


def webp_chunks(dice: random.Random, content: bytes) -> bytes:
    chunks, at = [], 12
    while at + 8 <= len(content):
        (length,) = struct.unpack("<I", content[at + 4 : at + 8])
        chunks.append((content[at : at + 4], content[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    if chunks:
        number = dice.randrange(len(chunks))
        kind, data = chunks[number]
        action = dice.randrange(6)
        if move(dice, chunks, number, action):
            pass
        elif action == 2:
            chunks[number] = (kind, dice.choice([flip, cut, field])(dice, data) if data else b"")
        elif action == 3:
            chunks[number] = (
                dice.choice([b"ALPH", b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"EXIF", b"XMP ", b"abcd"]),
                data,
            )
        else:
            at = dice.randrange(len(chunks))
            chunks[number], chunks[at] = chunks[at], chunks[number]
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
