"""The command `relabel export-teacher`, run in the process of the tests."""

import subprocess

from exchange_files import captured

from relabel.export_teacher.command import main


def export(*args: object, code: int = 0) -> subprocess.CompletedProcess:
    """Runs the command and expects its exit code. Another process would need seconds to load PyTorch."""
    words = list(map(str, args))
    with captured(1) as stdout, captured(2) as stderr:
        found = main(words)
    completed = subprocess.CompletedProcess(words, found, stdout.read_text(), stderr.read_text())
    stdout.unlink()
    stderr.unlink()
    assert found == code, f"exit code {found}\n{completed.stdout}\n{completed.stderr}"
    return completed
