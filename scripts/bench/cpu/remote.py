"""Measures reading a store over HTTP from a local web server. Prints one JSON document.
Part i publishes the store.

    scripts/bench remote --release DIR --maps 1000
"""

from __future__ import annotations

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
from bench import machine
from bench.command import parser_of

SERVER = machine.ROOT / "tests/python/server.py"


def requests_of(url: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/requests") as answer:
        requests: list[str] = json.load(answer)
    return requests


def read(location: str, rows: list[int], cache: Path | bool) -> dict[str, float]:
    """Opens a store and reads the maps of some rows one by one."""
    started = time.perf_counter()
    labels = relabel.open(location, cache=cache)
    opened = time.perf_counter()
    for row in rows:
        labels.map(row)
    return {"open_ms": (opened - started) * 1e3, "map_ms": (time.perf_counter() - opened) * 1e3 / len(rows)}


def main(words: list[str]) -> int:
    parser = parser_of("remote", __doc__)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--maps", type=int, default=1000)
    chosen = parser.parse_args(words)
    images = len(relabel.open(chosen.release))
    rows = random.Random(5).sample(range(images), min(chosen.maps, images))
    server = subprocess.Popen([sys.executable, SERVER, "folder", chosen.release], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        measured: dict[str, object] = {"folder": read(str(chosen.release), rows, False)}
        with tempfile.TemporaryDirectory() as cache:
            before = len(requests_of(url))
            for name, copies in (("no_copies", False), ("new_copies", Path(cache)), ("with_copies", Path(cache))):
                measured[name] = read(url, rows, copies)
                requests = requests_of(url)[before:]
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
    return 0
