"""Reads what the tests need to know about an ELF file of 64 bits, little-endian."""

import re
import struct


def section_names(content: bytes) -> set[str]:
    """Returns the names of all sections."""
    assert content[:6] == b"\x7fELF\x02\x01", "not a little-endian ELF file of 64 bits"
    (headers,) = struct.unpack_from("<Q", content, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", content, 0x3A)
    fields = [struct.unpack_from("<IIQQQQ", content, headers + number * size) for number in range(count)]
    names, length = fields[names_index][4:6]
    table = content[names : names + length]
    return {table[offset : table.index(b"\0", offset)].decode() for offset, *_ in fields}


def newest_glibc(content: bytes) -> tuple[int, ...]:
    """Returns the newest version of glibc that a symbol is bound to."""
    return max(tuple(map(int, found.split(b"."))) for found in re.findall(rb"\0GLIBC_(2(?:\.\d+)+)\0", content))
