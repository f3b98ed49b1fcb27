"""Makes the frozen stores of a new format version: small stores and releases of every variant of the format.

    make_frozen_stores.py RELABEL OUT

RELABEL is the program and OUT the folder to create, such as tests/data/stores/v2. Then freeze_store.py records what must be
read from them. Never run this for a version that is frozen already: see tests/data/stores/v1/README.md.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from gzip import GzipFile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = Path(__file__).resolve().parents[2]
TEACHERS = REPOSITORY / "tests/data/teachers"
IMAGES = REPOSITORY / "tests/data/golden/images"
# The first number of classes whose ids do not fit into 16 bits.
MANY_CLASSES = 65_536
# A store without the names that start with a dot, none of which needs to be copied with a store.
AT_REST = shutil.ignore_patterns(".*")


class Workshop:
    """A temporary folder with images and teachers, in which the program runs."""

    def __init__(self, program: Path, out: Path, folder: Path) -> None:
        self.program, self.out, self.folder = program, out, folder

    def relabel(self, *args: object, code: int = 0) -> None:
        """Runs a command in the folder and expects its exit code."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RELABEL"))}
        environment |= {"VIRTUAL_ENV": sys.prefix, "RELABEL_PYTHON": sys.executable}
        words = [str(self.program), *map(str, args)]
        ran = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == code, f"{words}: exit code {ran.returncode}\n{ran.stdout}{ran.stderr}"

    def label(self, name: str, source: str, teacher: str, *args: object, code: int = 0) -> None:
        """Labels images and keeps the store."""
        self.relabel("run", "--teacher", teacher, "--in", source, "--out", name, "--threads", 2, *args, code=code)
        self.keep(name)

    def keep(self, name: str) -> None:
        """Copies a store to the folder of frozen stores."""
        shutil.copytree(self.folder / name, self.out / name, ignore=AT_REST)


def main(program: Path, out: Path) -> None:
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(program, out, Path(folder))
        prepare(workshop.folder)
        make_runs(workshop)
        make_unfinished(workshop)
        make_many_classes(workshop)
        make_imported(workshop)
        make_releases(workshop)


