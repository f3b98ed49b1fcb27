"""Exceptions and objects of the package in worker processes that are started in any way."""

import concurrent.futures
import copy
import multiprocessing
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import process_tasks
import pytest
import torch
from PIL import Image
from process_tasks import EXCEPTIONS, exception_type
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel
import relabel.torch as rt

START_METHODS = ["fork", "spawn", "forkserver"]
# A worker that cannot report its exception never answers: without a limit, the test would wait for ever.
SECONDS = 120
TRANSFORM = v2.Compose([rt.RandomResizedCrop(32), rt.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


class Tasks(Dataset):
    """A data set whose samples are the results of functions."""

    def __init__(self, tasks):
        self.tasks = tasks

    def __len__(self):
        return len(self.tasks)

    def __getitem__(self, index):
        function, *args = self.tasks[index]
        return function(*args)


@pytest.fixture(scope="module")
def damaged(store, tmp_path_factory) -> Path:
    """A store whose first shard is damaged."""
    folder = tmp_path_factory.mktemp("damaged") / "labels"
    shutil.copytree(store, folder)
    shutil.rmtree(folder / ".seen", ignore_errors=True)
    shutil.copy(folder / "scores/c.1.0.0.0", folder / "scores/c.0.0.0.0")
    return folder


def test_every_exception_type_of_the_package_is_tested():
    defined = set()
    for source in Path(relabel.__file__).parent.rglob("*.py*"):
        if source.suffix in (".py", ".pyi"):
            bases = r"\w*(?:Exception|Error|Refusal|Usage|Problem|Interrupted|NotLabelled)"
            defined.update(re.findall(rf"^class (\w+)\({bases}\)", source.read_text(), re.MULTILINE))
    assert defined == {name for _, name, _ in EXCEPTIONS}


@pytest.mark.parametrize(("module", "name", "args"), EXCEPTIONS)
def test_exceptions_are_copied_with_their_message(module, name, args):
    error = exception_type(module, name)(*args)
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for again in [*copies, copy.copy(error), copy.deepcopy(error)]:
        assert type(again) is type(error) and str(again) == str(error) and again.args == error.args
        assert vars(again) == vars(error)


@pytest.mark.parametrize("method", START_METHODS)
def test_exceptions_arrive_from_the_workers_of_a_data_loader(method, labels, golden_store, damaged):
    box = [[0, 0, 1, 1]]
    made = [(process_tasks.raise_exception, module, name, args) for module, name, args in EXCEPTIONS]
    raised = [
        (relabel.StoreError, "shard 0 is damaged", (process_tasks.open_and_pool, damaged, 0)),
        (relabel.StoreError, "nowhere", (process_tasks.open_and_pool, damaged / "nowhere", 0)),
        (relabel.NotLabelled, "row 1 has no labels: .*empty", (process_tasks.open_and_pool, golden_store, 1)),
        (KeyError, "no image `nobody`", (labels.pool, ["nobody"], box)),
        (ValueError, "does not overlap the image", (labels.pool, [0], [[1.5, 0, 2, 1]])),
    ]
    tasks = [*made, *(task for _, _, task in raised), (labels.pool, [0], box)]
    loader = DataLoader(Tasks(tasks), batch_size=None, num_workers=1, multiprocessing_context=method, timeout=SECONDS)
    samples = iter(loader)
    for module, name, args in EXCEPTIONS:
        expected = exception_type(module, name)
        # PyTorch cannot make an exception of several arguments from one message.
        arrives_as = expected if len(args) == 1 else RuntimeError
        with pytest.raises(arrives_as, match=re.escape(str(expected(*args)))) as error:
            next(samples)
        assert type(error.value) is arrives_as
    for expected, message, _ in raised:
        with pytest.raises(expected, match=f"(?s){message}"):
            next(samples)
    assert np.array_equal(next(samples), labels.pool([0], box)), "the worker continues"


@pytest.mark.parametrize("method", START_METHODS)
def test_training_ends_with_the_exception_of_its_data_set(method, photographs, damaged):
    data = rt.LabelMapDataset(ImageFolder(photographs, TRANSFORM), relabel.open(damaged))
    loader = DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context=method, timeout=SECONDS)
    with pytest.raises(relabel.StoreError, match="shard 0 is damaged"):
        list(loader)


@pytest.mark.parametrize("method", START_METHODS)
def test_exceptions_arrive_from_process_pools(method):
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool, concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        for error in EXCEPTIONS:
            expected = exception_type(*error[:2])
            with pytest.raises(expected, match=re.escape(str(expected(*error[2])))):
                pool.apply_async(process_tasks.raise_exception, error).get(SECONDS)
            with pytest.raises(expected, match=re.escape(str(expected(*error[2])))):
                executor.submit(process_tasks.raise_exception, *error).result(SECONDS)


@pytest.mark.parametrize("method", START_METHODS)
def test_a_store_opened_by_a_relative_path_is_found_from_other_folders(method, store, tmp_path, monkeypatch):
    expected = relabel.open(store).pool([3], [[0, 0, 1, 1]])
    monkeypatch.chdir(store.parent)
    labels = relabel.open(store.name, cache="copies")
    assert labels.path == str(store) and labels.cache == str(store.parent / "copies")
    monkeypatch.chdir(tmp_path)
    # Opens all files anew: nothing of them was read before the change.
    assert np.array_equal(labels.pool([3], [[0, 0, 1, 1]]), expected)
    context = multiprocessing.get_context(method)
    with context.Pool(1, process_tasks.change_folder, ("/",)) as pool:
        found = pool.apply_async(process_tasks.pool_entire_image, (labels, 3)).get(SECONDS)
    assert np.array_equal(found, expected)


FIRST_CALLS = {
    "ids": lambda labels: labels.ids(),
    "rows": lambda labels: labels.rows("n02123045/n02123045_3"),
    "find_rows": lambda labels: labels.find_rows(["nobody"]),
    "folder_classes": lambda labels: labels.folder_classes(),
    "labelled": lambda labels: labels.labelled(),
    "map": lambda labels: labels.map(3)[0],
    "pool": lambda labels: labels.pool(["n02123045/n02123045_3"], [[0, 0, 1, 1]]),
    "pool_with_threads": lambda labels: labels.pool(np.arange(24).repeat(4), [[0, 0, 1, 1]] * 96, threads=4),
    "pool_sparse": lambda labels: labels.pool_sparse([3], [[0, 0, 1, 1]]).probs,
    "image_targets": lambda labels: labels.image_targets([3]),
    "cutmix_targets": lambda labels: labels.cutmix_targets([3, 14], [[0, 0, 1, 1]] * 2, [1, 0], [0, 0, 9, 9], 32),
    "open": lambda labels: relabel.open(labels.path).rows("n02123045/n02123045_3"),
}


def send_first_call(name, labels, queue):
    queue.put(np.asarray(FIRST_CALLS[name](labels)))


@pytest.mark.parametrize("name", FIRST_CALLS)
def test_whatever_is_called_first_in_a_forked_child_returns(store, name):
    """Opening a store starts threads in libraries, which a forked child does not have: nothing may wait for them."""
    labels = relabel.open(store)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=send_first_call, args=(name, labels, queue), daemon=True)
    child.start()
    try:
        found = queue.get(timeout=SECONDS)
    finally:
        child.kill()
    assert np.array_equal(found, FIRST_CALLS[name](labels))


