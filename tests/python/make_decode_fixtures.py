"""Writes tests/data/decode: unusual image files, and PIL's pixels of them and of the golden images.

    python make_decode_fixtures.py GOLDEN OUT [--cjpeg PATH]

GOLDEN is the golden folder (its `images/photos/astronaut.JPEG`, NASA, public domain, is cropped for the content),
OUT the folder `tests/data` of this repository. The files of `decode/kinds` come from users and are not changed: one for each
kind of difference. Those whose name begins with `exif_apply` are transposed by EXIF. PIL cannot write arithmetic JPEGs: they
need libjpeg-turbo's `cjpeg`, which the crate turbojpeg-sys builds in `target/*/build/turbojpeg-sys-*/out/bin`. Without it the
existing file is kept.
"""

import argparse
import hashlib
import io
import json
import struct
import subprocess
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, __version__

SIZE = (97, 61)  # odd: blocks and chroma samples are truncated on the right and at the bottom


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def interlaced_png(pixels: np.ndarray, bits: int, colour_type: int, before_pixels: bytes = b"") -> bytes:
    """Returns an unfiltered Adam7 PNG, which PIL cannot write."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = [
        b"\0" + row.tobytes()
        for top, left, down, right in passes
        for row in pixels[top::down, left::right]
        if row.size
    ]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, colour_type, 0, 0, 1)
    parts = [chunk(b"IHDR", header), before_pixels, chunk(b"IDAT", zlib.compress(b"".join(rows), 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def fixtures(photo: Image.Image) -> dict[str, bytes]:
    ramp = Image.fromarray(np.add.outer(3 * np.arange(SIZE[1]), 2 * np.arange(SIZE[0])).astype(np.uint8))
    with_alpha = photo.copy()
    with_alpha.putalpha(ramp.point(lambda value: 0 if value < 100 else value))
    deep = np.asarray(photo).astype(">u2") * 257 ^ np.asarray(ramp).astype(">u2")[..., None] * 7
    jpeg = saved(photo, "JPEG")
    progressive = saved(photo, "JPEG", progressive=True)
    restarts = saved(photo, "JPEG", restart_marker_rows=1)
    cmyk = saved(photo.convert("CMYK"), "JPEG")
    adobe_transform = cmyk.index(b"Adobe") + 11
    middle = len(jpeg) - 700
    return {
        # The Adobe marker declares YCCK, although the data is CMYK: the colours are wrong, but YCCK decoding is tested.
        "ycck.jpg": cmyk[:adobe_transform] + b"\2" + cmyk[adobe_transform + 1 :],
        # Warnings in the header (junk between segments, JFIF 2), and restart markers.
        "restarts_odd_header.jpg": restarts[:20].replace(b"JFIF\0\1", b"JFIF\0\2") + b"junk" + restarts[20:],
        # No end-of-image marker, but all rows: PIL shows it.
        "no_end_but_zeros.jpg": jpeg[:-2] + bytes(40),
        # The end-of-image marker comes early: PIL shows it, gray from there on.
        "premature_end.jpg": jpeg[:middle] + b"\xff\xd9" + jpeg[middle:],
        # All scans but the last bytes: PIL refuses.
        "progressive_cut.jpg": progressive[:-40],
        "rgb16_interlaced.png": interlaced_png(deep[:48], 16, 2),
        "gray16_transparent.png": interlaced_png(deep[..., 1] >> 7, 16, 0, chunk(b"tRNS", b"\0\x40")),
        "palette2_transparent.png": saved(photo.quantize(4), "PNG", bits=2, transparency=bytes([255, 0, 128, 9])),
        "alpha_lossy.webp": saved(with_alpha, "WEBP", quality=60),
        "transparent_interlaced.gif": saved(photo.quantize(60), "GIF", interlace=1, transparency=3),
        "cmyk_lzw_turned.tif": saved(photo.convert("CMYK"), "TIFF", compression="tiff_lzw", tiffinfo={274: 6}),
    }


def verdict(path: Path) -> dict:
    apply_exif = path.name.startswith("exif_apply")
    try:
        image = Image.open(path)
        image = (ImageOps.exif_transpose(image) if apply_exif else image).convert("RGB")
    except Exception as error:  # PIL raises nearly anything
        return {"refused": f"{type(error).__name__}: {error}".replace(str(path), path.name)}
    found = {"width": image.width, "height": image.height, "sha256": hashlib.sha256(image.tobytes()).hexdigest()}
    return found | {"exif": True} if apply_exif else found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("golden", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--cjpeg", type=Path)
    given = arguments.parse_args()
    warnings.simplefilter("ignore")

    photo = Image.open(given.golden / "images/photos/astronaut.JPEG").convert("RGB")
    photo = photo.crop((120, 20, 120 + 3 * SIZE[0], 20 + 3 * SIZE[1])).resize(SIZE)
    folder = given.out / "decode"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in fixtures(photo).items():
        (folder / name).write_bytes(content)
    if given.cjpeg:
        command = [given.cjpeg, "-arithmetic", "-progressive"]
        encoded = subprocess.run(command, input=saved(photo, "PPM"), stdout=subprocess.PIPE, check=True).stdout
        (folder / "arithmetic_progressive.jpg").write_bytes(encoded)

    files = {f"golden/images/{path.relative_to(given.golden / 'images')}": path for path in (given.golden / "images").glob("*/*")}
    files |= {f"decode/{path.relative_to(folder)}": path for path in folder.rglob("*.*") if path.suffix != ".json"}
    expected = {name: verdict(files[name]) for name in sorted(files)}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(f"PIL {__version__}: {len(expected)} verdicts, {sum('refused' in one for one in expected.values())} refused")


if __name__ == "__main__":
    main()
