"""``relabel audit``: its crops compared with torchvision's, its pooled probabilities with the package's."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from check_audit import random_crops  # tests/audit.rs checks the crops of the program against these
from harness import REPOSITORY, run_relabel
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop


@pytest.fixture(scope="module")
def audited(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("audits") / "audit.parquet"
    run_relabel("audit", store, "-o", out, "--pred-probs", "--crops", 8)
    return out


def test_crops_are_distributed_as_torchvisions():
    side, count = 10_000, 4000
    torch.manual_seed(0)
    image = torch.empty(1, side, side)
    drawn = [RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(count)]
    top, left, height, width = np.array(drawn).T / side
    theirs = np.stack([left, top, left + width, top + height], axis=1)
    ours = np.array(random_crops(count, 0))
    for name, statistic in {
        "left": lambda box: box[:, 0],
        "upper": lambda box: box[:, 1],
        "right": lambda box: box[:, 2],
        "lower": lambda box: box[:, 3],
        "area": lambda box: (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]),
        "ratio": lambda box: (box[:, 2] - box[:, 0]) / (box[:, 3] - box[:, 1]),
    }.items():
        assert ks_2samp(statistic(ours), statistic(theirs)).pvalue > 0.001, name


def test_pred_probs_are_pooled_over_the_entire_image(audited, labels):
    table = pq.read_table(audited)
    probs = np.stack(table["pred_probs"].to_numpy())
    expected = labels.pool(table["id"].to_pylist(), [[0.0, 0.0, 1.0, 1.0]] * len(probs))
    assert probs.shape == (24, 1000) and np.abs(probs - expected).max() <= 1e-6
    columns = table.to_pydict()
    assert np.allclose(probs[np.arange(24), columns["folder_class"]], columns["folder_class_prob"], atol=1e-7)
    assert probs.argmax(axis=1).tolist() == columns["best_class"]


def test_the_documented_lines_for_cleanlab_run(audited, monkeypatch):
    page = (REPOSITORY / "docs/guide/audit.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1].replace("from cleanlab import Datalab\n", "")
    monkeypatch.chdir(audited.parent)
    names = {}
    exec(lines[: lines.index("lab = Datalab")], names)
    assert names["probs"].shape == (24, 2) and names["labels"].tolist() == [
        ["n02123045", "n07920052"].index(label) for label in names["table"]["label"].to_pylist()
    ]
    assert np.allclose(names["probs"].sum(axis=1), 1)
