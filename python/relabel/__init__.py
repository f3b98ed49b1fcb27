"""Label maps for training: pools the label maps of a store into targets for random crops.

    import relabel

    labels = relabel.open("labels/")
    targets = labels.pool(ids, boxes)      # float32 [B, classes], LabelPooling of each box

``relabel.torch`` provides the crop, the data set and CutMix for PyTorch. It is imported only on request.
"""

from typing import TYPE_CHECKING

from ._relabel import NotLabelled, StoreError, __version__

__all__ = ["Fill", "Labels", "NotLabelled", "Pooling", "SparseTargets", "StoreError", "__version__", "open"]

if TYPE_CHECKING:
    from .labels import Fill, Labels, Pooling, SparseTargets, open
else:

    def __getattr__(name):
        """Imports the reader on first use: the commands do not need NumPy, which takes most of the import's time."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import labels

        globals().update({exported: getattr(labels, exported) for exported in __all__ if hasattr(labels, exported)})
        return globals()[name]

    def __dir__():
        return sorted({*globals(), *__all__})
