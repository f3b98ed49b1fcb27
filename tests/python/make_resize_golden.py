"""Writes tests/data/golden/resized_parts.json and resized_parts.npz: parts of images, as Pillow resizes them.

    python make_resize_golden.py tests/data/golden

The JSON lists the cases. `box` is in 0..1 of the image, after `crop` (`top, left, height, width`, in pixels) if there is one; `sha256`
is that of all RGB bytes for the filters that must be equal in every bit. `rows` are the rows of the result whose bytes are in the npz,
which has one array for each other filter: the rows of all cases, one after the other. Needs Pillow 13 and NumPy.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

EXACT = {"nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX}
CLOSE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}

ENTIRE = [0.0, 0.0, 1.0, 1.0]
CORNERS = [[x, y, x + 2 / 3, y + 2 / 3] for y in (0.0, 1 / 3) for x in (0.0, 1 / 3)]
HALVES = [[x, y, x + 0.5, y + 0.5] for y in (0.0, 0.25, 0.5) for x in (0.0, 0.25, 0.5)]
ODD = [[0.123, 0.456, 0.789, 0.987], [0.0, 0.31, 1.0, 0.32], [0.7071, 0.0, 0.7231, 1.0], [1 / 7, 1 / 11, 3 / 7, 9 / 11]]
INPUT = [224, 224]


def case(image: str, box: list[float], size: list[int], rows: list[int], crop: list[int] | None = None) -> dict:
    return {"image": image, **({"crop": crop} if crop else {}), "box": box, "size": size, "rows": rows}


def cases(ids: list[str]) -> list[dict]:
    found = [case(image, ENTIRE, INPUT, []) for image in ids]
    some = [3, 111, 220]
    for image in ("photos/coffee.JPEG", "photos/chelsea.JPEG", "odd/tall.JPEG", "odd/tiny_33x47.JPEG"):
        found += [case(image, ENTIRE, INPUT, some[:1])]
        found += [case(image, box, INPUT, []) for box in CORNERS + HALVES]
        found += [case(image, box, INPUT, [some[at % 3]]) for at, box in enumerate([*CORNERS[1:3], *HALVES[3:5], HALVES[8], *ODD])]
    for box in ODD:
        found += [case("photos/rocket.JPEG", box, size, [0, size[0] // 2, size[0] - 1]) for size in ([7, 300], [331, 5], [48, 64])]
    # The order of the passes depends on the sides of the image, not on those of the box.
    found += [case("photos/astronaut.JPEG", box, [100, 500], [50]) for box in (ENTIRE, [0.0, 0.4, 1.0, 0.6], [0.4, 0.0, 0.6, 1.0])]
    # Parts whose length does not change, at integer and at other positions.
    thirty = [[0.0, 0.0, 0.5, 1.0], [0.25, 0.5, 0.75, 1.0], [0.26, 0.1, 0.76, 0.6], ENTIRE]
    found += [case("photos/coffee.JPEG", box, [20, 15], list(range(0, 20, 3)), [100, 200, 20, 30]) for box in thirty]
    found += [case("photos/coffee.JPEG", box, [20, 30], list(range(0, 20, 3)), [100, 200, 20, 30]) for box in thirty]
    # Sides of one pixel, and boxes smaller than a pixel.
    tiny = [[0.0, 0.0, 0.5, 0.5], [1 / 3, 0.25, 0.9, 1.0], [0.3, 0.6, 0.3 + 1 / 64, 0.6 + 1 / 64]]
    for crop in ([200, 300, 1, 1], [200, 300, 1, 9], [200, 300, 8, 1], [200, 300, 2, 3]):
        for box in tiny:
            found += [case("photos/coffee.JPEG", box, size, list(range(0, size[0], 4)), crop) for size in ([9, 8], [1, 1], [1, 13], [2, 3])]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("golden", type=Path)
    golden = parser.parse_args().golden
    found = cases((golden / "ids.txt").read_text().split())
    close: dict[str, list[np.ndarray]] = {name: [] for name in CLOSE}
    for one in found:
        image = Image.open(golden / "images" / one["image"]).convert("RGB")
        if "crop" in one:
            top, left, height, width = one["crop"]
            image = image.crop((left, top, left + width, top + height))
        x0, y0, x1, y1 = one["box"]
        box = (x0 * image.width, y0 * image.height, x1 * image.width, y1 * image.height)
        height, width = one["size"]
        one["sha256"] = {name: hashlib.sha256(image.resize((width, height), method, box).tobytes()).hexdigest() for name, method in EXACT.items()}
        for name, method in CLOSE.items():
            pixels = np.asarray(image.resize((width, height), method, box))
            close[name].append(pixels[one["rows"]].ravel())
    lines = ",\n".join(" " + json.dumps(one) for one in found)
    (golden / "resized_parts.json").write_text(f"[\n{lines}\n]\n")
    np.savez_compressed(golden / "resized_parts.npz", **{name: np.concatenate(rows) for name, rows in close.items()})


if __name__ == "__main__":
    main()
