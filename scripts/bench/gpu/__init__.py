"""Checks and measurements of labelling on a GPU, in steps."""
