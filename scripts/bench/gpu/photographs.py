"""Makes JPEGs with ImageNet's image sizes from the sample photographs, as input of the benchmarks.

    scripts/bench photographs                  # 20,000 below target/bench/photographs, on all cores
    scripts/bench photographs --images 300 --out small

Each is a random crop of a photograph, mirrored half of the time, with colour jitter and grain. Photograph i depends only
on the seed and on i: the number of processes does not change its bytes, and an incomplete or smaller set is extended.
Most have 500 pixels on the longer side, and the mean size is near ImageNet's 110 kB. They are stored in folders of 20,
whose names are not classes of any teacher.
"""

from __future__ import annotations

import concurrent.futures
import io
import json
import random
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from PIL import __version__ as pillow_version

from bench import images, machine
from bench.command import parser_of

SEED = 1
PER_FOLDER = 20
# Width and height, and frequency in percent. The mean is 400 x 350, as in ImageNet.
SIZES = {(500, 375): 55, (375, 500): 17, (500, 333): 14, (333, 500): 5, (500, 500): 4, (640, 480): 3, (300, 225): 2}
# With the grain, these give a mean of 110 kB.
QUALITIES = (93, 97)
GRAIN = (4.0, 13.0)
MADE = ".made.json"


def originals() -> list[Path]:
    """Returns the undamaged sample photographs."""
    found = sorted((machine.GOLDEN_IMAGES / "photos").glob("*.JPEG"))
    if not found:
        raise machine.Missing(f"{machine.GOLDEN_IMAGES}/photos contains no samples; use a complete clone")
    return found


_photographs: list[Image.Image] = []


def load_originals(files: list[Path]) -> None:
    """Decodes the sample photographs once per process."""
    _photographs[:] = [Image.open(file).convert("RGB") for file in files]


def photograph(seed: int, index: int) -> bytes:
    """Returns photograph `index` as JPEG."""
    dice = random.Random(f"{seed}/{index}")
    original = dice.choice(_photographs)
    size = dice.choices(list(SIZES), weights=list(SIZES.values()))[0]
    image = images.crop(original, size, dice.uniform(0.5, 1.0), dice)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(dice.uniform(0.8, 1.2))
    # One plane for all colours, as in film.
    grain = np.random.default_rng([seed, index]).standard_normal((size[1], size[0], 1), np.float32)
    grainy = np.asarray(image, np.float32) + grain * np.float32(dice.uniform(*GRAIN))
    file = io.BytesIO()
    pixels = np.clip(np.rint(grainy), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=dice.randint(*QUALITIES))
    return file.getvalue()


def path_of(out: Path, index: int) -> Path:
    """Returns the path of photograph `index`."""
    folder = f"class_{index // PER_FOLDER:04}"
    return out / folder / f"{folder}_{index:06}.JPEG"


def make(out: Path, seed: int, first: int, last: int) -> int:
    """Makes the missing photographs of a range, and returns the total bytes of the range."""
    size = 0
    for index in range(first, last):
        file = path_of(out, index)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(f".{file.name}")
            unfinished.write_bytes(photograph(seed, index))
            unfinished.replace(file)
        size += file.stat().st_size
    return size


def make_all(out: Path, seed: int, count: int, processes: int) -> int:
    """Makes the missing photographs, and returns the total bytes."""
    kind = {"seed": seed, "pillow": pillow_version, "numpy": np.__version__}
    note = out / MADE
    made = json.loads(note.read_text()) if note.exists() else None
    if made and made["kind"] == kind and made["images"] >= count:
        return made["bytes"] * count // made["images"]
    if made and made["kind"] != kind:
        raise machine.Missing(f"{out} was made with {made['kind']}, not {kind}; delete it or name another --out")
    if not made and out.is_dir() and any(out.iterdir()):
        raise machine.Missing(f"{out} is not empty; name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"kind": kind, "images": 0, "bytes": 0}))
    starts = range(0, count, PER_FOLDER)
    with concurrent.futures.ProcessPoolExecutor(processes, initializer=load_originals, initargs=(originals(),)) as pool:
        parts = [pool.submit(make, out, seed, start, min(start + PER_FOLDER, count)) for start in starts]
        size = sum(part.result() for part in parts)
    note.write_text(json.dumps({"kind": kind, "images": count, "bytes": size}))
    return size


def main(words: list[str]) -> int:
    parser = parser_of("photographs", __doc__)
    parser.add_argument("--images", type=int, default=20_000, metavar="N", help="number of photographs (default: 20,000)")
    parser.add_argument("--out", type=Path, default=machine.photographs(), metavar="DIR", help="output folder")
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help=f"seed of the photographs (default: {SEED})")
    cores = machine.cores()
    parser.add_argument("--processes", type=int, default=cores, metavar="N", help="number of processes (default: one per core)")
    arguments = parser.parse_args(words)
    if arguments.images < 1 or arguments.processes < 1:
        parser.error("--images and --processes must be at least 1")
    began = time.monotonic()
    size = make_all(arguments.out, arguments.seed, arguments.images, arguments.processes)
    mean_kb = size / arguments.images / 1000
    print(f"{arguments.out}: {arguments.images:,} photographs, {mean_kb:.1f} kB each, {time.monotonic() - began:.1f} s")
    return 0
