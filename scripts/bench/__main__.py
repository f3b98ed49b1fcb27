"""`python scripts/bench ...`: runs a command of the package."""

import sys
from pathlib import Path

# Python puts this folder on the path; its modules belong to the package `bench`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
