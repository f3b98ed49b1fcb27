#!/usr/bin/env python3
"""Exports many networks with random weights, runs `relabel teacher` on each, and prints the table of docs/networks.md.

Every step writes its result to the folder and skips existing results, so an interrupted run resumes.
The names and sizes of the networks are in scripts/network_list.txt.

    python scripts/network_table.py --folder /tmp/networks                    # export, check, print the table
    python scripts/network_table.py --folder /tmp/networks --only swin hiera  # those whose names contain a word
    python scripts/network_table.py --folder /tmp/networks --export           # export only
    python scripts/network_table.py --folder /tmp/networks --table            # print the table of existing results

It needs the Python package with its extra [export], transformers, and a built relabel (--relabel). About 10 GB of disk.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tomllib

SCRIPTS = Path(__file__).resolve().parent
LIST = SCRIPTS / "network_list.txt"
RELABEL = SCRIPTS.parent / "target/release/relabel"
SECONDS = 420


@dataclass(frozen=True)
class Network:
    """One line of the list: a network and its export options. `config` changes the configuration of a transformers type."""

    name: str
    size: str
    options: tuple[str, ...]
    config: tuple[tuple[str, object], ...]
    group: str

    @property
    def library(self) -> str:
        return self.name.partition(":")[0] if ":" in self.name else "timm"

    @property
    def key(self) -> str:
        """Name of its files."""
        options = [option.removeprefix("--") for option in self.options if option not in ("--global-pool", "--exporter")]
        number = [str(value).replace(" ", "") for name, value in self.config if name in NAMED_KEYS]
        parts = [self.name.replace(":", "."), *number, *options, *([self.size] if self.size else [])]
        return re.sub(r"[^A-Za-z0-9_.x-]+", "-", "-".join(parts))

    @property
    def title(self) -> str:
        words = [self.name, *(f"{name}={value}" for name, value in self.config if name in NAMED_KEYS), *self.options]
        return shlex.join(words) + (f", {self.size}" if self.size else "")


# Settings that change the architecture, not only the size.
NAMED_KEYS = ("num_query_pool", "use_mean_pooling", "num_register_tokens")


def main() -> int:
    args = arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    networks = [network for network in read_list(LIST) if not args.only or any(word in network.key for word in args.only)]
    every = not (args.export or args.check or args.table)
    if args.export or every:
        for network in networks:
            export(network, args)
    if args.check or every:
        for network in networks:
            check(network, args)
    if args.table or every:
        made = table(networks, args.folder)
        print(made)
        if args.into:
            write_into(args.into, made)
    return 0


def arguments() -> argparse.Namespace:
    about, _, examples = (__doc__ or "").partition("\n\n    ")
    parser = argparse.ArgumentParser(
        description=about, epilog=f"examples:\n    {examples}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder for exports and results, outside the repository")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="only networks whose file names contain one of these")
    parser.add_argument("--export", action="store_true", help="export only")
    parser.add_argument("--check", action="store_true", help="only run `relabel teacher` on existing exports")
    parser.add_argument("--table", action="store_true", help="only print the table of existing results")
    parser.add_argument("--into", type=Path, metavar="FILE", help="also replace the tables of this document (docs/networks.md)")
    parser.add_argument("--again", action="store_true", help="overwrite existing results")
    parser.add_argument("--relabel", type=Path, default=RELABEL, metavar="FILE", help="path of the program (default: target/release/relabel)")
    parser.add_argument("--flags", default="", metavar="FLAGS", help="additional flags of `relabel teacher`, such as '--in photos'")
    parser.add_argument("--seconds", type=int, default=SECONDS, metavar="N", help=f"time limit of one step (default: {SECONDS})")
    return parser.parse_args()


def read_list(path: Path) -> list[Network]:
    """Reads lines of a name, then in any order a size, options (`--fixed`) and settings of a configuration (`a=1`)."""
    networks, group = [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            group = line.removeprefix("## ")
        if not line.strip() or line.startswith("#"):
            continue
        name, *words = shlex.split(line)
        sizes = [word for word in words if re.fullmatch(r"\d+(x\d+)?", word)]
        config = [tuple(word.split("=", 1)) for word in words if "=" in word and not word.startswith("--")]
        options = [word for word in words if word not in sizes and not ("=" in word and not word.startswith("--"))]
        settings = tuple((key, json.loads(value)) for key, value in config)
        networks.append(Network(name, sizes[0] if sizes else "", tuple(options), settings, group))
    twice = [key for key, times in collections.Counter(network.key for network in networks).items() if times > 1]
    if twice:
        raise SystemExit(f"{path} lists {twice[0]} twice")
    return networks


# Export


def export(network: Network, args: argparse.Namespace) -> None:
    out = args.folder / f"{network.key}.onnx"
    refusal = out.with_suffix(".refused.txt")
    if not args.again and (out.is_file() or refusal.is_file()):
        return
    started = time.perf_counter()
    log = out.with_suffix(".log")
    code = forked(lambda: run_exporter(network, out, log), args.seconds)
    output = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
    reason = last_message(output) if code != "stopped" else f"timed out after {args.seconds} s"
    made = out.is_file() and code == 0
    if made:
        refusal.unlink(missing_ok=True)
    else:
        refusal.write_text(reason + "\n", encoding="utf-8")
    add_to_index(network, out, "yes" if made else f"no: {reason}")
    print(f"{network.key}: {'exported' if made else reason[:200]} ({time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)


def last_message(output: str) -> str:
    """Returns the last message of the exporter in one line, or the end of other output."""
    _, found, message = f"\n{output}".rpartition("\nrelabel: ")
    return " ".join(message.split())[:600] if found else " ".join(output.split())[-600:]


def forked(work, seconds: int) -> int | str:
    """Runs `work` in a forked process, which frees its memory at exit. The parent loads PyTorch once."""
    import_once()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setpgid(0, 0)
            code = work()
        finally:
            os._exit(code if isinstance(code, int) else 1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.2)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "stopped"


def import_once() -> None:
    import onnxruntime  # noqa: F401
    import timm  # noqa: F401
    import torch  # noqa: F401
    import torchvision  # noqa: F401
    import transformers  # noqa: F401


def run_exporter(network: Network, out: Path, log: Path) -> int:
    """Runs the exporter in the child, with its output in the log."""
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from relabel.export_teacher.command import main as export_teacher

    name = network.name
    if network.library == "transformers":
        name = f"transformers:{written_config(network, out)}"
    settings = ["--input-size", network.size] if network.size else []
    # Adds a classifier to networks that were published without one.
    settings += ["--num-classes", "1000"] if network.library == "timm" else []
    options = ["--random-weights", "--force", *network.options, *settings]
    try:
        return export_teacher([name, *options, "-o", str(out)])
    except BaseException as problem:  # The parent reads the log.
        print(f"{type(problem).__name__}: {problem}", flush=True)
        return 70


def written_config(network: Network, out: Path) -> Path:
    """Writes the changed configuration of a type in the format of the hub."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(network.name.partition(":")[2], **dict(network.config))
    config.num_labels = 1000
    folder = out.with_suffix("")
    config.save_pretrained(folder)
    return folder


