"""Files with masks of objects in COCO's format, as MaskCut and other proposal generators write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from relabel.console import Refusal
from relabel.masks import CocoRle


class MaskFile(NamedTuple):
    """The content of one file. Its categories and boxes are not read."""

    path: Path
    file_names: list[str]
    """``file_name`` of each image."""
    images: list[int]
    """Position in ``file_names`` of the image of each mask."""
    masks: list[CocoRle]
    """Masks."""
    ids: list[Any]
    """``id`` of the annotation of each mask, for messages."""


def list_mask_files(path: Path) -> list[Path]:
    """Returns a file, or the ``.json`` files of a folder, sorted by name.

    Raises:
        Refusal: If the file or folder is missing.
    """
    if not path.exists():
        raise Refusal(f"cannot read masks: {path} does not exist\n  help: pass a COCO file, or a folder of them")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix == ".json" and file.is_file())
    if not files:
        raise Refusal(f"cannot read masks: {path} contains no .json file\n  help: pass a COCO file, or a folder of them")
    return files


def read_mask_file(path: Path) -> MaskFile:
    """Reads one file.

    Raises:
        Refusal: If it is not a COCO file, or a mask of it cannot be used. Masks themselves are decoded when they are pooled.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(f"cannot read masks from {path}: {error}\n  help: pass a COCO file, or a folder of them") from error
    if not isinstance(document, dict) or not all(isinstance(document.get(key), list) for key in ("images", "annotations")):
        raise _unusable(path, "it has no lists `images` and `annotations`", "pass a COCO file")
    sizes: dict[Any, tuple[int, list[Any]]] = {}
    file_names: list[str] = []
    for image in document["images"]:
        name, number = (image.get("file_name"), image.get("id")) if isinstance(image, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(number, (int, str)):
            raise _unusable(path, f"image {len(file_names)} of the list has no file_name and id", "pass a COCO file")
        if number in sizes:
            raise _unusable(path, f"two images have the id {number!r}", "number the images of each file differently")
        sizes[number] = len(file_names), [image.get("height"), image.get("width")]
        file_names.append(name)
    found = MaskFile(path, file_names, [], [], [])
    for annotation, number, mask in _segmentations(path, document["annotations"]):
        if number not in sizes:
            raise _unusable(path, f"annotation {annotation!r} is of image {number!r}, which is not listed", "write the file again")
        at, size = sizes[number]
        if None not in size and list(mask["size"]) != size:
            raise _unusable(
                path,
                f"annotation {annotation!r} has a mask of {_size(mask['size'])} pixels, but its image {file_names[at]} has {_size(size)}",
                "write masks of the size of their images, with size as height, width",
            )
        found.images.append(at)
        found.masks.append(mask)
        found.ids.append(annotation)
    return found


def _segmentations(path: Path, annotations: list[Any]) -> Iterator[tuple[Any, Any, CocoRle]]:
    """Yields the id, the image and the mask of each annotation."""
    for position, annotation in enumerate(annotations):
        if not isinstance(annotation, dict):
            raise _unusable(path, f"annotation {position} of the list is not an object", "pass a COCO file")
        number, mask = annotation.get("id", position), annotation.get("segmentation")
        if isinstance(mask, list):
            raise _unusable(
                path, f"annotation {number!r} is a polygon", "encode polygons as masks, such as with COCO.annToRLE of pycocotools"
            )
        if not isinstance(mask, dict) or not isinstance(mask.get("size"), list) or "counts" not in mask:
            raise _unusable(path, f"annotation {number!r} has no mask (segmentation with size and counts)", "pass a COCO file with masks")
        image = annotation.get("image_id")
        if not isinstance(image, (int, str)):
            raise _unusable(path, f"annotation {number!r} has no image_id", "pass a COCO file")
        yield number, image, CocoRle(size=mask["size"], counts=mask["counts"])


def _unusable(path: Path, cause: str, advice: str) -> Refusal:
    return Refusal(f"cannot use masks of {path}: {cause}\n  help: {advice}")


def _size(size: Any) -> str:
    return "x".join(map(str, size))