class Samples(IterableDataset):
    """A photograph and its id, as an iterable data set."""

    def __iter__(self):
        yield {"id": "n02123045/n02123045_0", "image": Image.new("RGB", (50, 40), (200, 100, 50))}


def instances(labels, photographs):
    """Returns an instance of each public class that may be sent to a worker."""
    crops = rt.CropDataset(ImageFolder(photographs, TRANSFORM), labels)
    return {
        "Crop": rt.Crop(0.0, 0.1, 0.5, 0.75, flipped=True, row=3),
        "CropDataset": crops,
        "CutMix": rt.CutMix(beta=0.5, prob=0.25, region=True),
        "LabelMapDataset": rt.LabelMapDataset(ImageFolder(photographs, TRANSFORM), labels, output_size=2, dtype=torch.float16, return_box=True),
        "MixUp": rt.MixUp(0.3, prob=0.5),
        "CropIterable": rt.CropIterable(Samples(), labels, TRANSFORM, key="id"),
        "LabelMapIterable": rt.LabelMapIterable(Samples(), labels, TRANSFORM, key="id", return_box=True),
        "LabelMaps": rt.LabelMaps.read(labels, [0, 20]),
        "CropMaps": rt.CropMaps(rt.LabelMaps.read(labels, [0, 20]), torch.rand(2, 4), torch.tensor([True, False])),
        "PoolCollate": rt.PoolCollate(crops, cutmix=rt.CutMix(region=True)),
        "SparseTargets": rt.SparseTargets.from_numpy(labels.pool_sparse([0, 20], [[0, 0, 1, 1]] * 2)),
        "TargetLoader": rt.TargetLoader(DataLoader(crops, 6), temperature=2.0),
        "TeacherClasses": rt.TeacherClasses(ImageFolder(photographs, TRANSFORM), labels),
        "RandomHorizontalFlip": rt.RandomHorizontalFlip(0.25),
        "RandomResizedCrop": rt.RandomResizedCrop(32, scale=(0.1, 0.9)),
    }


def test_all_public_classes_pickle(labels, photographs):
    made = instances(labels, photographs)
    classes = {name for name in rt.__all__ if isinstance(getattr(rt, name), type)}
    assert set(made) == classes, "add an instance of each new class"
    again = {name: pickle.loads(pickle.dumps(instance)) for name, instance in made.items()}
    for name, instance in made.items():
        assert type(again[name]) is type(instance) and getattr(rt, name) is type(instance)
    assert again["Crop"] == made["Crop"]
    for name in ("CutMix", "MixUp", "RandomHorizontalFlip", "RandomResizedCrop"):
        assert repr(again[name]) == repr(made[name])

    def drawn(made):
        torch.manual_seed(3)
        image, target, box = made["LabelMapDataset"][5]
        tensors = [image, target, box, *made["PoolCollate"]([made["CropDataset"][row] for row in (1, 13)])]
        for name in ("CropIterable", "LabelMapIterable", "TargetLoader"):
            tensors += [value for value in next(iter(made[name])) if isinstance(value, torch.Tensor)]
        validation = made["TeacherClasses"]
        return [*tensors, *made["LabelMaps"], *made["CropMaps"].maps, *made["CropMaps"][1:], *made["SparseTargets"], torch.tensor([validation[at][1] for at in range(24)])]

    for ours, theirs in zip(drawn(made), drawn(again), strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def test_labels_and_sparse_targets_are_copied(labels):
    labels = relabel.open(Path(labels.path), threads=np.int64(2), cache=False)
    for again in (pickle.loads(pickle.dumps(labels)), copy.copy(labels), copy.deepcopy(labels)):
        assert (again.path, again.threads, again.cache) == (labels.path, 2, False) and repr(again) == repr(labels)
    sparse = labels.pool_sparse([0, 20], [[0, 0, 1, 1]] * 2)
    for again in (pickle.loads(pickle.dumps(sparse)), copy.deepcopy(sparse)):
        assert isinstance(again, relabel.SparseTargets)
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(sparse, again, strict=True))
