"""Labels images with an independent implementation and compares a store with the result.

The teacher is cut at its features. Its pooling and head run unmodified on each cell's vector, as a map of one cell. Uses
no code of relabel. Images must have the size of the teacher's input.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import zarr
from onnx import TensorProto, helper
from PIL import Image

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def tail_of(model: onnx.ModelProto, features: str, rank: int) -> onnx.ModelProto:
    """Returns the nodes between features and scores as a model."""
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    needed, pending, inputs_used = [], [graph.output[0].name], set()
    while pending:
        name = pending.pop()
        if name == features or name == "x":
            inputs_used.add(name)
        elif name in makers and makers[name] not in needed:
            needed.append(makers[name])
            pending.extend(makers[name].input)
    nodes = [node for node in graph.node if node in needed]
    inputs = [helper.make_tensor_value_info(features, TensorProto.FLOAT, [None] * rank)]
    inputs += [port for port in graph.input if port.name in inputs_used]
    tail = helper.make_graph(nodes, "tail", inputs, list(graph.output), list(graph.initializer))
    return helper.make_model(tail, opset_imports=model.opset_import, ir_version=model.ir_version)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


class Reference:
    """The teacher, evaluated cell by cell."""

    def __init__(self, path: str, features: str, channels_last: bool, map_size: tuple[int, int]):
        model = onnx.load(path)
        self.features, self.channels_last, self.map_size = features, channels_last, map_size
        self.input_name = model.graph.input[0].name
        exposed = onnx.ModelProto()
        exposed.CopyFrom(model)
        exposed.graph.output.append(helper.make_empty_tensor_value_info(features))
        self.body = session(exposed)
        self.model, self.head = model, None

    def dense(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the score map `[class, y, x]` and the image scores of one image `[1, 3, y, x]`."""
        scores, features = self.body.run(None, {self.input_name: x})
        if self.head is None:
            self.head = session(tail_of(self.model, self.features, features.ndim))
        vectors = features[0] if self.channels_last else np.moveaxis(features[0], 0, -1)
        vectors = vectors.reshape(-1, vectors.shape[-1])
        cells = []
        for vector in vectors:
            shape = [1] * features.ndim
            shape[-1 if self.channels_last else 1] = len(vector)
            inputs = {self.features: vector.reshape(shape).astype(np.float32)}
            if len(self.head.get_inputs()) > 1:
                inputs[self.input_name] = x
            cells.append(self.head.run(None, inputs)[0].ravel())
        return np.array(cells).T.reshape(-1, *self.map_size), scores.ravel()


def log_sum_exp(scores: np.ndarray) -> np.ndarray:
    largest = scores.max(axis=0)
    return largest + np.log(np.exp(scores - largest).sum(axis=0))


def main(teacher: str, store: str, images: str, features: str, axes: str, flip: str) -> None:
    group = zarr.open_group(store, mode="r")
    k, height, width = group["scores"].shape[1:]
    reference = Reference(teacher, features, axes == "channels-last", (height, width))
    for row, path in enumerate(sorted(Path(images).rglob("*.png"))):
        pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
        x = np.moveaxis((pixels / 255 - MEAN) / STD, -1, 0)[None].astype(np.float32)
        dense, image = reference.dense(x)
        if flip == "flip":
            mirrored, mirrored_image = reference.dense(np.ascontiguousarray(x[..., ::-1]))
            dense, image = (dense + mirrored[..., ::-1]) / 2, (image + mirrored_image) / 2
        scores, classes = group["scores"][row].astype(np.float32), group["classes"][row].astype(np.int64)
        tolerance = 1e-3 * max(1.0, np.abs(dense).max())
        best = -np.sort(-dense, axis=0)[:k]
        assert np.abs(scores - best).max() < tolerance, (path, np.abs(scores - best).max())
        assert np.abs(scores - np.take_along_axis(dense, classes, axis=0)).max() < tolerance, path
        probs = np.exp(image - log_sum_exp(image))
        assert np.abs(group["image_probs"][row] - np.sort(probs)[::-1][:k]).max() < 1e-3, path
        if "lse" in group:
            assert group["lse"].shape[1:] == (1, height, width) and group["lse"].dtype == np.float16
            assert np.abs(group["lse"][row, 0] - log_sum_exp(dense)).max() < tolerance, path
            # The precision of the probabilities is that of the float16 log-sum-exp.
            total = np.exp(dense - group["lse"][row].astype(np.float32)).sum(axis=0)
            assert (np.abs(total - 1) < 0.6 * np.spacing(group["lse"][row, 0]).astype(np.float32) + 1e-3).all(), path
    print(f"{row + 1} images agree")


if __name__ == "__main__":
    main(*sys.argv[1:])
