"""Label maps for training: pools the label maps of a store into targets for random crops.

    import relabel

    labels = relabel.open("labels/")
    targets = labels.pool(ids, boxes)      # float32 [B, classes], LabelPooling of each box

``relabel.torch`` provides the crop, the data set and CutMix for PyTorch. It is imported only on request.
"""

from ._relabel import NotLabelled, StoreError, __version__
from .labels import Fill, Labels, SparseTargets, open

__all__ = ["Fill", "Labels", "NotLabelled", "SparseTargets", "StoreError", "__version__", "open"]
