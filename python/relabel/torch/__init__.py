"""Label maps in PyTorch. A training script for ImageNet changes two lines:

    dataset = relabel.torch.LabelMapDataset(ImageFolder(root, transform), relabel.open("labels/"))      # 1: (image, target)
    for images, targets in loader: loss = cross_entropy(model(images), targets)                         # 2: soft targets

The random resized crop in the transform, of torchvision or timm, remembers its box, and the data set pools the label map over
it. ``docs/guide/train.md`` describes the complete recipe, CutMix and token labels, ``docs/guide/device-targets.md`` pooling on the
device and sparse targets; ``docs/training.md`` has recipes for other training loops and data loaders.
"""

from .collate import PoolCollate
from .crops import Crop, RandomHorizontalFlip, RandomResizedCrop, remember_crops, report_crop
from .data import CropDataset, LabelMapDataset
from .device_pool import pool, pool_sparse
from .iterable import CropIterable, LabelMapIterable
from .label_maps import CropMaps, LabelMaps
from .loader import TargetLoader
from .mix import CutMix, MixUp
from .sparse_targets import SparseTargets, soft_cross_entropy
from .validation import TeacherClasses

__all__ = [
    "Crop",
    "CropDataset",
    "CropIterable",
    "CropMaps",
    "CutMix",
    "LabelMapDataset",
    "LabelMapIterable",
    "LabelMaps",
    "MixUp",
    "PoolCollate",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "SparseTargets",
    "TargetLoader",
    "TeacherClasses",
    "pool",
    "pool_sparse",
    "remember_crops",
    "report_crop",
    "soft_cross_entropy",
]
