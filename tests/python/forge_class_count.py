"""Changes a store to have 10 classes, with matching digests, as only a bug could write it."""

import hashlib
import json
import sys
from pathlib import Path

store = Path(sys.argv[1])


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def seal(content: dict) -> dict:
    content.pop("sha256", None)
    return {**content, "sha256": hashlib.sha256(compact(content)).hexdigest()}


group = json.loads((store / "zarr.json").read_text())
info = group["attributes"]["relabel"]
info["classes"] = {"list": "forged", "count": 10, "ids": [""] * 10, "names": [""] * 10}
group["attributes"]["relabel"] = seal(info)
(store / "zarr.json").write_text(json.dumps(group, indent=2) + "\n")

identity = {key: value for key, value in info.items() if key not in ("sha256", "limit")}
preprocessing_keys = ["input_size", "mean", "std", "filter", "channel_order", "exif_orientation"]
teacher = {key: value for key, value in identity["teacher"].items() if key != "locality"}
teacher |= {"name": "", "card_origins": {}}
teacher["card"] = {key: value for key, value in teacher["card"].items() if key in preprocessing_keys}
identity = {**identity, "tool_version": "", "source": "", "teacher": teacher}
made_with = hashlib.sha256(compact(identity)).hexdigest()
for path in (store / "records").glob("*.json"):
    record = json.loads(path.read_text())
    path.write_text(json.dumps(seal({**record, "made_with": made_with}), indent=2) + "\n")
