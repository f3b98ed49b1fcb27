"""Records what must be read from each frozen store of a format version. Uses no code of relabel.

    freeze_store.py FOLDER

FOLDER has the stores, such as tests/data/stores/v2. For each store, `expected/NAME.json` lists its description, rows and counts,
and `expected/NAME.npz` has its arrays and targets: arrays by zarr-python, the manifest by pyarrow, targets by torchvision's
`roi_align`, signers by ssh-keygen. `SHA256SUMS` then lists all files.
"""

import hashlib
import json
import math
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import zarr
from numpy.typing import NDArray
from torchvision.ops import roi_align

# Boxes whose sides are exact in float32, so that their dtype does not matter: the full image, a usual crop, one smaller than a
# cell, and one that leaves the image.
BOXES = [[0.0, 0.0, 1.0, 1.0], [0.125, 0.25, 0.625, 0.875], [0.5, 0.5, 0.515625, 0.515625], [-0.25, 0.5, 1.25, 0.75]]
# Height and width of the student's input, and the pasted rectangle, box and mirroring of each of two crops for CutMix.
INPUT_SIZE = (36, 24)
RECTANGLES = [[4, 6, 16, 24], [0, 0, 24, 12]]
CUTMIX_BOXES = [BOXES[1], [0.25, 0.0, 1.0, 0.75]]
MIRRORED = [False, True]

ARRAYS = ("scores", "classes", "image_probs", "image_classes", "lse")
Json = dict[str, Any]


def main(folder: Path) -> None:
    (folder / "expected").mkdir()
    for name in names(folder):
        with opened(folder, name) as store:
            description, arrays = expected(store)
        text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
        (folder / f"expected/{name}.json").write_text(text, encoding="utf-8")
        np.savez_compressed(folder / f"expected/{name}.npz", **arrays)
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {path}\n" for path, digest in digests(folder).items()))


def names(folder: Path) -> list[str]:
    """Returns the names of the stores in a folder: folders with a `zarr.json`, and archives."""
    folders = [path.parent.name for path in folder.glob("*/zarr.json")]
    archives = [path.name.removesuffix(".tar.gz") for path in folder.glob("*.tar.gz")]
    return sorted(folders + archives)


@contextmanager
def opened(folder: Path, name: str) -> Iterator[Path]:
    """Yields the path of a store. One that is kept in an archive is unpacked for as long as it is needed."""
    if (folder / name).exists():
        yield folder / name
        return
    with tempfile.TemporaryDirectory() as unpacked, tarfile.open(folder / f"{name}.tar.gz") as archive:
        archive.extractall(unpacked, filter="data")
        yield Path(unpacked) / name


def digests(folder: Path) -> dict[str, str]:
    """Returns the digest of each frozen file by its path. `README.md` may be improved."""
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    frozen = [path for path in paths if path not in ("README.md", "SHA256SUMS")]
    return {path: file_digest(folder / path) for path in frozen}


def expected(store: Path) -> tuple[Json, dict[str, NDArray[Any]]]:
    """Returns what must be read from a store: description, rows and counts, and its arrays and targets."""
    group = zarr.open_group(store, mode="r")
    attributes: Json = dict(group.attrs)["relabel"]
    records = [read_json(path) for path in sorted((store / "records").iterdir())]
    check_digests(store, attributes, records)
    rows = row_states(store, attributes, records)
    arrays = {name: group[name] for name in ARRAYS if name in group}
    labelled = [row for row, state in enumerate(rows) if state["state"] == "labelled"]
    chosen = [labelled[0], labelled[-1]]
    class_count = attributes["classes"]["count"]
    maps = [dense_map(arrays["scores"][row], arrays["classes"][row], class_count) for row in chosen]
    description = {
        "info": described(attributes),
        "arrays": {name: described_array(store, name, array) for name, array in arrays.items()},
        "rows": rows,
        "counts": counts(attributes, records),
        "target_rows": chosen,
        "boxes": BOXES,
        "cutmix": {"input_size": INPUT_SIZE, "rectangles": RECTANGLES, "boxes": CUTMIX_BOXES, "mirrored": MIRRORED},
        "release": release(store),
    }
    values = {name: widened(np.asarray(array[:])) for name, array in arrays.items()}
    values["targets"] = np.stack([[target(dense, box) for box in BOXES] for dense in maps]).astype(np.float32)
    values["cutmix_targets"] = cutmix_targets(maps).astype(np.float32)
    return description, values


