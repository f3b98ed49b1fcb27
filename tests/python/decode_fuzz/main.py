"""Writes image files, many of them damaged, and how PIL decodes each.

    python main.py OUT --files 3000 --seed 1

OUT gets the files and `verdicts.json`, which lists the size and the SHA-256 of `Image.open(file).convert("RGB")` for each
file, or PIL's error. If `exif` is true, `ImageOps.exif_transpose` is applied first. The Rust test
`decode::random_files_decode_as_pil_or_are_refused` decodes the same files. A seed always makes the same files.
"""

import argparse
import hashlib
import json
import random
import warnings
from pathlib import Path

from mutations import mutated
from PIL import Image, ImageOps
from seeds import all_seeds

# Larger images take PIL long, except those above its own limit, which it refuses immediately.
LARGEST_DECODED = 1_000_000


def verdict(path: Path, apply_exif: bool) -> dict | None:
    """Returns PIL's result, or None if the image is too large for a quick test."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > LARGEST_DECODED:
                return None
            if apply_exif:
                image = ImageOps.exif_transpose(image)
            rgb = image.convert("RGB")
    except Exception as error:  # PIL raises many types
        return {"refused": f"{type(error).__name__}: {error}".replace(str(path), path.name)[:200]}
    return {"width": rgb.width, "height": rgb.height, "sha256": hashlib.sha256(rgb.tobytes()).hexdigest()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-side", type=int, default=40, help="in pixels")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    dice = random.Random(options.seed)

    verdicts = {}
    while len(verdicts) < options.files:
        # Each generation has another image size. Undamaged files come first, then twice as many damaged ones.
        seeds = all_seeds(dice, options.longest_side)
        names = sorted(seeds)
        chosen = [(name, False) for name in names] + [(dice.choice(names), True) for _ in range(2 * len(names))]
        for name, is_damaged in chosen[: options.files - len(verdicts)]:
            content = mutated(dice, name, seeds[name], seeds) if is_damaged else seeds[name]
            path = options.out / f"{len(verdicts):05d}_{name}"
            path.write_bytes(content)
            apply_exif = dice.random() < 0.3
            found = verdict(path, apply_exif)
            if found is None:
                path.unlink()
            else:
                verdicts[path.name] = {"exif": apply_exif, **found}
    (options.out / "verdicts.json").write_text(json.dumps(verdicts))


if __name__ == "__main__":
    main()
