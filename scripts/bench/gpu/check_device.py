"""Checks of a device: nodes that run elsewhere are reported, and an unusable device is refused."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench import machine, programs
from bench.gpu.check_labels import Settings, runs_folder
from bench.results import Row

PROMISED = "cannot be used"
# Results up to this size are shapes, which the program leaves on the CPU on purpose.
SHAPE_BYTES = 1024
# Operators for which ONNX Runtime has no CUDA kernel.
ONLY_ON_CPU = ("Atan", "Sinh", "Asinh")


def teacher_with_nodes_for_the_cpu(file: Path) -> list[str]:
    """Writes a small classifier with nodes that run only on the CPU, and returns their names."""
    dice = np.random.default_rng(1)
    weights = {
        "conv.weight": dice.normal(size=(16, 3, 3, 3)) * 0.3,
        "linear.weight": dice.normal(size=(10, 16)),
        "linear.bias": np.zeros(10),
    }
    odd = [
        helper.make_node(op, [f"features{at}"], [f"features{at + 1}"], f"only_cpu_{op}")
        for at, op in enumerate(ONLY_ON_CPU)
    ]
    nodes = [
        helper.make_node("Conv", ["input", "conv.weight"], ["features0"], "conv", pads=[1, 1, 1, 1], strides=[8, 8]),
        *odd,
        helper.make_node("GlobalAveragePool", [f"features{len(odd)}"], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["vector"], "flatten"),
        helper.make_node("Gemm", ["vector", "linear.weight", "linear.bias"], ["scores"], "linear", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "made_for_a_check",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 224, 224])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)
    return [node.name for node in odd]


def placement(settings: Settings) -> list[Row]:
    """Lite0's nodes run on the device, and nodes that run only on the CPU are reported."""
    return [nodes_elsewhere(machine.LITE0, settings.device), reported_by_the_program(settings)]


def teachers(settings: Settings) -> list[Row]:
    """The nodes of the exported teachers run on the device."""
    exported = sorted(machine.teacher("any").parent.glob("*.onnx"))
    if not exported:
        folder = machine.teacher("any").parent
        raise machine.Missing(f"{folder} contains no teacher; run `scripts/bench teachers`")
    rows = []
    for teacher in exported:
        try:
            rows.append(nodes_elsewhere(teacher, settings.device))
        except programs.Failed as failed:
            what = f"{teacher.stem} on {settings.device}: loaded and verified"
            rows.append(Row(what, "failed", "", "loaded", False, str(failed)))
    return rows


def describe(teacher: Path, device: str) -> programs.Finished:
    return programs.run(machine.relabel(), "teacher", teacher, "--device", device, "--json", limit_s=programs.LIMIT_S)


def nodes_elsewhere(teacher: Path, device: str) -> Row:
    """Counts the nodes of a teacher that run on another device."""
    where = describe(teacher, device).document["placement"]
    if where is None:
        raise programs.Failed(f"{teacher}: no placement reported; is the folder for temporary files writable?")
    fallen = [f"{node['node']} ({node['op']})" for node in where["elsewhere"] if node["bytes"] > SHAPE_BYTES]
    shapes = len(where["elsewhere"]) - len(fallen)
    counted = f"{where['nodes']} nodes, {shapes} for shapes on the CPU, {where['copies']} copies"
    what = f"{teacher.stem} on {device}: nodes that run elsewhere"
    return Row(what, len(fallen), "nodes", "0", not fallen, "; ".join([counted, *fallen[:12]]))


def reported_by_the_program(settings: Settings) -> Row:
    """Nodes that fall back to the CPU are reported. On the CPU itself none are."""
    teacher = runs_folder() / "nodes_for_the_cpu.onnx"
    nodes = teacher_with_nodes_for_the_cpu(teacher)
    described = describe(teacher, settings.device)
    listed = [name for name in nodes if any(name in other["node"] for other in described.document["placement"]["elsewhere"])]
    warned = [name for name in nodes if name in described.stderr]
    note = f"listed: {', '.join(listed) or 'none'}; in the warning: {', '.join(warned) or 'none'}"
    if settings.device.startswith("cuda"):
        what = f"reported nodes without a CUDA kernel ({', '.join(ONLY_ON_CPU)})"
        return Row(what, min(len(listed), len(warned)), "nodes", ">= 1", bool(listed) and bool(warned), note)
    what = f"nodes reported as running elsewhere on {settings.device}"
    return Row(what, max(len(listed), len(warned)), "nodes", "0", not listed and not warned, note)


def cpu_library() -> Path | None:
    """Returns this Python's ONNX Runtime, if it is a build without CUDA."""
    spec = importlib.util.find_spec("onnxruntime")
    folder = Path(spec.origin).parent / "capi" if spec and spec.origin else None
    if folder is None or (folder / "libonnxruntime_providers_cuda.so").exists():
        return None
    return max(folder.glob("libonnxruntime.so*"), default=None)


def refusals(_: Settings) -> list[Row]:
    """Unusable CUDA is an error, and nothing is written."""
    rows = [
        refusal("a missing GPU (cuda:99)", "cuda:99"),
        refusal("no visible GPU (CUDA_VISIBLE_DEVICES is empty)", "cuda:0", CUDA_VISIBLE_DEVICES=""),
    ]
    library = cpu_library()
    what = "ONNX Runtime without CUDA"
    if library is None:
        why = "not installed in this Python; pip install onnxruntime"
        return [*rows, Row(f"{what}: requested CUDA", "not checked", note=why)]
    return [refusal(what, "cuda", ORT_DYLIB_PATH=str(library)), *rows]


def refusal(what: str, device: str, **environment: str) -> Row:
    """Requests a device that cannot be used."""
    out = runs_folder() / "refused"
    shutil.rmtree(out, ignore_errors=True)
    words = programs.label_command(machine.LITE0, machine.GOLDEN_IMAGES, out, "--device", device)
    ran = programs.run(*words, codes=tuple(range(-64, 256)), limit_s=programs.LIMIT_S, **environment)
    wrong = []
    if ran.code != 1:
        wrong.append(f"exit code {ran.code}, not 1")
    if PROMISED not in ran.stderr:
        wrong.append(f"`{PROMISED}` is not printed")
    if out.exists():
        wrong.append("a store was created")
    message = next((line for line in ran.stderr.splitlines() if PROMISED in line), programs.last_lines(ran.stderr))
    # Results may be published: without the paths of this machine.
    message = " ".join(word if not word.strip("(:,.").startswith("/") else Path(word).name for word in message.split())
    outcome = "; ".join(wrong) or "refused"
    return Row(f"{what}: requested {device}", outcome, "", "refused", not wrong, message)
