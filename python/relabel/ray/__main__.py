"""``python -m relabel.ray``."""

import sys

from .command import main

sys.exit(main(sys.argv[1:]))
