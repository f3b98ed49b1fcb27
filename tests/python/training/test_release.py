"""A release read by others: the Hugging Face Hub, zarr-python and this package."""

import json
import types
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from harness import GOLDEN, run_python, run_relabel
from huggingface_hub import DatasetCard
from PIL import Image
from pyarrow import parquet
from release_files import HOSTILE_NAME, OFFLINE

import relabel


def front_matter(release: Path) -> dict:
    text = (release / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text[4 : text.index("\n---\n", 4) + 1])


def test_the_hub_accepts_the_front_matter(release):
    metadata = front_matter(release)
    assert metadata["pretty_name"] == HOSTILE_NAME
    assert metadata["license"] == "cc-by-4.0" and metadata["size_categories"] == ["n<1K"]
    assert metadata["source_datasets"] == ["me/photographs"] and metadata["task_categories"] == ["image-classification"]
    assert [config["config_name"] for config in metadata["configs"]] == ["summary", "manifest"]
    card = DatasetCard.load(release / "README.md", ignore_metadata_errors=False)
    assert card.data.license == "cc-by-4.0" and card.data.pretty_name == HOSTILE_NAME
    assert card.data.annotations_creators == ["machine-generated"]
    assert card.text.lstrip().startswith("# Cats: \"a\" \\# b")


def test_other_licences_are_named_and_linked(golden_store, tmp_path):
    licence = tmp_path / "My terms.txt"
    licence.write_text("Do as you like.\n")
    run_relabel("publish", golden_store, "--to", tmp_path / "release", "--license", licence)
    metadata = front_matter(tmp_path / "release")
    assert (metadata["license"], metadata["license_name"], metadata["license_link"]) == ("other", "my-terms", "LICENSE")
    assert (tmp_path / "release/LICENSE").read_text() == "Do as you like.\n"


@pytest.mark.parametrize("config", ["summary", "manifest"])
def test_datasets_loads_each_config(release, tmp_path, config):
    code = f"""
import datasets, json
rows = datasets.load_dataset({str(release)!r}, {config!r}, split="train")
print(json.dumps([rows.num_rows, rows.column_names, rows[-1]]))
"""
    ran = run_python("-c", code, **OFFLINE, HF_HOME=str(tmp_path))
    rows, columns, last = json.loads(ran.stdout.splitlines()[-1])
    assert rows == len(relabel.open(release)) == 27
    assert columns[:2] == ["row", "id"] and last["row"] == 26


def test_the_summary_equals_the_store(release):
    table = parquet.read_table(release / "summary.parquet").to_pylist()
    labels = relabel.open(release)
    names = [name.split(",")[0].strip() for name in labels.class_names]
    failed = labels.failed()
    assert [row["id"] for row in table] == list(labels.ids()) and failed
    for row in table:
        assert (row["verdict"] == "failed") == (row["row"] in failed)
        if row["row"] in failed:
            assert row["teacher_classes"] is None and row["pooled_probs"] is None
            continue
        probs = labels.pool([row["row"]], [[0.0, 0.0, 1.0, 1.0]])[0]
        best = np.argsort(-probs, kind="stable")[:5]
        assert row["pooled_classes"][0] == names[best[0]]
        assert np.allclose(row["pooled_probs"], probs[best], atol=1e-5)
        teacher = labels.image_targets([row["row"]])[0]
        assert row["teacher_classes"][0] == names[teacher.argmax()]
        assert np.all(np.diff(row["teacher_probs"]) <= 0)


def test_zarr_python_and_this_package_read_a_release(release, golden_store):
    group = zarr.open_group(release, mode="r")
    original = zarr.open_group(golden_store, mode="r")
    for name in ("scores", "classes", "image_probs", "image_classes", "lse"):
        assert np.array_equal(group[name][:], original[name][:], equal_nan=True), name
    scores, classes = relabel.open(release).map("photos/coffee")
    assert np.array_equal(group["scores"][24], scores) and np.array_equal(group["classes"][24], classes)


def test_the_programs_of_the_card_run_as_printed(release, monkeypatch):
    text = (release / "README.md").read_text(encoding="utf-8")
    programs = [block.split("```", 1)[0] for block in text.split("```python\n")[1:]]
    assert len(programs) == 2 and all(len(program.splitlines()) == 3 for program in programs)
    monkeypatch.chdir(release.parent)
    names = types.SimpleNamespace(first={}, second={})
    # Row 0 of the golden images failed, row 24 did not.
    exec(programs[0].replace("[0]", "[24]"), names.first)
    exec(programs[1], names.second)
    assert names.first["targets"].shape == (1, 1000)
    assert names.second["scores"].shape == names.second["classes"].shape == (5, 7, 7)


def test_the_picture_contains_a_photograph_only_on_request(golden_store, tmp_path):
    args = ["publish", golden_store, "--license", "MIT", "--picture", "photos/coffee"]
    run_relabel(*args, "--to", tmp_path / "without")
    run_relabel(*args, "--to", tmp_path / "with", "--image-root", GOLDEN / "images")
    sizes = [Image.open(tmp_path / name / "overview.png").size for name in ("without", "with")]
    assert sizes[1][0] > sizes[0][0], "the photograph is next to its map"
    assert "The picture contains no pixels from the source." in (tmp_path / "without/README.md").read_text()
    assert "The picture contains a photograph from the source." in (tmp_path / "with/README.md").read_text()
