"""The parts of `make bench`, a to i."""