def described(attributes: Json) -> Json:
    """Returns the description without the class list, which is replaced by a digest and its first names."""
    classes = attributes["classes"]
    listed = "".join(f"{identity}\t{name}\n" for identity, name in zip(classes["ids"], classes["names"], strict=True))
    short = {"list": classes["list"], "count": classes["count"], "first_names": classes["names"][:3]}
    short["sha256"] = hashlib.sha256(listed.encode()).hexdigest()
    return attributes | {"classes": short}


def check_digests(store: Path, attributes: Json, records: list[Json]) -> None:
    """Checks every digest that docs/format.md defines."""
    notes = [read_json(path) for path in sorted(store.glob("runs/*"))]
    for sealed in (attributes, *records, *notes):
        assert sealed["sha256"] == json_digest({key: value for key, value in sealed.items() if key != "sha256"})
    assert file_digest(store / "manifest.parquet") == attributes["manifest_sha256"]
    for number, record in zip(sorted((store / "records").iterdir()), records, strict=True):
        assert (number.name, record["made_with"]) == (f"{record['shard']:06}.json", made_with(attributes))
        for file in record["files"]:
            assert (file["bytes"], file["sha256"]) == ((store / file["path"]).stat().st_size, file_digest(store / file["path"]))


def made_with(attributes: Json) -> str:
    """Returns the digest of what labels depend on."""
    kept_keys = ("input_size", "mean", "std", "filter", "channel_order", "exif_orientation")
    teacher = {key: value for key, value in attributes["teacher"].items() if key != "locality"}
    teacher |= {"name": "", "card_origins": {}}
    teacher["card"] = {key: value for key, value in teacher["card"].items() if key in kept_keys}
    kept = {key: value for key, value in attributes.items() if key not in ("sha256", "limit")}
    return json_digest(kept | {"tool_version": "", "source": "", "teacher": teacher})


