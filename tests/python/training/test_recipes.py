"""The recipes of ``docs/training.md``, run as printed there with small sizes: each target is that of the pixels it comes with."""

import io
import re
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from harness import label
from loop_spy import pooled
from PIL import Image, ImageOps
from recipe_page import blocks, run_blocks, sections

import relabel

SCRIPTS = {"torchvision reference", "timm"}
"""Sections with a diff (``test_training_scripts.py``)."""
RUN = {"", "Lightning", "Hugging Face `datasets`", "Hugging Face Trainer", "WebDataset", "StatefulDataLoader", "DDP and mixed precision",
       "CutMix by region", "Targets in the training process", "Sparse targets and maps for the device", "DALI"}  # fmt: skip
"""Sections with Python that a test runs."""


class Tiny(torch.nn.Module):
    """A network that is trained in no time."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 1000))

    def forward(self, images):
        return self.layers(images)


@pytest.fixture
def folder(photographs, store, tmp_path, monkeypatch) -> Path:
    """The current folder, as the recipes expect it: ``imagenet/train`` and ``imagenet.labels``."""
    shutil.copytree(photographs, tmp_path / "imagenet/train")
    (tmp_path / "imagenet.labels").symlink_to(store)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data_cache(tmp_path, monkeypatch):
    """A cache of its own for Hugging Face ``datasets``."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def write_shards(folder, name_of):
    """Writes two WebDataset shards of 12 images each. ``name_of`` returns a key from the shard, the number and the path."""
    paths = sorted((folder / "imagenet/train").rglob("*.JPEG"))
    (folder / "shards").mkdir()
    for shard in range(2):
        with tarfile.open(folder / f"shards/imagenet-{shard:06}.tar", "w") as archive:
            for number, path in enumerate(paths[12 * shard : 12 * shard + 12]):
                for ending, content in (("jpg", path.read_bytes()), ("cls", b"0")):
                    member = tarfile.TarInfo(f"{name_of(shard, number, path)}.{ending}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))


def train(model, loader):
    for images, targets in loader:
        torch.nn.functional.cross_entropy(model(images), targets).backward()


def is_pooled_of_crops(targets):
    return torch.allclose(targets.sum(1), torch.ones(len(targets)), atol=1e-4) and targets.max(1).values.min() > 1 / 1000


def test_every_recipe_is_run():
    assert {name for name in sections() if blocks(name)} == RUN
    assert {name for name in sections() if blocks(name, "diff")} == SCRIPTS


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_lightning(folder, labels, spy, precision):
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")
    from torchmetrics.classification import MulticlassAccuracy

    class Classifier(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.accuracy = Tiny(), MulticlassAccuracy(1000, average="micro")

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.0)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=1, precision=precision, **quiet)
    run_blocks("Lightning", {"Classifier": Classifier, "trainer": trainer})
    spy.check(labels, folder / "imagenet/train", count=24)
    # The trap that the comment describes.
    targets = spy.targets[0]
    accuracy = MulticlassAccuracy(1000, average="micro")
    assert accuracy(targets.log(), targets) == 0 and accuracy(targets.log(), targets.argmax(1)) > 0


def test_datasets_rows_are_not_rotated(folder, labels, spy, data_cache):
    import datasets

    path = folder / "imagenet/train/n02123045/n02123045_0.JPEG"
    picture = Image.open(path).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(path, quality=95, exif=exif)
    assert picture.width != picture.height and ImageOps.exif_transpose(Image.open(path)).size == picture.size[::-1]
    names = run_blocks("Hugging Face `datasets`", {}, slice(1))
    at = names["ids"].index("n02123045/n02123045_0.JPEG")
    rotated = names["rows"].cast_column("image", datasets.Image())
    assert rotated[at]["image"].size == picture.size[::-1]
    with pytest.warns(UserWarning, match="column 'image' is rotated by EXIF orientation"):
        relabel.torch.LabelMapDataset(rotated, labels, names["transform"], ids=names["ids"], image="image")
    assert names["decode"](names["rows"][at]["image"]).size == picture.size
    loader = torch.utils.data.DataLoader(names["dataset"], 6, shuffle=True)
    train(Tiny(), loader)
    spy.check(labels, folder / "imagenet/train", count=24)


