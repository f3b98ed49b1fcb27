"""The compiled half; use `relabel` and `relabel.torch`, which document everything."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__version__: str

class StoreError(Exception): ...
class NotLabelled(StoreError): ...

_Pooling = tuple[tuple[int, int], float | str, float, str]

class Labels:
    def __new__(cls, path: str) -> Labels: ...
    def info(self) -> str: ...
    def rows(self, ids: list[str]) -> NDArray[np.int64]: ...
    def find_rows(self, ids: list[str]) -> NDArray[np.int64]: ...
    def ids(self) -> list[str]: ...
    def folder_classes(self) -> NDArray[np.int64]: ...
    def states(self) -> tuple[NDArray[np.uint8], list[tuple[int, str]]]: ...
    def pool(
        self,
        rows: NDArray[np.int64],
        boxes: NDArray[np.float32] | NDArray[np.float64],
        flipped: NDArray[np.bool_],
        pooling: _Pooling,
        dtype: str,
        threads: int,
    ) -> NDArray[Any]: ...
    def pool_sparse(
        self,
        rows: NDArray[np.int64],
        boxes: NDArray[np.float32] | NDArray[np.float64],
        flipped: NDArray[np.bool_],
        pooling: _Pooling,
        threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]: ...
    def cutmix(
        self,
        rows: NDArray[np.int64],
        boxes: NDArray[np.float32] | NDArray[np.float64],
        flipped: NDArray[np.bool_],
        partners: NDArray[np.int64],
        rects: NDArray[np.uint32],
        input: tuple[int, int],
        pooling: _Pooling,
        threads: int,
    ) -> NDArray[np.float32]: ...
    def image_targets(self, rows: NDArray[np.int64], threads: int) -> NDArray[np.float32]: ...
    def map(self, row: int) -> tuple[NDArray[np.float16], NDArray[np.int64], NDArray[np.float16] | None]: ...

def cut_rect(
    height: int, width: int, lambda_: float, centre_x: int, centre_y: int
) -> tuple[list[int], float]: ...
