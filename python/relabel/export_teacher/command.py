"""The command ``export-teacher``: checks before PyTorch is loaded, the export, and its result."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relabel.command_line import Signals, run_command
from relabel.console import DONE, Interrupted, Output, Refusal, Usage

from .arguments import options_of, parser
from .classifier import Classifier, create_classifier
from .library_messages import hide_downloads, library_messages
from .options import (
    ExportOptions,
    NetworkOptions,
    card_file,
    class_list_file,
    external_data_file,
    output_files,
    packages_for,
)

if TYPE_CHECKING:
    from .exporting import Exported

INTERRUPTION = "interrupted; nothing was written"


def main(args: Sequence[str]) -> int:
    """Exports a network and returns the exit code.

    Args:
        args: The arguments, without the name of the command.
    """
    return run_command(
        args,
        parser(),
        _run,
        if_memory_is_short="export with --fixed --exporter dynamo, or on a machine with more memory",
        if_bug="nothing was written",
    )


def _run(arguments: argparse.Namespace, output: Output) -> int:
    network, options = options_of(arguments)
    _check_files(network, options)
    _check_packages(network.name)
    with Signals(output, INTERRUPTION, raises=True) as signals:
        try:
            with library_messages(output):
                classifier, exported = _export(network, options, output, signals)
        except KeyboardInterrupt as error:
            if signals.unfinished:
                shutil.rmtree(signals.unfinished, ignore_errors=True)
            raise Interrupted(INTERRUPTION) from error
        output.result(_result_text(options, exported), _result_document(classifier, options, exported))
    return DONE


def _export(
    network: NetworkOptions, options: ExportOptions, output: Output, signals: Signals
) -> tuple[Classifier, Exported]:
    try:
        from .exporting import export
        from .refusals import refuse_networks_without_cells
    except ImportError as error:
        raise Refusal(
            f"cannot import the packages of the export: {error}\n  help: reinstall them (pip install {_needed(network.name)})"
        ) from error
    if output.quiet or output.lines_are_json:
        hide_downloads()
    output.detail(f"creating {network.name}")
    classifier = create_classifier(network)
    refuse_networks_without_cells(classifier, network.name)
    for note in classifier.notes:
        output.info(f"note: {note}")
    return classifier, export(classifier, network, options, output, signals)


def _check_files(network: NetworkOptions, options: ExportOptions) -> None:
    """Checks the paths.

    Raises:
        Usage: If a file cannot be read or must not be written.
    """
    out = options.out
    if out.suffix != ".onnx":
        raise Usage(f"cannot write {out}: the file name must end in .onnx\n  help: pass --out {out.name}.onnx")
    if not out.parent.is_dir():
        raise Usage(f"cannot write {out}: folder {out.parent} not found\n  help: create it, or pass another --out")
    existing = [path for path in output_files(out) if path.exists()]
    if existing and not options.force:
        raise Usage(f"cannot write {existing[0]}: the file exists\n  help: pass another --out, or --force to overwrite it")
    if network.checkpoint and not network.checkpoint.is_file():
        raise Usage(f"cannot read --checkpoint {network.checkpoint}: file not found\n  help: check the path")


def _check_packages(name: str) -> None:
    """Checks that the packages are installed, without importing PyTorch, which takes seconds.

    Raises:
        Refusal: If one is missing.
    """
    missing = [package for package in packages_for(name) if importlib.util.find_spec(package) is None]
    if missing:
        raise Refusal(
            f"cannot export {name}: this Python ({sys.executable}) lacks {' and '.join(missing)}\n  help: install relabel's wheel"
            f" file with its extras [cpu,export], or the packages: pip install {_needed(name)}"
        )


def _needed(name: str) -> str:
    return " ".join(packages_for(name))


def _result_text(options: ExportOptions, exported: Exported) -> str:
    megabytes = _total_bytes(options.out) / 1e6
    return (
        f"{options.out} ({exported.attempt}, {megabytes:,.1f} MB) {exported.comparison}\n"
        f"next: relabel teacher {shlex.quote(str(options.out))}\n"
    )


def _result_document(classifier: Classifier, options: ExportOptions, exported: Exported) -> dict[str, Any]:
    """Returns the result of ``--json``. ``bytes`` includes external weights; ``sha256`` is that of the graph's file."""
    from .weights import sha256

    out, attempt, comparison = options.out, exported.attempt, exported.comparison
    existing = {
        key: str(path) if path.exists() else None
        for key, path in [("external_data", external_data_file(out)), ("class_list", class_list_file(out))]
    }
    return {
        "file": str(out),
        "card": str(card_file(out)),
        **existing,
        "name": classifier.name,
        "exporter": attempt.exporter,
        "opset": attempt.opset,
        "dynamic_size": attempt.free_size,
        "input_size": list(classifier.input_size),
        "sizes_tested": [list(size) for size in comparison.sizes],
        "max_difference": comparison.max_difference,
        "max_score": comparison.max_score,
        "precision": "float16" if options.fp16 else "float32",
        "bytes": _total_bytes(out),
        "sha256": sha256(out),
        "notes": classifier.notes,
    }


def _total_bytes(out: Path) -> int:
    return sum(path.stat().st_size for path in (out, external_data_file(out)) if path.exists())