def test_datasets_streams(folder, labels, spy, data_cache):
    names = run_blocks("Hugging Face `datasets`", {})
    train(Tiny(), torch.utils.data.DataLoader(names["dataset"], 6))
    spy.check(labels, folder / "imagenet/train", count=24)
    assert sorted(crop.row for crop in spy.crops) == list(range(24))


def test_parquet_files_have_the_paths_as_ids(folder, labels, spy, data_cache):
    import datasets

    names = run_blocks("Hugging Face `datasets`", {}, slice(1))
    contents = [{"path": name, "bytes": (folder / "imagenet/train" / name).read_bytes()} for name in names["ids"]]
    datasets.Dataset.from_dict({"image": contents}).to_parquet(folder / "train.parquet")
    rows = datasets.load_dataset("parquet", data_files=str(folder / "train.parquet"), split="train")
    rows = rows.cast_column("image", datasets.Image(decode=False))
    transform = names["v2"].Compose([names["decode"], names["transform"]])
    data = relabel.torch.LabelMapDataset(rows, labels, transform, ids=rows.flatten()["image.path"], image="image")
    train(Tiny(), torch.utils.data.DataLoader(data, 6))
    spy.check(labels, folder / "imagenet/train", count=24)


def test_trainer(folder, labels, spy):
    pytest.importorskip("accelerate", reason="accelerate, which Trainer needs, is not installed")
    transformers = pytest.importorskip("transformers")
    from torchvision.datasets import ImageFolder

    sizes = {"embedding_size": 4, "hidden_sizes": [4, 4], "depths": [1, 1]}
    config = transformers.ResNetConfig(num_labels=1000, layer_type="basic", **sizes)
    model = transformers.ResNetForImageClassification(config)
    args = transformers.TrainingArguments(
        output_dir=str(folder / "out"), max_steps=2, per_device_train_batch_size=6, gradient_accumulation_steps=2,
        use_cpu=True, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    crop = run_blocks("", {})["transform"]
    data = relabel.torch.LabelMapDataset(ImageFolder("imagenet/train", crop), labels)
    names = run_blocks("Hugging Face Trainer", {"model": model, "args": args, "dataset": data})
    assert names["trainer"].state.global_step == 2
    spy.check(labels, folder / "imagenet/train", count=24)
    losses = [entry["loss"] for entry in names["trainer"].state.log_history if "loss" in entry]
    # Not doubled by the accumulation of two batches.
    assert len(losses) == 2 and all(abs(loss - np.log(1000)) < 2 for loss in losses)
    logits, targets = torch.randn(24, 1000), torch.cat(spy.targets)
    parts = [names["soft_loss"](SimpleNamespace(logits=logits[at : at + 6]), targets[at : at + 6], targets.numel()) for at in range(0, 24, 6)]
    assert torch.allclose(sum(parts), torch.nn.functional.cross_entropy(logits, targets))
    # The trap that the page describes.
    with torch.no_grad():
        output = model(pixel_values=spy.images[0], labels=spy.targets[0])
    assert torch.allclose(output.loss, torch.nn.functional.binary_cross_entropy_with_logits(output.logits, spy.targets[0]))


def test_webdataset(folder, labels, spy):
    pytest.importorskip("webdataset", reason="webdataset is not installed")
    write_shards(folder, lambda shard, number, path: f"{path.parent.name}/{path.stem}")
    names = run_blocks("WebDataset", {})
    train(Tiny(), names["loader"])
    spy.check(labels, folder / "imagenet/train", count=24)
    assert sorted(crop.row for crop in spy.crops) == list(range(24))
    workers = torch.utils.data.DataLoader(names["dataset"], 6, num_workers=2)
    assert sum(len(images) for images, _ in workers) == 24


def keys_of_the_page():
    """Returns the functions of the table of keys."""
    return [eval(code, {"Path": Path}) for code in re.findall(r"`(lambda s: [^`]+)`", sections()["WebDataset"])]


def test_keys_with_the_folder_in_front(folder, labels):
    wds = pytest.importorskip("webdataset", reason="webdataset is not installed")
    write_shards(folder, lambda shard, number, path: path.stem)
    samples = list(wds.WebDataset("shards/imagenet-{000000..000001}.tar", shardshuffle=False))
    assert labels.rows([keys_of_the_page()[1](sample) for sample in samples]).tolist() == list(range(24))


def test_keys_that_repeat_in_shards(folder):
    wds = pytest.importorskip("webdataset", reason="webdataset is not installed")
    write_shards(folder, lambda shard, number, path: f"{number:04}")
    store = label(folder / "shards/imagenet-{000000..000001}.tar", folder / "shards.labels")
    samples = list(wds.WebDataset("shards/imagenet-{000000..000001}.tar", shardshuffle=False))
    rows = relabel.open(store).rows([keys_of_the_page()[0](sample) for sample in samples])
    assert rows.tolist() == list(range(24))


def test_stateful_data_loader(folder, labels, spy):
    pytest.importorskip("torchdata", reason="torchdata is not installed")
    names = run_blocks("StatefulDataLoader", {})
    seen = len(spy.crops)
    assert len(names["loader"]) == 4 and seen == 24
    rest = list(names["loader"])
    # Two of four batches were trained before the state was saved.
    assert len(rest) == 2 and [crop.row for crop in spy.crops[seen:]] == [crop.row for crop in spy.crops[12:24]]
    assert np.allclose(torch.cat([targets for _, targets in rest]).numpy(), pooled(labels, spy.crops[seen:]), atol=1e-6)
    assert [crop.box for crop in spy.crops[seen:]] != [crop.box for crop in spy.crops[12:24]]


def test_ddp_and_mixed_precision(folder, labels, spy):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=0, world_size=1)
    try:
        names = run_blocks("DDP and mixed precision", {"model": torch.nn.parallel.DistributedDataParallel(Tiny())})
    finally:
        torch.distributed.destroy_process_group()
    spy.check(labels, folder / "imagenet/train", count=24)
    assert names["targets"].dtype == torch.float32 and names["loss"].dtype == torch.float32


