"""Packs a folder of images into the formats of other programs: WebDataset shards and Parquet files.

    make_archives.py IMAGES OUT

OUT/shards/00000N.tar      three WebDataset shards: key.ext and key.cls, in the order of the paths
OUT/data/train-N.parquet   two files as Hugging Face's `datasets` writes them: struct `image` {bytes, path}, int64 `label`
OUT/plain.parquet          one file with only a binary column `jpg`, in one row group
"""

import io
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

images, out = map(Path, sys.argv[1:])
paths = sorted(images.rglob("*.JPEG"), key=lambda path: path.relative_to(images).as_posix().encode())
folders = sorted({path.parent.name for path in paths})
classes = {"n02123045": 281, "n07920052": 967}
(out / "shards").mkdir(parents=True)
(out / "data").mkdir()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


for shard in range(3):
    with tarfile.open(out / "shards" / f"{shard:06}.tar", "w") as archive:
        for path in paths[shard * len(paths) // 3 : (shard + 1) * len(paths) // 3]:
            key = f"{path.parent.name}_{path.stem}"
            add(archive, f"{key}.cls", str(classes[path.parent.name]).encode())
            add(archive, f"{key}.jpg", path.read_bytes())

schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())])
for part in range(2):
    own = paths[part * len(paths) // 2 : (part + 1) * len(paths) // 2]
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": f"{path.stem}_{path.parent.name}.JPEG"}, "label": classes[path.parent.name]}
        for path in own
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema), out / "data" / f"train-{part:05}-of-00002.parquet", row_group_size=5)

pq.write_table(pa.table({"jpg": [path.read_bytes() for path in paths]}), out / "plain.parquet")
