"""Trains a torchvision classifier on a folder of images, with single labels or with the label maps of a store.

DATA contains `train/` and `val/`, each with one folder of images per class. `relabel run --in DATA/train` makes the store.

    # Single labels, global soft labels, and localized labels, the purpose of label maps.
    python examples/train.py DATA --out runs/single    --target single
    python examples/train.py DATA --out runs/global    --target global    --labels train.labels
    python examples/train.py DATA --out runs/localized --target localized --labels train.labels

    # CutMix as in its paper, or with each target pooled over the visible region of its image.
    python examples/train.py DATA --out runs/cutmix --labels train.labels --cutmix paper --epochs 300
    python examples/train.py DATA --out runs/region --labels train.labels --cutmix region --epochs 300

    # Eight GPUs of one machine. --batch and --workers are per process.
    torchrun --nproc-per-node 8 examples/train.py DATA --out runs/r50 --labels train.labels --model resnet50 \\
        --batch 128 --learning-rate 0.4 --workers 12 --amp

    # To resume after an interruption, add --resume to the same command.

Each epoch writes the checkpoint OUT/last.pt and appends a line to OUT/log.jsonl.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torchvision
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader, DistributedSampler, Subset, default_collate
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel
import relabel.torch as rt

TO_INPUT = [
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
]


def main() -> None:
    arguments = parse()
    rank, world, device = join()
    torch.manual_seed(arguments.seed)
    loader, classes = train_loader(arguments, world)
    val = val_loader(arguments, classes, rank, world)
    outputs = 1 + max(classes.values()) if arguments.target == "single" else relabel.open(arguments.labels).num_classes
    plain = torchvision.models.get_model(arguments.model, num_classes=outputs).to(device)
    model: nn.Module = plain
    if world > 1:
        model = nn.parallel.DistributedDataParallel(plain)
    optimizer = SGD(plain.parameters(), arguments.learning_rate, 0.9, weight_decay=arguments.weight_decay, nesterov=True)
    first = load(arguments, plain, optimizer, device) if arguments.resume else 0
    for epoch in range(first, arguments.epochs):
        # Random numbers depend only on the epoch, so a resumed run draws the same.
        torch.manual_seed((arguments.seed * 100_003 + epoch) * world + rank)
        if isinstance(loader.sampler, DistributedSampler):
            loader.sampler.set_epoch(epoch)
        began = time.perf_counter()
        loss = train(arguments, epoch, model, optimizer, loader, device)
        top1 = validate(plain, val, device)
        if rank == 0:
            line = {"epoch": epoch, "loss": loss, "top1": top1, "seconds": round(time.perf_counter() - began, 1)}
            save(arguments, plain, optimizer, epoch, line)
            print(f"epoch {epoch + 1}: loss {loss:.4f}, top-1 {top1:.4f}, {line['seconds']} s", flush=True)
    if dist.is_initialized():
        dist.destroy_process_group()


def train_loader(arguments: argparse.Namespace, world: int) -> tuple[DataLoader[Any], dict[str, int]]:
    """Returns a loader of images and targets, and the index of each folder class among the model's outputs."""
    cut = [v2.RandomResizedCrop(arguments.size, scale=arguments.scale)]
    flip = [] if arguments.no_flip else [v2.RandomHorizontalFlip()]
    folder = ImageFolder(arguments.data / "train", v2.Compose([*cut, *flip, *TO_INPUT]))
    region = arguments.cutmix == "region"
    cutmix = None if arguments.cutmix == "none" else rt.CutMix(prob=arguments.cutmix_prob, region=region)
    collate: Callable[[Any], tuple[Tensor, Tensor]]
    dataset: Any
    if arguments.target == "single":
        dataset, classes = folder, folder.class_to_idx
        collate = SingleLabels(len(classes), cutmix)
    else:
        labels = relabel.open(arguments.labels)
        dataset = rt.CropDataset(folder, labels, missing="drop")
        classes = classes_of_folders(folder, dataset, labels)
        collate = rt.PoolCollate(dataset, target="image" if arguments.target == "global" else "crop", cutmix=cutmix)
    sampler: Any = DistributedSampler(dataset, seed=arguments.seed, drop_last=True) if world > 1 else None
    options = {"num_workers": arguments.workers, "collate_fn": collate, "pin_memory": torch.cuda.is_available()}
    loader = DataLoader(dataset, arguments.batch, sampler is None, sampler, drop_last=True, **options)
    if len(loader) == 0:
        raise SystemExit(f"{len(dataset)} images are fewer than one batch of {arguments.batch} per process ({world} processes)")
    return loader, classes


