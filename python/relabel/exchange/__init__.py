"""Label maps in the form in which others published them: one ``.pt`` file an image, a tensor ``[2, k, h, w]``.

``relabel import`` makes a store of such files, ``relabel export`` writes them from a store. Needs PyTorch.
"""
