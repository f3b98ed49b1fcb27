"""Conversion of the arguments of pooling. Values that cannot be right are refused with the name of the argument."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._relabel import MAX_OUTPUT_SIDE

DTYPES = ("float32", "float16", "float64")
"""Names of the dtypes that targets can have."""

_LARGEST_FLOAT32 = 3.4028234663852886e38
_LARGEST_PIXEL = 2**32 - 1


def box_array(boxes: Any, count: int) -> NDArray[Any]:
    """Returns the boxes of ``count`` images, float32 or float64 ``[count, 4]``."""
    array = _numbers(boxes, "boxes")
    if array.size == 0 and count == 0:
        return np.empty((0, 4))
    array = _quadruples(array, "boxes", count)
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype == np.float32 else np.float64)


def rect_array(rects: Any, count: int) -> NDArray[np.uint32]:
    """Returns the pasted rectangles of ``count`` images, uint32 ``[count, 4]``. A single one applies to all images."""
    array = _numbers(rects, "rects")
    if array.size == 0 and count == 0:
        return np.empty((0, 4), dtype=np.uint32)
    if array.shape == (4,):
        array = np.broadcast_to(array, (count, 4))
    array = _quadruples(array, "rects", count)
    is_pixel = (array >= 0) & (array <= _LARGEST_PIXEL) & (array == np.floor(array))
    wrong = np.flatnonzero(~is_pixel.all(axis=1))
    if len(wrong):
        raise ValueError(
            f"row {wrong[0]} of rects is {array[wrong[0]].tolist()}\n  help: pass x0, y0, x1, y1 in whole pixels of the student's "
            "input, counted from 0"
        )
    return np.ascontiguousarray(array, dtype=np.uint32)


def flip_array(flip: Any, count: int) -> NDArray[np.bool_]:
    """Returns which of ``count`` crops were mirrored, bool ``[count]``. None: no crop was mirrored."""
    if flip is None:
        return np.zeros(count, dtype=np.bool_)
    array = array_of(flip, "flip")
    if array.ndim == 0 and count == 1:
        array = array.reshape(1)
    if array.shape != (count,):
        raise ValueError(f"flip of {count} images must have shape [{count}], got shape {list(array.shape)}")
    if array.dtype.kind != "b" and array.size and (array.dtype.kind not in "iu" or not np.isin(array, (0, 1)).all()):
        raise ValueError(f"flip must be True or False for each image, got {array.dtype} {_beginning(array)}")
    return np.ascontiguousarray(array, dtype=np.bool_)


def partner_array(partners: Any, count: int) -> NDArray[np.int64]:
    """Returns positions in a batch of ``count`` images, int64 ``[count]``."""
    array = array_of(partners, "partners")
    if array.shape != (count,):
        raise ValueError(f"partners of {count} images must have shape [{count}], got shape {list(array.shape)}")
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"partners must be positions in the batch, got {array.dtype} {_beginning(array)}")
    wrong = np.flatnonzero((array < 0) | (array >= count))
    if len(wrong):
        raise ValueError(
            f"partner {array[wrong[0]]} of image {wrong[0]} does not exist: the batch has {count} images, counted from 0"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def output_sides(output_size: Any) -> tuple[int, int]:
    """Returns the number of rows and columns of parts of a crop; None is one part."""
    return (1, 1) if output_size is None else _sides(output_size, "output_size", "rows, columns", MAX_OUTPUT_SIDE)


def input_sides(input_size: Any) -> tuple[int, int]:
    """Returns the height and width of the student's input in pixels."""
    return _sides(input_size, "input_size", "height, width", _LARGEST_PIXEL)


