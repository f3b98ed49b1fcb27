"""The Croissant description of a release, read by mlcroissant."""

import json
import sys
from pathlib import Path

from harness import run, run_python
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
