"""Conversion from and to published label maps: one ``.pt`` file per image, a tensor ``[2, k, h, w]``. Requires PyTorch.

``relabel import`` creates a store from such files, ``relabel export`` writes them from a store. ``relabel export --format
multilabel-tsv`` writes a multi-label set, for which PyTorch is not needed.
"""
