"""Reads a store with zarr-python and with TensorStore, and prints a summary of both as JSON. Uses no code of relabel."""

import hashlib
import json
import os
import sys

import numpy as np
import tensorstore
import zarr

ARRAYS = ("scores", "classes", "image_probs", "image_classes")
OPTIONAL_ARRAYS = ("lse", "tile_probs", "tile_classes", "tile_map_scores", "tile_map_classes")


def arrays(store: str) -> tuple[str, ...]:
    return (*ARRAYS, *(name for name in OPTIONAL_ARRAYS if os.path.isdir(f"{store}/{name}")))


def summary(array: np.ndarray, store: str, name: str) -> dict:
    with open(f"{store}/{name}/zarr.json") as file:
        metadata = json.load(file)
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "fill": str(metadata["fill_value"]),
        "sha256": hashlib.sha256(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()).hexdigest(),
        "first": [str(value) for value in array[0].ravel()[:4]],
    }


def by_zarr_python(store: str) -> dict:
    group = zarr.open_group(store, mode="r")
    return {name: group[name][:] for name in arrays(store)}


def by_tensorstore(store: str) -> dict:
    def read(name: str) -> np.ndarray:
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/{name}/"}}
        return tensorstore.open(spec, open=True).result().read().result()

    return {name: read(name) for name in arrays(store)}


def main(store: str) -> None:
    zarr_python, tensor_store = by_zarr_python(store), by_tensorstore(store)
    scores, classes = zarr_python["scores"], zarr_python["classes"]
    labelled = np.isfinite(scores).all(axis=(1, 2, 3))
    report = {
        "zarr_python": {name: summary(array, store, name) for name, array in zarr_python.items()},
        "tensorstore": {name: summary(array, store, name) for name, array in tensor_store.items()},
        "labelled": labelled.tolist(),
        "sorted": bool((np.diff(scores[labelled].astype(np.float32), axis=1) <= 0).all()),
        "unlabelled_scores": sorted({str(value) for value in scores[~labelled].ravel()}),
        "unlabelled_classes": sorted({int(value) for value in classes[~labelled].ravel()}),
        "attributes": dict(zarr.open_group(store, mode="r").attrs)["relabel"],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
