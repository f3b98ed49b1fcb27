"""``python -m relabel import|export``: what the commands ``relabel import`` and ``relabel export`` start."""

import sys

from .exchange.command import main

sys.exit(main(sys.argv[1:]))
