"""Calibrations, and a teacher without cells, for stores with tiles."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

import relabel


def with_calibration(store: Path, parameters: dict) -> Path:
    """Writes a sealed ``pooling.json``."""
    record = json.loads((store / "records/000000.json").read_text())
    sample = {"images": 1, "crops": 1, "seed": 0}
    document = {
        "pooling_version": 1,
        "tool_version": "0",
        "made_with": record.get("tiles", record)["made_with"],
        "teacher_sha256": relabel.open(store).info["teacher"]["sha256"],
        "parameters": parameters,
        "fit": sample,
        "held_out": sample,
        "figures": [],
    }
    sealed = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    (store / "pooling.json").write_text(json.dumps(document | {"sha256": hashlib.sha256(sealed).hexdigest()}))
    return store


def save_classifier_without_cells(path: Path, classes: int = 20) -> None:
    """Saves a network that flattens its feature map, with random weights."""
    generator = np.random.default_rng(0)

    def weights(name, *shape):
        return helper.make_tensor(name, TensorProto.FLOAT, shape, generator.normal(0, 0.5, shape).astype(np.float32).ravel())

    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["features"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Relu", ["features"], ["positive"]),
        helper.make_node("Flatten", ["positive"], ["vector"], axis=1),
        helper.make_node("Gemm", ["vector", "head", "bias"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "fixed",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", classes])],
        [weights("kernel", 4, 3, 8, 8), weights("head", classes, 64), weights("bias", classes)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
