"""Label maps for training: what `relabel run` wrote, as labels of crops.

    import relabel

    labels = relabel.open("labels/")
    targets = labels.pool(ids, boxes)      # float32 [B, classes], LabelPooling of each box

``relabel.torch`` has the data set, the crop and the CutMix for PyTorch; it is imported only when you ask for it.
"""

from ._relabel import NotLabelled, StoreError, __version__
from .labels import Fill, Labels, SparseTargets, open

__all__ = ["Fill", "Labels", "NotLabelled", "SparseTargets", "StoreError", "__version__", "open"]
