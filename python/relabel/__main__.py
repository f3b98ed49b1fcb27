"""``python -m relabel import|export``: the implementation of ``relabel import`` and ``relabel export``."""

import sys

from .exchange.command import main

sys.exit(main(sys.argv[1:]))