def prepare(folder: Path) -> None:
    """Copies images and teachers, and writes lists and teacher cards."""
    shutil.copytree(IMAGES, folder / "images")
    for teacher in TEACHERS.glob("prob_softmax_*"):
        shutil.copy(teacher, folder)
    shutil.copy(folder / "prob_softmax_log.onnx", folder / "unchecked.onnx")
    (folder / "unchecked.toml").write_text(
        'name = "unchecked"\ninput_size = [32, 48]\nmean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.25, 0.3]\nfilter = "bicubic"\n'
        'channel_order = "bgr"\nexif_orientation = "apply"\nlocality = "unchecked"\n'
        'licence = "CC0-1.0"\n\n[training]\nepochs = 3\n'
    )
    names = ["tabby", "espresso", "crane", "crane", "größe", "a, b", "rocket", "x < y", "猫", "ten"]
    lines = [f"n{number:08}\t{name}" for number, name in enumerate(names, 1)]
    (folder / "classes.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for path, image in {
        "n00000007/coffee.JPEG": "photos/coffee.JPEG",
        "n00000007/coffee.png": "odd/one_pixel.png",
        "n00000008/rocket.JPEG": "photos/rocket.JPEG",
        "n00000008/tiny größe.JPEG": "odd/tiny_33x47.JPEG",
        "unknown/tall.JPEG": "odd/tall.JPEG",
        "unknown/text.JPEG": "bad/text.JPEG",
        "wide.JPEG": "odd/wide.JPEG",
    }.items():
        (folder / "folders" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(IMAGES / image, folder / "folders" / path)
    (folder / "list.csv").write_text(
        "path,id,label\nphotos/rocket.JPEG,third,6\nphotos/chelsea.JPEG,first one,0\n"
        '"photos/coffee.JPEG",zweites ß,\nodd/tall.JPEG,n4,n99999999\nphotos/camera.JPEG,camera,7\n',
        encoding="utf-8",
    )


def make_runs(workshop: Workshop) -> None:
    """Makes the stores of complete runs."""
    lite0 = str(REPOSITORY / "models/efficientnet-lite0.onnx")
    log, reshape, squeeze = (f"prob_softmax_{end}.onnx" for end in ("log", "reshape", "squeeze"))
    workshop.label("plain", "images", lite0, "--shard-size", 8, code=3)
    workshop.label("score-steps", "images/photos", log, "--score-steps", 16, "--top-k", 3, "--shard-size", 4)
    views = ["--with-lse", "--flip-average", "--top-k", 10]
    workshop.label("lse-flip-all-classes", "images/photos", reshape, *views, "--shard-size", 4)
    folders = ["--classes", "classes.tsv", "--top-k", 4, "--shard-size", 3, "--batch", 2]
    workshop.label("folder-classes", "folders", squeeze, *folders, code=3)
    workshop.label("own-list", "images", log, "--manifest", "list.csv", "--top-k", 1, "--shard-size", 2)
    workshop.label("unchecked-not-square", "images/odd", "unchecked.onnx", "--limit", 7, "--shard-size", 3)
    workshop.label("failed-shards", "images/bad", log, "--top-k", 2, "--shard-size", 2, code=3)


def make_unfinished(workshop: Workshop) -> None:
    """Makes stores that lack shards: one of an interrupted array job, and two parts made for `relabel merge`."""
    log, size = "prob_softmax_log.onnx", ["--top-k", 3, "--shard-size", 4, "--batch", 4]
    middle = ["--task-index", 1, "--task-count", 3]
    workshop.label("unfinished", "images", log, "--limit", 22, *size, *middle)
    for index in range(2):
        parts = ["--task-index", index, "--task-count", 2]
        workshop.label(f"part-{index}-of-2", "images", log, *size, *parts, code=3 if index == 0 else 0)


def make_many_classes(workshop: Workshop) -> None:
    """Makes a store with 32-bit class ids, by a teacher with external weights.

    It is kept in an archive, because the names of its classes take 2.4 MB.
    """
    generator = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(generator.uniform(-1, 1, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["conv"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Relu", ["conv"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["p"]),
        helper.make_node("Flatten", ["p"], ["v"]),
        helper.make_node("Gemm", ["v", "w_fc", "b_fc"], ["scores"], transB=1),
    ]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 48])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", MANY_CLASSES])
    weights = [weight("w", 2, 3, 16, 16), weight("w_fc", MANY_CLASSES, 2), weight("b_fc", MANY_CLASSES)]
    graph = helper.make_graph(nodes, "many", [image], [scores], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = workshop.folder / "many.onnx"
    onnx.save(model, path, save_as_external_data=True, location="many.data", size_threshold=1024)
    args = ["--teacher", path.name, "--in", "images/photos", "--out", "many-classes", "--top-k", 2, "--shard-size", 4]
    workshop.relabel("run", *args)
    write_archive(workshop.folder / "many-classes", workshop.out / "many-classes.tar.gz")


def write_archive(store: Path, archive: Path) -> None:
    """Packs a store without times and owners."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in sorted(store.rglob("*")):
            inside = path.relative_to(store)
            if path.is_file() and not any(part.startswith(".") for part in inside.parts):
                member = tarfile.TarInfo(f"{store.name}/{inside}")
                member.size = path.stat().st_size
                tar.addfile(member, io.BytesIO(path.read_bytes()))
    with archive.open("wb") as file, GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write(content.getvalue())


def make_imported(workshop: Workshop) -> None:
    """Makes a store of published `.pt` files. One of them is not a label map."""
    generator = torch.Generator().manual_seed(0)
    for number in range(5):
        dense = torch.randn(10, 3, 4, generator=generator) * 4 + 8
        scores, ids = dense.topk(3, dim=0)
        path = workshop.folder / f"maps/n{number // 2 + 1:08}/{number}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(torch.stack([scores, ids.float()]), path)
    torch.save(torch.full((2, 3, 3, 4), torch.nan), workshop.folder / "maps/n00000001/not_finite.pt")
    args = ["--map-size", "3x4", "--classes", "classes.tsv", "--teacher-name", "published net", "--shard-size", 4]
    workshop.relabel("import", "maps", "--out", "imported", *args, code=3)
    workshop.keep("imported")


def make_releases(workshop: Workshop) -> None:
    """Makes a signed release and a partial one without a signature."""
    key = workshop.folder / "key"
    new_key = ["ssh-keygen", "-q", "-t", "ed25519", "-f", key, "-N", "", "-C", "frozen releases"]
    subprocess.run(new_key, check=True, stdin=subprocess.DEVNULL)
    shutil.copy(key.with_suffix(".pub"), workshop.out / "signer.pub")
    licence = ["--license", "CC-BY-4.0", "--source-terms", "See the credits of the photographs."]
    origin = ["--source-dataset", "example/photographs", "--hub-repo", "example/label-maps", "--sign", key]
    workshop.relabel("publish", "folder-classes", "--to", "release", *licence, *origin)
    workshop.relabel("publish", "unfinished", "--to", "release-partial", "--allow-partial", *licence)
    for name in ("release", "release-partial"):
        shutil.copytree(workshop.folder / name, workshop.out / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