def add_to_index(network: Network, out: Path, exported: str) -> None:
    """Appends one line per export to the index."""
    index = out.parent / "INDEX.tsv"
    if not index.is_file():
        index.write_text("file\tlibrary\tnetwork\tsize\texporter\texported\thead\n", encoding="utf-8")
    card = read_card(out) if exported == "yes" else {}
    size = "x".join(map(str, card["input_size"])) if card else network.size
    cells = [out.name, network.library, network.title, size, card.get("exported_with", "").split(";")[0], exported, ending(out) if card else ""]
    with index.open("a", encoding="utf-8") as file:
        file.write("\t".join(" ".join(str(cell).split()) for cell in cells) + "\n")


def ending(out: Path, most: int = 7) -> str:
    """Returns the last operators of the graph, from the end, which show how the network pools."""
    import onnx

    graph = onnx.load(out, load_external_data=False).graph
    producers = {output: node for node in graph.node for output in node.output}
    tensor, seen = graph.output[0].name, []
    while tensor in producers and len(seen) < most:
        node = producers[tensor]
        seen.append(node.op_type)
        computed = [name for name in node.input if name in producers and producers[name].op_type != "Constant"]
        tensor = computed[0] if computed else ""
    return " < ".join(seen)


def read_card(out: Path) -> dict:
    return tomllib.loads(out.with_suffix(".toml").read_text(encoding="utf-8"))


# Check


def check(network: Network, args: argparse.Namespace) -> None:
    """Saves the output of `relabel teacher --json`, or the reason of its refusal."""
    out = args.folder / f"{network.key}.onnx"
    result = out.with_suffix(".json")
    if not out.is_file() or (result.is_file() and not args.again):
        return
    command = [str(args.relabel), "teacher", str(out), "--json", *shlex.split(args.flags)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=args.seconds, cwd=SCRIPTS.parent)
    except subprocess.TimeoutExpired:
        document = {"refused": f"timed out after {args.seconds} s"}
    else:
        document = json.loads(ran.stdout) if ran.returncode == 0 else {"refused": ran.stderr.strip(), "code": ran.returncode}
    result.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{network.key}: {document.get('refused', 'verified')[:200]}", file=sys.stderr, flush=True)


