"""Small undamaged files of every format and kind, written by Pillow, or assembled here if Pillow cannot write them."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image, PngImagePlugin
from tiffs import tiffs, xmp


def all_seeds(dice: random.Random, longest_side: int) -> dict[str, bytes]:
    """Returns the content of each file by name."""
    width, height = dice.randrange(1, longest_side), dice.randrange(1, longest_side)
    photo = picture(dice, width, height)
    seeds: dict[str, bytes] = {}
    for make in (jpegs, pngs, gifs, bmps, pnms, webps, tiffs, others):
        seeds |= make(dice, photo)
    return seeds


def picture(dice: random.Random, width: int, height: int) -> Image.Image:
    """Returns a mixture of a photograph and noise."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = [np.sin(x / dice.uniform(1, 9) + dice.random() * 6) + np.cos(y / dice.uniform(1, 9)) for _ in range(3)]
    noise = np.random.default_rng(dice.randrange(1 << 30)).normal(0, dice.choice([0, 4, 40]), (height, width, 3))
    return Image.fromarray((np.stack(waves, -1) * 60 + 128 + noise).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_alpha(dice: random.Random, photo: Image.Image) -> Image.Image:
    image = photo.convert("RGBA")
    image.putalpha(photo.convert("L").point(lambda value: 0 if value < 90 else value))
    return image


def exif_block(dice: random.Random) -> bytes:
    """Returns an EXIF block whose orientation has a random type, count and byte order."""
    order = dice.choice("<>")
    kind, value = dice.choice(
        [
            (3, "H"),
            (3, "H"),
            (4, "I"),
            (9, "i"),
            (8, "h"),
            (6, "b"),
            (1, "B"),
            (7, "B"),
            (2, "B"),
            (11, "f"),
            (12, "d"),
            (5, "II"),
            (10, "ii"),
            (16, "Q"),
            (13, "I"),
            (99, "I"),
        ]
    )
    number = dice.choice([1, 2, 3, 4, 5, 6, 7, 8, 0, 9])
    data = struct.pack(order + value, *([number, 1] if len(value) == 2 else [number]))
    count = dice.choice([1, 1, 1, 2])
    data *= count
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    entry = struct.pack(order + "HHI", 274, kind, count)
    entry += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", 26)
    return head + struct.pack(order + "H", 1) + entry + bytes(4) + (data if len(data) > 4 else b"")


def jpegs(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 255, marker, len(content) + 2) + content

    plain = saved(photo, "JPEG")
    bare = b"\xff\xd8" + plain[20:]  # without a JFIF header
    exif = segment(0xE1, b"Exif\0\0" + exif_block(dice))
    packet = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(dice))
    return {
        "jpeg_gray.jpg": saved(photo.convert("L"), "JPEG"),
        "jpeg_cmyk.jpg": saved(photo.convert("CMYK"), "JPEG"),
        "jpeg_progressive.jpg": saved(photo, "JPEG", progressive=True, subsampling=dice.randrange(3)),
        "jpeg_restarts.jpg": saved(photo, "JPEG", restart_marker_blocks=dice.randrange(1, 5)),
        "jpeg_exif.jpg": plain[:20] + exif + plain[20:],
        "jpeg_exif_bare.jpg": b"\xff\xd8" + exif + bare[2:],
        "jpeg_xmp.jpg": b"\xff\xd8" + packet + bare[2:],
        "jpeg_exif_xmp.jpg": plain[:20] + packet + exif + plain[20:],
        "jpeg_bad_exif.jpg": b"\xff\xd8" + segment(0xE1, b"Exif\0\0rubbish") + packet + bare[2:],
        "jpeg_bad_exif_dpi.jpg": saved(photo, "JPEG", dpi=(72, 72), exif=b"Exif\0\0rubbish"),
    }


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    dice: random.Random,
    size: tuple[int, int],
    bits: int,
    colour: int,
    before: bytes = b"",
    after: bytes = b"",
    interlaced: bool | None = None,
) -> bytes:
    """Returns a PNG with random filters, partly regular pixels, and the stream in one or several chunks."""
    width, height = size
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if interlaced is None:
        interlaced = dice.random() < 0.4
    passes = (
        ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        if interlaced
        else ((0, 0, 1, 1),)
    )
    rows = b""
    for top, left, down, right in passes:
        columns = len(range(left, width, right))
        for y in range(top, height, down):
            if columns:
                row_bytes = (columns * samples * bits + 7) // 8
                row = (
                    dice.randbytes(row_bytes)
                    if dice.random() < 0.3
                    else bytes((y * 7 + i * 3) & 255 for i in range(row_bytes))
                )
                rows += bytes([dice.randrange(5)]) + row
    packed = zlib.compress(rows, dice.choice([0, 1, 6, 9]))
    cuts = sorted(dice.randrange(len(packed) + 1) for _ in range(dice.choice([0, 0, 1, 3])))
    pieces = [packed[a:b] for a, b in zip([0, *cuts], [*cuts, len(packed)])]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    parts = [chunk(b"IHDR", header), before, *(chunk(b"IDAT", piece) for piece in pieces), after, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pngs(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    size = photo.size
    found = {}
    for bits, colour in [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6), (16, 6)]:
        found[f"png_{colour}_{bits}.png"] = png(dice, size, bits, colour)
        clear = chunk(b"tRNS", dice.randbytes({0: 2, 2: 6}.get(colour, 2)))
        found[f"png_{colour}_{bits}_trns.png"] = png(dice, size, bits, colour, clear)
    for bits in (1, 2, 4, 8):
        palette = chunk(b"PLTE", dice.randbytes(3 * dice.choice([1, 2, 1 << bits, 1 << bits, 256])))
        clear = dice.choice([b"", chunk(b"tRNS", b"\xff\0"), chunk(b"tRNS", dice.randbytes(3))])
        found[f"png_palette_{bits}.png"] = png(dice, size, bits, 3, palette + clear)
        found[f"png_no_palette_{bits}.png"] = png(dice, size, bits, 3, clear)
    texts = {
        "text": chunk(b"tEXt", b"Comment\0hello"),
        "ztext": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"hello" * 99)),
        "itext": chunk(b"iTXt", b"Comment\0\1\0en\0k\0" + zlib.compress("grüße".encode() * 9)),
        "bomb": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
        "itext_bomb": chunk(
            b"iTXt", b"Comment\0\1\0en\0k\0" + zlib.compress(bytes((1 << 20) + dice.choice([-1, 0, 1])))
        ),
        "icc": chunk(b"iCCP", b"name\0\0" + zlib.compress(dice.randbytes(300))),
        "icc_bomb": chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(1_500_000))),
        "srgb_empty": chunk(b"sRGB", b""),
        "exif": chunk(b"eXIf", exif_block(dice)),
        "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(dice)),
        "xmp_text": chunk(b"tEXt", b"XML:com.adobe.xmp\0" + xmp(dice)),
        "raw_profile": chunk(
            b"zTXt",
            b"Raw profile type exif\0\0"
            + zlib.compress(b"\nexif\n      34\n" + exif_block(dice).hex().encode() + b"\n"),
        ),
        "exif_text": chunk(b"tEXt", b"exif\0" + exif_block(dice)),
    }
    for name, content in texts.items():
        place = dice.choice(["before", "after"])
        found[f"png_{name}_{place}.png"] = png(dice, size, 8, 2, **{place: content})
    frame = photo.resize((max(1, size[0] // 2), max(1, size[1] // 2)))
    found["png_animated.png"] = saved(
        photo, "PNG", save_all=True, append_images=[frame.resize(size)], default_image=dice.random() < 0.5
    )
    control = struct.pack(
        ">IIIIIHHBB", 0, max(1, size[0] - 1), max(1, size[1] - 1), min(1, size[0] - 1), min(1, size[1] - 1), 1, 1, 0, 0
    )
    inner = (max(1, size[0] - 1), max(1, size[1] - 1))
    small = png(dice, inner, 8, 2, chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", control), interlaced=False)
    found["png_small_frame.png"] = (
        small[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)) + small[33:]
    )
    info = PngImagePlugin.PngInfo()
    info.add_text("Author", "somebody")
    for mode in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
        image = (
            with_alpha(dice, photo)
            if mode == "RGBA"
            else photo.convert("L").convert(mode)
            if mode == "I;16"
            else photo.convert(mode)
        )
        found[f"png_pillow_{mode.replace(';', '')}.png"] = saved(image, "PNG", pnginfo=info)
    return found


def gifs(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    colours = dice.choice([2, 3, 17, 256])
    indexed = photo.quantize(colours)
    width, height = photo.size
    found = {
        "gif_plain.gif": saved(indexed, "GIF", interlace=0),
        "gif_interlaced.gif": saved(indexed, "GIF", interlace=1, transparency=dice.randrange(colours)),
        "gif_gray.gif": saved(photo.convert("L"), "GIF"),
        "gif_animated.gif": saved(
            indexed,
            "GIF",
            save_all=True,
            append_images=[photo.rotate(90).resize(photo.size).quantize(colours)],
            disposal=dice.randrange(4),
            comment=b"hello",
            loop=0,
        ),
    }
    # The same codes on another screen, with a global or local palette.
    plain = found["gif_plain.gif"]
    flags = plain[10]
    palette_bytes = 3 << ((flags & 7) + 1) if flags & 128 else 0
    at = 13 + palette_bytes
    while plain[at] != 0x2C:
        at = plain.index(0x2C, at + 1)
    codes = plain[at + 10 :]
    palette = plain[13 : 13 + palette_bytes]
    gray = bytes(value for value in range(palette_bytes // 3) for _ in range(3))
    for name in ("larger", "smaller", "moved"):
        screen = [max(1, side + {"larger": 7, "smaller": -3, "moved": 2}[name]) for side in (width, height)]
        left, top = {"moved": (dice.randrange(9), dice.randrange(9))}.get(name, (0, 0))
        control = (
            b"!\xf9\4" + bytes([dice.randrange(2), 0, 0, dice.randrange(colours)]) + b"\0"
            if dice.random() < 0.5
            else b""
        )
        global_palette = dice.choice([palette, palette, gray, b""])
        local_palette = dice.choice([b"", palette, gray])
        table = (palette_bytes // 3).bit_length() - 2
        head = (
            b"GIF89a"
            + struct.pack("<HHBBB", *screen, (0x80 | table) if global_palette else 0, dice.randrange(3), 0)
            + global_palette
        )
        junk = (
            dice.randbytes(3).replace(b",", b".").replace(b"!", b".").replace(b";", b".")
            if dice.random() < 0.3
            else b""
        )
        image = (
            b","
            + struct.pack("<HHHHB", left, top, width, height, (0x80 | table) if local_palette else 0)
            + local_palette
        )
        found[f"gif_{name}.gif"] = head + control + junk + image + codes
    return found


def bmps(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    width, height = photo.size
    found = {f"bmp_pillow_{mode}.bmp": saved(photo.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")}
    masks = [
        (0xFF0000, 0xFF00, 0xFF, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        (0, 0, 0, 0),
        (1, 2, 3, 4),
    ]
    masks16 = [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0), (0xF00, 0xF0, 0xF, 0)]

    def bmp(
        bits: int,
        size: int = 40,
        compression: int = 0,
        data: bytes | None = None,
        colours: int | None = None,
        from_top: bool = False,
    ) -> bytes:
        stride = (width * bits + 31) // 32 * 4
        data = dice.randbytes(stride * height) if data is None else data
        count = 0 if bits > 8 else (1 << bits) if colours is None else colours
        entry = 3 if size == 12 else 4
        palette = dice.choice(
            [
                dice.randbytes(entry * count),
                bytes(v for i in range(count) for v in ([i * 255 if count == 2 else i & 255] * 3 + [0])[:entry]),
            ]
        )
        if size == 12:
            header = struct.pack("<IHHHH", 12, width, height, 1, bits)
        else:
            tall = (1 << 32) - height if from_top else height
            header = struct.pack(
                "<IIIHHIIIIII", size, width, tall, 1, bits, compression, len(data), 2835, 2835, colours or 0, 0
            )
            if compression == 3:
                header += struct.pack("<IIII", *dice.choice(masks if bits == 32 else masks16))[
                    : 12 if size == 40 else 16
                ]
            header = header.ljust(size, b"\0") if size > 40 else header
        at = 14 + len(header) + len(palette)
        return b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + header + palette + data

    for bits in (1, 2, 4, 8, 16, 24, 32):
        found[f"bmp_{bits}.bmp"] = bmp(bits, dice.choice([12, 40, 52, 56, 64, 108, 124]), from_top=dice.random() < 0.3)
    for bits in (16, 32, 24):
        found[f"bmp_fields_{bits}.bmp"] = bmp(bits, dice.choice([40, 52, 56, 108, 124]), 3)
    found["bmp_few_colours.bmp"] = bmp(8, colours=dice.choice([1, 2, 3, 17, 200, 257]))
    for bits, compression in ((8, 1), (4, 2)):
        found[f"bmp_rle{bits}.bmp"] = bmp(bits, 40, compression, runs(dice, width, height, bits == 4))
        found[f"bmp_rle{bits}_gray.bmp"] = bmp(
            bits, 40, compression, runs(dice, width, height, bits == 4), colours=dice.choice([2, 16])
        )
    return found


def runs(dice: random.Random, width: int, height: int, four_bits: bool) -> bytes:
    """Returns run lengths with gaps, jumps and rows that are too short or too long."""
    data = b""
    for _ in range(height):
        x = 0
        while x < width:
            count = dice.randrange(1, 12)
            step = dice.random()
            if step < 0.5:
                data += bytes([count, dice.randrange(256)])
            elif step < 0.85 and count > 2:
                content = dice.randbytes((count + 1) // 2 if four_bits else count)
                data += bytes([0, count]) + content + b"\0" * (len(content) % 2)
            elif step < 0.9:
                data += bytes([0, 2, dice.randrange(5), dice.choice([0, 0, 1])])
            elif step < 0.93:
                break
            x += count
        data += b"\0\0"
    return data + b"\0\1"


def pnms(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    width, height = photo.size
    found = {}
    spaces = [b" ", b"\n", b"\t", b" #note\n", b"\r\n", b"\n# a\n# b\n"]

    def head(magic: bytes, *numbers: int) -> bytes:
        return magic + b"".join(dice.choice(spaces) + str(number).encode() for number in numbers) + b"\n"

    bits = [dice.randrange(2) for _ in range(width * height)]
    found["pnm_1.pbm"] = (
        head(b"P1", width, height) + dice.choice([b"", b" "]).join(str(bit).encode() for bit in bits) + b"\n"
    )
    found["pnm_4.pbm"] = head(b"P4", width, height) + dice.randbytes((width + 7) // 8 * height)
    for magic, samples in ((b"P2", 1), (b"P3", 3), (b"P5", 1), (b"P6", 3)):
        for largest in (255, dice.choice([1, 2, 15, 100, 254]), dice.choice([256, 300, 1000, 4095, 65534]), 65535):
            values = [dice.randrange(largest + 1) for _ in range(width * height * samples)]
            if magic in (b"P2", b"P3"):
                data = b"".join(str(value).encode() + dice.choice([b" ", b"\n", b"  ", b" #c\n"]) for value in values)
            else:
                data = struct.pack(f">{len(values)}{'B' if largest < 256 else 'H'}", *values)
            found[f"pnm_{magic.decode()}_{min(largest, 257)}_{largest % 7}.pnm"] = (
                head(magic, width, height, largest) + data
            )
    floats = np.random.default_rng(dice.randrange(1 << 30)).normal(128, 120, width * height)
    for order, scale in (("<", b"-1.0"), (">", b"2")):
        found[f"pnm_f{ord(order)}.pfm"] = (
            b"Pf\n%d %d\n%s\n" % (width, height, scale) + floats.astype(order + "f4").tobytes()
        )
    return found


def webps(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    clear = with_alpha(dice, photo)
    frames = [clear.rotate(90).resize(photo.size), photo.rotate(180).convert("RGBA")]
    exif = b"Exif\0\0" + exif_block(dice)
    found = {
        "webp_lossy.webp": saved(photo, "WEBP", quality=dice.randrange(101)),
        "webp_lossless.webp": saved(photo, "WEBP", lossless=True),
        "webp_alpha.webp": saved(clear, "WEBP", quality=70, alpha_quality=dice.choice([40, 100]), exact=True),
        "webp_alpha_lossless.webp": saved(clear, "WEBP", lossless=True, exact=dice.random() < 0.5),
        "webp_exif.webp": saved(photo, "WEBP", exif=exif, xmp=xmp(dice), icc_profile=b"profile"),
        "webp_xmp.webp": saved(photo, "WEBP", xmp=xmp(dice)),
        "webp_animated.webp": saved(
            clear, "WEBP", save_all=True, append_images=frames, lossless=dice.random() < 0.5, minimize_size=True
        ),
    }
    # A first frame that covers only a part of the canvas.
    still = found["webp_alpha.webp"]
    canvas = (photo.width + 9, photo.height + 12)
    content = still[12 + 18 :] if still[12:16] == b"VP8X" else still[12:]
    frame = (
        struct.pack("<I", 2)[:3]
        + struct.pack("<I", 3)[:3]
        + struct.pack("<I", photo.width - 1)[:3]
        + struct.pack("<I", photo.height - 1)[:3]
        + struct.pack("<I", 100)[:3]
        + bytes([dice.randrange(4)])
    )
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes([0x12, 0, 0, 0])
        + struct.pack("<I", canvas[0] - 1)[:3]
        + struct.pack("<I", canvas[1] - 1)[:3]
    )
    body += b"ANIM" + struct.pack("<I", 6) + bytes([9, 9, 9, 255, 0, 0])
    body += (b"ANMF" + struct.pack("<I", len(frame + content)) + frame + content) * 2
    found["webp_part.webp"] = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    return found


def others(dice: random.Random, photo: Image.Image) -> dict[str, bytes]:
    """Returns files of formats that PIL reads or may read, and that relabel refuses by name."""
    return {
        "other.ico": saved(photo, "ICO"),
        "other.tga": saved(photo, "TGA"),
        "other.jp2": saved(photo, "JPEG2000"),
        "other.avif": saved(photo, "AVIF"),
        "other.qoi": saved(photo, "QOI"),
        "other.dib": saved(photo, "DIB"),
        "other.sgi": saved(photo, "SGI"),
        "other.pcx": saved(photo, "PCX"),
        "other.txt": b"not an image",
        "other.empty": b"",
    }
