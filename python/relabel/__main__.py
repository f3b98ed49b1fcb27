"""``python -m relabel COMMAND ...``: runs any command of the program with this Python.

The program hands over ``import``, ``export`` and ``export-teacher``, which are implemented in Python. All other commands, and
all help, are those of the program.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ._program import become_program
from .console import Output, Refusal


def main(args: Sequence[str]) -> int:
    """Runs one command and returns its exit code, or replaces this process by the program."""
    command = args[0] if args and not {"-h", "--help"}.intersection(args) else None
    if command in ("import", "export"):
        from .exchange import command as exchange

        return exchange.main(args)
    if command == "export-teacher":
        from .export_teacher import command as export_teacher

        return export_teacher.main(args[1:])
    try:
        become_program(args)
    except Refusal as refusal:
        Output("--json" in args, False, 0, False).error(str(refusal))
        return refusal.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