def target_dtype(dtype: Any) -> str:
    """Returns the name of a dtype of targets, which may be one of NumPy or PyTorch; None is float32."""
    given = str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype
    try:
        found = np.dtype(np.float32 if given is None else given)
    except (TypeError, ValueError):
        found = np.dtype(np.void)
    if found.name not in DTYPES or not found.isnative:
        expected = "float32, float16 or float64, of NumPy or PyTorch, in the byte order of this machine"
        raise ValueError(f"dtype is {dtype!r}\n  help: pass {expected}, and convert the targets afterwards")
    return found.name


def fill_score(fill: Any) -> float | str:
    """Returns the score of absent classes, or ``rest``."""
    if isinstance(fill, str) and fill == "rest":
        return "rest"
    number = real_number(fill)
    if number is None or not abs(number) <= _LARGEST_FLOAT32:
        raise ValueError(f'fill is {fill!r}\n  help: pass a finite number or "rest"')
    return number


def divisor(temperature: Any) -> float:
    """Returns the temperature, which divides scores."""
    number = real_number(temperature)
    if number is None or not 0 < number <= _LARGEST_FLOAT32:
        raise ValueError(f"temperature is {temperature!r}\n  help: pass a finite number above 0")
    return number


def choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Returns the value of an argument that must be one of several strings. The library refuses other strings."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}\n  help: pass {', '.join(choices[:-1])} or {choices[-1]}")
    return str(value)


def whole_number(value: Any, name: str) -> int:
    """Returns a whole number of at least 1."""
    number = _index(value)
    if number is None or number < 1:
        raise ValueError(f"{name} is {value!r}\n  help: pass a whole number of at least 1")
    return number


def real_number(value: Any) -> float | None:
    """Returns a number; None if the value is none, as are strings and bool."""
    if isinstance(value, (str, bytes, bytearray)) or _is_bool(value):
        return None
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def array_of(values: Any, name: str) -> NDArray[Any]:
    """Returns values as an array. Tensors may be on any device and require gradients."""
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.asarray(_without_tensors(values))
    except (TypeError, ValueError, RuntimeError, OverflowError) as problem:
        raise ValueError(f"cannot read {name} as an array: {problem}") from problem


def _without_tensors(values: Any) -> Any:
    torch = sys.modules.get("torch")
    if torch is None:
        return values
    if isinstance(values, torch.Tensor):
        tensor = values.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if isinstance(values, (list, tuple)):
        nested = (torch.Tensor, list, tuple)
        return [_without_tensors(value) if isinstance(value, nested) else value for value in values]
    return values


def _numbers(values: Any, name: str) -> NDArray[Any]:
    array = array_of(values, name)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers, got {array.dtype} {_beginning(array)}")
    return array


def _quadruples(array: NDArray[Any], name: str, count: int) -> NDArray[Any]:
    if array.shape == (4,) and count == 1:
        return array.reshape(1, 4)
    if array.shape == (count, 4):
        return array
    message = f"{name} of {count} images must have shape [{count}, 4], got shape {list(array.shape)}"
    if array.shape == (4, count):
        message += f"\n  help: these are columns; pass one row for each image: numpy.stack({name}, axis=1)"
    raise ValueError(message)


def _sides(size: Any, name: str, order: str, limit: int) -> tuple[int, int]:
    is_array = getattr(size, "ndim", None) == 1
    given = list(size) if is_array or (isinstance(size, Sequence) and not isinstance(size, (str, bytes))) else [size, size]
    sides = [_index(side) for side in given]
    if len(sides) != 2 or any(side is None or not 1 <= side <= limit for side in sides):
        raise ValueError(f"{name} is {size!r}\n  help: pass a whole number from 1 to {limit}, or two of them: ({order})")
    rows, columns = sides
    return rows or 1, columns or 1


def _index(value: Any) -> int | None:
    """Returns an integer of any type; None if the value is none, as is bool."""
    if _is_bool(value):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def _beginning(array: NDArray[Any]) -> str:
    values = array.ravel()[:4].tolist()
    shown = ", ".join(map(repr, values)) + (", ..." if array.size > len(values) else "")
    return f"[{shown}]"