def test_cutmix_by_region(folder, labels):
    pytest.importorskip("webdataset", reason="webdataset is not installed")
    write_shards(folder, lambda shard, number, path: f"{path.parent.name}/{path.stem}")
    for numbers in (slice(1), slice(1, 2)):
        names = run_blocks("CutMix by region", {}, numbers)
        assert names["collate"].cutmix.region
        samples = [sample for _, sample in zip(range(6), names["crops"])]
        torch.manual_seed(0)
        images, targets = names["collate"](samples)
        torch.manual_seed(0)
        paste = names["collate"].cutmix.paste(torch.stack([image for image, _ in samples]))
        assert torch.equal(images, paste.images)
        crops = [crop for _, crop in samples]
        rows, flips = [crop.row for crop in crops], [crop.flipped for crop in crops]
        boxes = np.array([crop.box for crop in crops], dtype=np.float32)
        rects, partners = np.tile(paste.rect, (6, 1)), paste.partners.numpy()
        expected = labels.cutmix_targets(rows, boxes, partners, rects, (32, 32), flip=flips)
        assert np.allclose(targets.numpy(), expected, atol=1e-6)
        batches = list(names["loader"])
        assert sum(len(images) for images, _ in batches) == 24
        assert all(is_pooled_of_crops(targets) for _, targets in batches)


def test_targets_in_the_training_process(folder, labels, spy):
    names = run_blocks("Targets in the training process", {"model": Tiny()})
    spy.check(labels, folder / "imagenet/train", count=24)
    assert len(names["loader"]) == 4


def test_sparse_targets_and_maps_for_the_device(folder, labels, spy):
    names = run_blocks("Sparse targets and maps for the device", {"model": Tiny()})
    # Of the second loop: the loss of the first one is not recorded.
    spy.images, spy.crops = [torch.cat(spy.images)[24:]], spy.crops[24:]
    spy.check(labels, folder / "imagenet/train", count=24)
    sparse = relabel.torch.PoolCollate(names["dataset"], form="sparse", top=10)([names["dataset"][0]])[1]
    assert sparse.ids.shape == (1, 10)