# Table


def table(networks: list[Network], folder: Path) -> str:
    """Returns Markdown: a table for each group of the list, and the number of networks by result."""
    counts: collections.Counter[str] = collections.Counter()
    lines: list[str] = []
    for group in dict.fromkeys(network.group for network in networks):
        rows = [row for network in networks if network.group == group and (row := row_of(network, folder, counts))]
        if rows:
            lines += ["", f"## {group}", "", *HEADER, *rows]
    total = ", ".join(f"{count} {result}" for result, count in counts.most_common())
    return "\n".join([f"{sum(counts.values())} exports: {total}.", *lines])


# The tables of a document are between these lines.
BEGIN, END = "<!-- tables of scripts/network_table.py -->", "<!-- end of the tables -->"


def write_into(document: Path, made: str) -> None:
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{document} lacks the lines {BEGIN} and {END}")
    document.write_text(f"{before}{begin}\n\n{made}\n\n{end}{after}", encoding="utf-8")


HEADER = (
    "| network | exporter, opset | height, width | map | head | positions | file | cells | result |",
    "|---|---|---|---|---|---|---:|---:|---|",
)


def row_of(network: Network, folder: Path, counts: collections.Counter[str]) -> str | None:
    out = folder / f"{network.key}.onnx"
    refused, result = out.with_suffix(".refused.txt"), out.with_suffix(".json")
    if refused.is_file():
        return refused_row(network, refused.read_text(encoding="utf-8"), counts)
    if not out.is_file() or not result.is_file():
        return None
    document = json.loads(result.read_text(encoding="utf-8"))
    card = read_card(out)
    exporter, opset, freedom = re.match(r"(\w+) exporter, opset (\d+), (free|fixed)", card["exported_with"]).groups()
    difference, largest = re.search(r"at most (\S+), with scores up to (\S+),", card["export_tested"]).groups()
    start = f"| {network.title} | {exporter} {opset} | {freedom} |"
    file = f"{float(difference) / max(float(largest), 1e-30):.0e}"
    if "refused" in document:
        counts["refused by `relabel teacher`"] += 1
        return f"{start} | | | {file} | | refused: {short(document['refused'])} |"
    counts["verified"] += 1
    verification = document["verification"]
    cells = f"{verification['max_cell_error'] / max(verification['max_score'], 1e-30):.0e}"
    size, grid = (words(document[key]) for key in ("input_size", "map_size"))
    return f"{start} {grid} of {size} | {head_of(document)} | {locality_of(document)} | {file} | {cells} | verified |"


def refused_row(network: Network, reason: str, counts: collections.Counter[str]) -> str:
    """Returns the row of a network that the exporter refused or failed to export."""
    no_cells = "its cells have no scores" in reason
    counts["refused by the exporter" if no_cells else "not exported"] += 1
    what = "refused by the exporter" if no_cells else "not exported"
    cause = re.sub(r"^cannot export \S+: (it )?", "", reason.partition(" help: ")[0])
    return f"| {network.title} | | | | | | | | {what}: {short(cause)} |"


def short(text: str, most: int = 110) -> str:
    """Returns the first clause of a message."""
    text = " ".join(text.replace("|", "/").split())
    text = re.sub(r"^relabel: (teacher \S+: )?", "", text)
    clause = re.split(r"[.:;] |, so |help:|what you can do", text)[0].strip() if len(text) > most else text
    return clause if len(clause) <= most else clause[: most - 1].rsplit(" ", 1)[0] + " ..."


def head_of(document: dict) -> str:
    """Returns `linear`, or the nonlinear operators of the head."""
    if document["verification"]["linear_head"]:
        return "linear"
    found = next(filter(None, (re.search(r"what follows it \(([^)]*)\)", line) for line in document["rewrite"])), None)
    operators = found[1].split(", ") if found else []
    moves = {"Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Gather", "Identity", "Cast", "Slice", "Gemm", "MatMul", "Add"}
    return ", ".join(dict.fromkeys(operator for operator in operators if operator not in moves)) or "not linear"


def locality_of(document: dict) -> str:
    """Returns how the location of cells was verified: by structure, or by a probe that changes patches of photographs."""
    locality = document["locality"]
    if locality["method"] != "probe":
        return locality["method"]
    return f"probe ({locality['same_axis_correlation'][0]:.2f}, {locality['same_axis_correlation'][1]:.2f})" if isinstance(locality["same_axis_correlation"], list) else f"probe ({locality['same_axis_correlation']:.2f})"


def words(size: list[int] | dict) -> str:
    sides = size.values() if isinstance(size, dict) else size
    return "x".join(map(str, sides))


if __name__ == "__main__":
    sys.exit(main())
