"""Messages of the libraries: none on stdout, and few on stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from relabel.console import Output


@contextlib.contextmanager
def library_messages(output: Output) -> Iterator[None]:
    """Keeps what libraries print off stdout. Without ``--verbose``, that and their warnings are hidden."""
    shown = output.verbose > 0
    sys.stdout.flush()
    output.stdout = os.dup(1)
    target = os.dup(2) if shown else os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, 1)
    os.close(target)
    before = logging.root.manager.disable
    try:
        with warnings.catch_warnings():
            if not shown:
                warnings.simplefilter("ignore")
                logging.disable(logging.WARNING)
            yield
    finally:
        logging.disable(before)
        sys.stdout.flush()
        os.dup2(output.stdout, 1)
        os.close(output.stdout)
        output.stdout = 1


def hide_downloads() -> None:
    """Hides the progress bars of downloads from the hub."""
    with contextlib.suppress(ImportError):
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
