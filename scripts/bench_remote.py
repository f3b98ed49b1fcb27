"""What reading a store over the network costs, from a web server on this machine. Prints one JSON document.
`scripts/bench.py` publishes the store.

    bench_remote.py --release DIR --maps 1000
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import relabel

SERVER = Path(__file__).resolve().parent.parent / "tests/python/server.py"


def asked(address: str) -> list[str]:
    with urllib.request.urlopen(f"{address}/requests") as answer:
        requests: list[str] = json.load(answer)
    return requests


def read(where: str, rows: list[int], cache: Path | bool) -> dict[str, float]:
    """Opens a store and reads the maps of rows, one after the other."""
    started = time.perf_counter()
    labels = relabel.open(where, cache=cache)
    opened = time.perf_counter()
    for row in rows:
        labels.map(row)
    return {"open_ms": (opened - started) * 1e3, "map_ms": (time.perf_counter() - opened) * 1e3 / len(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--maps", type=int, default=1000)
    chosen = parser.parse_args()
    images = len(relabel.open(chosen.release))
    rows = random.Random(5).sample(range(images), min(chosen.maps, images))
    server = subprocess.Popen([sys.executable, SERVER, "folder", chosen.release], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        measured: dict[str, object] = {"folder": read(str(chosen.release), rows, False)}
        with tempfile.TemporaryDirectory() as cache:
            before = len(asked(address))
            for name, copies in (("no_copies", False), ("new_copies", Path(cache)), ("with_copies", Path(cache))):
                measured[name] = read(address, rows, copies)
                requests = asked(address)[before:]
                measured[name]["requests_per_map"] = len(requests) / len(rows)  # type: ignore[index]
                before += len(requests)
            copied = sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file())
        measured["copied_bytes"] = copied
        measured["release_bytes"] = sum(file.stat().st_size for file in chosen.release.rglob("*") if file.is_file())
        measured["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    finally:
        server.kill()
        server.wait()
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
