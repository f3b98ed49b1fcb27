"""A release as strangers meet it: on the Hub, through Croissant, with zarr-python, and with this package."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr
from conftest import GOLDEN, run_relabel
from huggingface_hub import DatasetCard
from PIL import Image
from pyarrow import parquet

import relabel

HOSTILE = "Cats: \"a\" # b\n---\n- c [x](y) \u2028 é"


@pytest.fixture(scope="module")
def release(golden_store, tmp_path_factory) -> Path:
    """The golden images' store, published under a name that YAML and Markdown would like to misunderstand."""
    target = tmp_path_factory.mktemp("published") / "release"
    words = ["publish", golden_store, "--to", target, "--license", "CC-BY-4.0", "--name", HOSTILE]
    run_relabel(*words, "--source-dataset", "me/photographs", "--hub-repo", "me/cats")
    return target


def offline(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without network."""
    wanted = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return os.environ | wanted


def front_matter(release: Path) -> dict:
    text = (release / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n")
    return yaml.safe_load(text[4 : text.index("\n---\n", 4) + 1])


def test_the_front_matter_is_yaml_that_the_hub_knows(release):
    said = front_matter(release)
    assert said["pretty_name"] == HOSTILE
    assert said["license"] == "cc-by-4.0" and said["size_categories"] == ["n<1K"]
    assert said["source_datasets"] == ["me/photographs"] and said["task_categories"] == ["image-classification"]
    assert [config["config_name"] for config in said["configs"]] == ["summary", "manifest"]
    card = DatasetCard.load(release / "README.md", ignore_metadata_errors=False)
    assert card.data.license == "cc-by-4.0" and card.data.pretty_name == HOSTILE
    assert card.data.annotations_creators == ["machine-generated"]
    assert card.text.lstrip().startswith("# Cats: \"a\" \\# b")


def test_other_licences_are_named_and_linked(golden_store, tmp_path):
    terms = tmp_path / "My terms.txt"
    terms.write_text("Do as you like.\n")
    run_relabel("publish", golden_store, "--to", tmp_path / "release", "--license", terms)
    said = front_matter(tmp_path / "release")
    assert (said["license"], said["license_name"], said["license_link"]) == ("other", "my-terms", "LICENSE")
    assert (tmp_path / "release/LICENSE").read_text() == "Do as you like.\n"


@pytest.mark.parametrize("config", ["summary", "manifest"])
def test_the_viewers_library_loads_each_config(release, tmp_path, config):
    code = f"""
import datasets, json
rows = datasets.load_dataset({str(release)!r}, {config!r}, split="train")
print(json.dumps([rows.num_rows, rows.column_names, rows[-1]]))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=offline(tmp_path))
    assert ran.returncode == 0, ran.stderr
    rows, columns, last = json.loads(ran.stdout.splitlines()[-1])
    assert rows == len(relabel.open(release)) == 27
    assert columns[:2] == ["row", "id"] and last["row"] == 26


def test_the_summary_says_what_the_store_says(release):
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


def test_croissant_is_valid_without_a_warning_and_loads_its_records(release, tmp_path):
    tool = Path(sys.executable).parent / "mlcroissant"
    validate = [tool, "validate", "--jsonld", release / "croissant.json"]
    ran = subprocess.run(validate, capture_output=True, text=True, env=offline(tmp_path))
    assert ran.returncode == 0 and "warning" not in ran.stderr and "error" not in ran.stderr, ran.stderr
    code = f"""
import itertools, json, mlcroissant
dataset = mlcroissant.Dataset({str(release / "croissant.json")!r})
for name in ("summary", "manifest"):
    rows = list(dataset.records(name))
    print(json.dumps([len(rows), rows[24][name + "/id"].decode()]))
    if name == "summary":
        print(json.dumps([row["summary/pooled_classes"] is None for row in rows]))
        print(rows[24]["summary/teacher_classes"][0].decode())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=offline(tmp_path))
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert json.loads(said[0]) == [27, "photos/coffee"] and json.loads(said[3]) == [27, "photos/coffee"]
    assert sum(json.loads(said[1])) == 5 and said[2] == "espresso"


def test_croissant_has_the_digests_of_the_list(release):
    sums = dict(line.split("  ")[::-1] for line in (release / "SHA256SUMS").read_text().splitlines())
    described = json.loads((release / "croissant.json").read_text())
    objects = [file for file in described["distribution"] if file["@type"] == "cr:FileObject"]
    assert {file["contentUrl"] for file in objects} >= {"summary.parquet", "manifest.parquet"}
    assert all(file["sha256"] == sums[file["contentUrl"]] for file in objects)
    sets = [file for file in described["distribution"] if file["@type"] == "cr:FileSet"]
    for file in sets:
        assert list(release.glob(file["includes"])), file["includes"]


def test_zarr_python_and_this_package_open_a_release(release, golden_store):
    group = zarr.open_group(release, mode="r")
    original = zarr.open_group(golden_store, mode="r")
    for name in ("scores", "classes", "image_probs", "image_classes", "lse"):
        assert np.array_equal(group[name][:], original[name][:], equal_nan=True), name
    scores, classes = relabel.open(release).map("photos/coffee")
    assert np.array_equal(group["scores"][24], scores) and np.array_equal(group["classes"][24], classes)


def test_the_cards_programs_run_as_they_stand(release, monkeypatch):
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


def test_a_photograph_is_in_the_picture_only_where_it_was_asked_for(golden_store, tmp_path):
    words = ["publish", golden_store, "--license", "MIT", "--picture", "photos/coffee"]
    run_relabel(*words, "--to", tmp_path / "without")
    run_relabel(*words, "--to", tmp_path / "with", "--image-root", GOLDEN / "images")
    sizes = [Image.open(tmp_path / name / "overview.png").size for name in ("without", "with")]
    assert sizes[1][0] > sizes[0][0], "the photograph is drawn next to the map"
    assert "The picture contains no pixels from the source." in (tmp_path / "without/README.md").read_text()
    assert "The picture contains a photograph from the source." in (tmp_path / "with/README.md").read_text()
