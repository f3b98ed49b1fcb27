"""The Croissant description of a release, read by mlcroissant."""

import json
import sys
from pathlib import Path

from evaluation_document import write_evaluation
from harness import run, run_python, run_relabel
from release_files import OFFLINE


def test_croissant_validates_without_warnings_and_loads_its_records(release, tmp_path):
    tool = Path(sys.executable).parent / "mlcroissant"
    ran = run(tool, "validate", "--jsonld", release / "croissant.json", **OFFLINE, HF_HOME=str(tmp_path))
    assert "warning" not in ran.stderr and "error" not in ran.stderr, ran.stderr
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
    lines = run_python("-c", code, **OFFLINE, HF_HOME=str(tmp_path)).stdout.splitlines()
    assert json.loads(lines[0]) == [27, "photos/coffee"] and json.loads(lines[3]) == [27, "photos/coffee"]
    assert sum(json.loads(lines[1])) == 5 and lines[2] == "espresso"


def test_croissant_has_the_digests_of_sha256sums(release):
    sums = dict(line.split("  ")[::-1] for line in (release / "SHA256SUMS").read_text().splitlines())
    described = json.loads((release / "croissant.json").read_text())
    objects = [file for file in described["distribution"] if file["@type"] == "cr:FileObject"]
    assert {file["contentUrl"] for file in objects} >= {"summary.parquet", "manifest.parquet"}
    assert all(file["sha256"] == sums[file["contentUrl"]] for file in objects)
    sets = [file for file in described["distribution"] if file["@type"] == "cr:FileSet"]
    for file in sets:
        assert list(release.glob(file["includes"])), file["includes"]


def test_croissant_with_an_evaluation_is_valid_and_has_its_results(golden_store, tmp_path):
    evaluation = write_evaluation(golden_store, tmp_path / "evaluation.json")
    release = tmp_path / "release"
    run_relabel("publish", golden_store, "--to", release, "--license", "CC-BY-4.0", "--evaluation", evaluation)
    tool = Path(sys.executable).parent / "mlcroissant"
    ran = run(tool, "validate", "--jsonld", release / "croissant.json", **OFFLINE, HF_HOME=str(tmp_path))
    assert "warning" not in ran.stderr and "error" not in ran.stderr, ran.stderr
    code = f"""
import json, mlcroissant
metadata = mlcroissant.Dataset({str(release / "croissant.json")!r}).metadata
print(json.dumps([metadata.data_annotation_analysis, [file.id for file in metadata.distribution]]))
print(len(list(mlcroissant.Dataset({str(release / "croissant.json")!r}).records("summary"))))
"""
    lines = run_python("-c", code, **OFFLINE, HF_HOME=str(tmp_path)).stdout.splitlines()
    (analysis, files), rows = json.loads(lines[0]), lines[1]
    assert any("top-1 accuracy of the teacher's prediction 81.2 %" in sentence for sentence in analysis), analysis
    assert {"evaluation.json", "reliability-real.png", "classes-real.png", "crop-fidelity.png"} <= set(files) and rows == "27"