def json_digest(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def described_array(store: Path, name: str, array: Any) -> Json:
    """Returns shape, type and fill value, and the first numbers of the first and last image."""
    metadata = read_json(store / name / "zarr.json")
    first = [[str(value) for value in np.asarray(array[row]).ravel()[:4]] for row in (0, array.shape[0] - 1)]
    return {"shape": list(array.shape), "dtype": str(array.dtype), "fill": str(metadata["fill_value"]), "first_values": first}


def row_states(store: Path, attributes: Json, records: list[Json]) -> list[Json]:
    """Returns manifest and state of each row."""
    done = {row for record in records for row in range(record["first_row"], record["first_row"] + record["rows"])}
    failed = {image["row"]: image for record in records for image in record["failed"]}
    manifest = pq.read_table(store / "manifest.parquet").to_pylist()
    assert len(manifest) == attributes["images"]
    rows = []
    for row, entry in enumerate(manifest):
        assert entry.pop("row") == row
        state: Json = {"state": "labelled" if row in done else "to-do"}
        if row in failed:
            assert (failed[row]["id"], failed[row]["path"]) == (entry["id"], entry["path"])
            state = {"state": "failed", "kind": failed[row]["kind"], "reason": failed[row]["reason"]}
        rows.append(entry | state)
    return rows


def counts(attributes: Json, records: list[Json]) -> Json:
    """Returns the counts that `relabel status` reports."""
    failed = [image for record in records for image in record["failed"]]
    rows = sum(record["rows"] for record in records)
    agreement = {key: sum(record["agreement"][key] for record in records) for key in ("compared", "top1", "top5")}
    return {
        "images": attributes["images"],
        "labelled": sum(record["labelled"] for record in records),
        "failed": len(failed),
        "to_do": attributes["images"] - rows,
        "shards_total": math.ceil(attributes["images"] / attributes["shard_images"]),
        "shards_done": len(records),
        "label_bytes": sum(file["bytes"] for record in records for file in record["files"]),
        "agreement": agreement,
        "failures_by_kind": dict(sorted(Counter(image["kind"] for image in failed).items())),
    }


def release(store: Path) -> Json | None:
    """Returns what the verification of a release must report; None for a store that was not published."""
    if not (store / "SHA256SUMS").exists():
        return None
    sums = (store / "SHA256SUMS").read_bytes()
    for line in sums.decode().splitlines():
        digest, path = line.split("  ")
        assert file_digest(store / path) == digest, path
    fingerprint = None
    if (store / "SHA256SUMS.sig").exists():
        key = store.parent / "signer.pub"
        check = ["ssh-keygen", "-Y", "check-novalidate", "-n", "file", "-s", store / "SHA256SUMS.sig"]
        subprocess.run(check, input=sums, check=True, stdout=subprocess.DEVNULL)
        fingerprint = subprocess.run(["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True).stdout.split()[1]
    partial = read_json(store / "provenance.json")["partial"]
    return {"files": len(sums.splitlines()), "partial": partial, "signer": fingerprint}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def widened(values: NDArray[Any]) -> NDArray[Any]:
    """Returns float16 as float32 and class ids as uint32: all readers of `.npz` have these."""
    return values.astype(np.float32 if values.dtype.kind == "f" else np.uint32)


def dense_map(scores: NDArray[Any], classes: NDArray[Any], class_count: int) -> torch.Tensor:
    """Returns the map `[class, y, x]`: the score of every class in every cell, 0 for those that were not kept."""
    dense = torch.zeros(class_count, *scores.shape[1:])
    return dense.scatter_(0, torch.from_numpy(classes.astype(np.int64)), torch.from_numpy(scores.astype(np.float32)))


def map_coordinates(box: list[float], dense: torch.Tensor) -> list[float]:
    height, width = dense.shape[1:]
    x0, y0, x1, y1 = box
    return [x0 * width - 0.5, y0 * height - 0.5, x1 * width - 0.5, y1 * height - 0.5]


def target(dense: torch.Tensor, box: list[float]) -> NDArray[np.float64]:
    """Returns the target of a crop as docs/label-pooling.md defines it."""
    region = torch.tensor([[0.0, *map_coordinates(box, dense)]], dtype=torch.float32)
    return roi_align(dense[None], region, (1, 1), 1.0, -1, False).flatten().double().softmax(0).numpy()


def cutmix_targets(maps: list[torch.Tensor]) -> NDArray[np.float64]:
    """Returns the targets of CutMix by region: each of the two images is pasted into the other."""
    mixed = []
    for at, (x0, y0, x1, y1) in enumerate(RECTANGLES):
        height, width = INPUT_SIZE
        other = 1 - at
        pasted_x = mirrored(x0 / width, x1 / width, MIRRORED[other])
        hidden_x = mirrored(x0 / width, x1 / width, MIRRORED[at])
        rows = (y0 / height, y1 / height)
        left, upper, right, lower = CUTMIX_BOXES[other]
        crop_width, crop_height = right - left, lower - upper
        part = [
            left + pasted_x[0] * crop_width, upper + rows[0] * crop_height,
            left + pasted_x[1] * crop_width, upper + rows[1] * crop_height,
        ]  # fmt: skip
        visible = 1 - (x1 - x0) * (y1 - y0) / (width * height)
        host = visible_target(maps[at], CUTMIX_BOXES[at], hidden_x, rows)
        mixed.append(visible * host + (1 - visible) * target(maps[other], part))
    return np.stack(mixed)


def mirrored(low: float, high: float, is_mirrored: bool) -> tuple[float, float]:
    return (1 - high, 1 - low) if is_mirrored else (low, high)


def visible_target(
    dense: torch.Tensor, box: list[float], columns: tuple[float, float], rows: tuple[float, float]
) -> NDArray[np.float64]:
    """Returns the target of a crop without a region, both in 0..1 of the crop: samples are weighted by their visible share."""
    x0, y0, x1, y1 = map_coordinates(box, dense)
    weights_x, hidden_x = sample_axis(x0, x1, dense.shape[2], columns)
    weights_y, hidden_y = sample_axis(y0, y1, dense.shape[1], rows)
    visible = 1 - np.outer(hidden_y, hidden_x)
    samples = np.einsum("iy,cyx,jx->cij", weights_y, dense.double().numpy(), weights_x, optimize=True)
    pooled = (samples * visible).sum(axis=(1, 2)) / visible.sum()
    exponentials = np.exp(pooled - pooled.max())
    return exponentials / exponentials.sum()


def sample_axis(
    low: float, high: float, cells: int, hidden: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the weights of the cells in each sample of `roi_align` along one axis, and the hidden fraction of its interval."""
    size = max(high - low, 1.0)
    samples = math.ceil(size)
    weights, fractions = np.zeros((samples, cells)), np.zeros(samples)
    for i in range(samples):
        at = low + (i + 0.5) * size / samples
        if -1 <= at <= cells:
            at = min(max(at, 0.0), cells - 1.0)
            below = int(at)
            weights[i, below] += 1 - (at - below)
            weights[i, min(below + 1, cells - 1)] += at - below
        overlap = min(hidden[1], (i + 1) / samples) - max(hidden[0], i / samples)
        fractions[i] = max(overlap, 0.0) * samples
    return weights, fractions


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
