"""Converts a small ONNX classifier to float16: weights and arithmetic in float16, input and scores in float32.

Used in checks with the bundled teacher. Supports graphs whose floats are weights, constants and values between nodes.
Export your own teachers with `relabel export-teacher --fp16`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HALF_MAX = float(np.finfo(np.float16).max)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Converts the model to float16. Raises ValueError if a weight does not fit into float16."""
    graph = model.graph
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        raise ValueError("nodes with subgraphs (If, Loop) are not supported")
    for weight in graph.initializer:
        halve_tensor(weight)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                halve_tensor(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    before, after = [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            inner = f"{value.name}_float16"
            replace(graph, value.name, inner, inputs=True)
            cast = helper.make_node("Cast", [value.name], [inner], f"{value.name}_to_float16", to=TensorProto.FLOAT16)
            before.append(cast)
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            inner = f"{value.name}_float16"
            replace(graph, value.name, inner, inputs=False)
            cast = helper.make_node("Cast", [inner], [value.name], f"{value.name}_to_float32", to=TensorProto.FLOAT)
            after.append(cast)
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return model


def halve_tensor(tensor: onnx.TensorProto) -> None:
    """Rounds the values of a float tensor."""
    if tensor.data_type != TensorProto.FLOAT:
        return
    numbers = numpy_helper.to_array(tensor)
    finite = numbers[np.isfinite(numbers)]
    # Constants such as the largest float32 mean "no limit".
    no_limit = np.abs(finite) >= np.finfo(np.float32).max
    if (np.abs(finite[~no_limit]) > HALF_MAX).any():
        raise ValueError(f"`{tensor.name}` has values beyond {HALF_MAX:.0f}, the largest float16")
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(np.clip(numbers, -HALF_MAX, HALF_MAX).astype(np.float16), name))


def replace(graph: onnx.GraphProto, name: str, by: str, inputs: bool) -> None:
    """Renames a value where it is an input of nodes; with `inputs=False` also where it is an output."""
    for node in graph.node:
        for values in (node.input,) if inputs else (node.input, node.output):
            for at, value in enumerate(values):
                if value == name:
                    values[at] = by


def halve(teacher: Path, into: Path) -> None:
    """Writes the float16 copy of a teacher, and its card next to it."""
    onnx.save(halved(onnx.load(teacher)), into)
    card = teacher.with_suffix(".toml")
    if card.exists():
        shutil.copy(card, into.with_suffix(".toml"))