class SingleLabels:
    """Collates with the folder class as a one-hot target of every crop."""

    def __init__(self, classes: int, cutmix: rt.CutMix | None) -> None:
        self.classes = classes
        self.cutmix = cutmix

    def __call__(self, samples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        images, classes = default_collate(samples)
        targets = nn.functional.one_hot(classes, self.classes).float()
        return (images, targets) if self.cutmix is None else self.cutmix(images, targets)


def classes_of_folders(folder: ImageFolder, dataset: rt.CropDataset, labels: relabel.Labels) -> dict[str, int]:
    """Returns the teacher's class index of each folder. The order of folders may differ from that of the teacher's outputs."""
    of_row = labels.folder_classes()
    classes = {}
    for index, row in zip(dataset.indices, dataset.rows):
        classes[folder.classes[folder.targets[index]]] = int(of_row[row])
    unknown = sorted(name for name, number in classes.items() if number < 0)
    if unknown:
        raise SystemExit(f"the folder {unknown[0]} is not a class of the teacher, neither by id nor by name")
    return classes


def val_loader(arguments: argparse.Namespace, classes: dict[str, int], rank: int, world: int) -> DataLoader[Any]:
    """Returns a loader of central crops. Each image is in exactly one process."""
    middle = [v2.Resize(round(arguments.size / 0.875)), v2.CenterCrop(arguments.size)]
    folder = ImageFolder(arguments.data / "val", v2.Compose([*middle, *TO_INPUT]))
    unknown = sorted(set(folder.classes) - set(classes))
    if unknown:
        raise SystemExit(f"the folder {unknown[0]} of val has no labelled images in train")
    numbers = [classes[name] for name in folder.classes]
    folder.target_transform = numbers.__getitem__
    share = Subset(folder, range(rank, len(folder), world))
    return DataLoader(share, arguments.batch, num_workers=arguments.workers, pin_memory=torch.cuda.is_available())


def train(arguments: argparse.Namespace, epoch: int, model: nn.Module, optimizer: SGD, loader: Any, device: Any) -> float:
    """Trains one epoch with linear warmup and cosine decay. Returns the mean loss of this process."""
    model.train()
    criterion = nn.CrossEntropyLoss()  # accepts probabilities
    total = torch.zeros((), device=device)
    for step, (images, targets) in enumerate(loader):
        done = epoch + step / len(loader)
        warm = min(1.0, (done + 1 / len(loader)) / arguments.warmup_epochs) if arguments.warmup_epochs else 1.0
        for group in optimizer.param_groups:
            group["lr"] = arguments.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done / arguments.epochs))
        images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=arguments.amp):
            loss = criterion(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
    return total.item() / len(loader)


@torch.no_grad()
def validate(model: nn.Module, loader: DataLoader[Any], device: torch.device) -> float:
    """Returns the top-1 accuracy over all processes."""
    model.eval()
    counts = torch.zeros(2, dtype=torch.int64, device=device)
    for images, classes in loader:
        right = model(images.to(device, non_blocking=True)).argmax(1) == classes.to(device)
        counts += torch.stack([right.sum(), torch.tensor(len(classes), device=device)])
    if dist.is_initialized():
        dist.all_reduce(counts)
    return (counts[0] / counts[1]).item()


def save(arguments: argparse.Namespace, model: nn.Module, optimizer: SGD, epoch: int, line: dict[str, Any]) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "setup": setup(arguments)}
    torch.save(state, arguments.out / "last.pt.new")
    os.replace(arguments.out / "last.pt.new", arguments.out / "last.pt")
    with open(arguments.out / "log.jsonl", "a" if epoch else "w") as log:
        log.write(json.dumps(line) + "\n")


def load(arguments: argparse.Namespace, model: nn.Module, optimizer: SGD, device: torch.device) -> int:
    """Loads the checkpoint and returns the next epoch."""
    path = arguments.out / "last.pt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    now = setup(arguments)
    was = state["setup"]
    other = [f"{name} was {was[name]}, is {now[name]}" for name in now if was[name] != now[name]]
    if other:
        raise SystemExit(f"cannot resume {path}: settings differ: {'; '.join(other)}")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"]) + 1


def setup(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings that must be the same when a run resumes."""
    free = {"data", "labels", "out", "resume", "workers"}
    return {name: value for name, value in vars(arguments).items() if name not in free}


def join() -> tuple[int, int, torch.device]:
    """Joins the process group of torchrun, if there is one. Returns rank, number of processes and device."""
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if "WORLD_SIZE" not in os.environ:
        return 0, 1, device
    dist.init_process_group("nccl" if gpu else "gloo")
    return dist.get_rank(), dist.get_world_size(), device


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="folder with train/ and val/")
    add("--out", type=Path, required=True, help="folder for checkpoint and log")
    add("--labels", type=Path, metavar="STORE", help="label maps of DATA/train")
    add("--target", choices=["single", "global", "localized"], default="localized", help="kind of target [localized]")
    add("--cutmix", choices=["none", "paper", "region"], default="none", help="kind of CutMix [none]")
    add("--cutmix-prob", type=float, default=1.0, help="probability that a batch is mixed [1]")
    add("--model", default="resnet18", help="name of a torchvision classifier [resnet18]")
    add("--size", type=int, default=224, help="side of the input in pixels [224]")
    add("--scale", type=float, nargs=2, default=(0.08, 1.0), help="smallest and largest share of the area in a crop [0.08 1]")
    add("--no-flip", action="store_true", help="do not mirror crops, for digits and letters")
    add("--epochs", type=int, default=100, help="number of epochs [100]")
    add("--batch", type=int, default=256, help="images in a batch, per process [256]")
    add("--learning-rate", type=float, default=0.1, help="peak learning rate of all processes together [0.1]")
    add("--warmup-epochs", type=float, default=5, help="epochs of linear warmup [5]")
    add("--weight-decay", type=float, default=1e-4, help="weight decay [0.0001]")
    add("--workers", type=int, default=4, help="loader workers, per process [4]")
    add("--amp", action="store_true", help="train with automatic mixed precision (bfloat16)")
    add("--seed", type=int, default=0, help="random seed [0]")
    add("--resume", action="store_true", help="resume from OUT/last.pt if it exists")
    arguments = parser.parse_args()
    if arguments.target != "single" and arguments.labels is None:
        parser.error(f"--target {arguments.target} needs --labels STORE")
    if arguments.cutmix == "region" and arguments.target != "localized":
        parser.error("--cutmix region needs --target localized: it pools targets over regions of a crop")
    return arguments


if __name__ == "__main__":
    main()
