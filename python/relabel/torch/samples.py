"""Images in the samples of data sets: tuples, dicts, or images alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE_KEYS = ("image", "img", "pixel_values", "jpg", "jpeg", "png", "webp", "JPEG")
"""Keys of images in dicts, as in Hugging Face data sets and WebDataset."""


def image_of(sample: Any, key: str | int | None) -> Any:
    """Returns the image of a sample.

    Args:
        sample: A tuple, a dict, or an image.
        key: Key of the image in a dict, index in a tuple; None: the first item of a tuple, the first known key of a dict.

    Raises:
        KeyError: If a dict has no such key.
    """
    if isinstance(sample, Mapping):
        names = IMAGE_KEYS if key is None else (key,)
        for name in names:
            if name in sample:
                return sample[name]
        raise KeyError(f"a sample has the keys {', '.join(map(str, sample))}, and no {' or '.join(map(repr, names))}; pass image=")
    if isinstance(sample, (tuple, list)):
        return sample[key if isinstance(key, int) else 0]
    return sample
