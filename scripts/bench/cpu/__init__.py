"""The parts of `make bench`, a to j."""
