"""Conversion from and to published label maps: one ``.pt`` file per image, a tensor ``[2, k, h, w]``.

``relabel import`` creates a store from such files, ``relabel export`` writes them from a store. Requires PyTorch.
"""
