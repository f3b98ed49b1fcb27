"""An `evaluation.json` with made-up figures, for tests of what shows it."""

import hashlib
import json
from pathlib import Path


def labels_sha256(store):
    """Returns the digest of a store's labels: of its manifest, its teacher and every array file."""
    info = json.loads((Path(store) / "zarr.json").read_text())["attributes"]["relabel"]
    lines = [f"manifest {info['manifest_sha256']}", f"teacher {info['teacher']['sha256']}"]
    for record in sorted((Path(store) / "records").glob("*.json")):
        lines += [f"{file['sha256']} {file['path']}" for file in json.loads(record.read_text())["files"]]
    return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()


def accuracy():
    """Returns figures of one kind of label."""
    bins = [{"images": at, "confidence": (at + 0.5) / 15 if at else 0, "accuracy": at / 15} for at in range(15)]
    estimate = {"value": 0.8125, "standard_error": 0.0125}
    return {
        "top1": estimate, "top5": {"value": 0.96, "standard_error": None}, "mean_average_precision_by_image": 0.8,
        "mean_average_precision_by_class": 0.7, "expected_calibration_error": 0.033, "entropy_nats": 1.25, "reliability": bins,
    }  # fmt: skip


def fidelity(kl):
    """Returns figures of one kind of label of crops."""
    errors = {"top1_standard_error": 0.01, "kl_standard_error": 0.02, "tv_standard_error": 0.005}
    area = {"area": [0.08, 1.0], "crops": 30, "top1": 0.7, "kl": kl, "tv": 0.25, **errors}
    return {"top1": 0.7, "kl": kl, "tv": 0.25, "by_area": [area], **errors}


def write_evaluation(store, path, *, truth="real.json", class_name="tench"):
    """Writes an evaluation of a store and returns its path."""
    digest = labels_sha256(store)
    classes = {
        "images": 105, "prediction": accuracy(), "pooled": accuracy(), "censored": {"images": 0.01, "cells": 0.3, "floor": 0},
        "by_class": [{"class": at, "name": f"{class_name} {at}", "images": 5, "prediction_top1": 0.8, "pooled_top1": at / 20} for at in range(20)],
    }  # fmt: skip
    description = {
        "name": truth, "format": "real", "sha256": digest, "images": 105, "images_without_truth": 1, "truth_without_image": 0,
        "truth_without_image_example": None, "truth_not_labelled": 0, "empty": 2, "boxes_clipped": 0, "boxes_without_class": 0,
    }  # fmt: skip
    crops = {
        "images": 10, "crops": 30, "seed": 3, "boxes_sha256": None, "teacher_sha256": digest, "pooled": fidelity(0.4),
        "image": fidelity(0.9), "folder": fidelity(None), "swapped": fidelity(1.4), "rest": None,
    }  # fmt: skip
    document = {
        "evaluation_version": 1, "tool_version": "1.2.3",
        "store": {"labels_sha256": digest, "teacher": "net", "teacher_sha256": digest, "images": 108, "labelled": 108, "failed": 0, "to_do": 0},
        "truths": [{"truth": description, "classes": classes, "localization": None}], "crop_fidelity": crops,
    }  # fmt: skip
    Path(path).write_text(json.dumps(document))
    return Path(path)
