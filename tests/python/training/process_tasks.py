"""Functions that the tests run in other processes. Imports no PyTorch, so that a spawned process starts fast."""

import importlib
import os

# Module, name and arguments of an instance of each exception type that the package defines.
EXCEPTIONS = [
    ("relabel", "StoreError", ("shard 3 is damaged\n  help: run relabel verify",)),
    ("relabel", "NotLabelled", ("row 1 has no labels: empty",)),
    ("relabel.console", "Refusal", ("cannot write",)),
    ("relabel.console", "Usage", ("cannot read --classes",)),
    ("relabel.console", "Interrupted", ("interrupted",)),
    ("relabel.exchange.files", "FileProblem", ("empty", "0 bytes")),
]


def exception_type(module, name):
    return getattr(importlib.import_module(module), name)


def raise_exception(module, name, args):
    raise exception_type(module, name)(*args)


def pool_entire_image(labels, image):
    return labels.pool([image], [[0, 0, 1, 1]])


def open_and_pool(path, image):
    import relabel

    return pool_entire_image(relabel.open(path), image)


def change_folder(folder):
    os.chdir(folder)
