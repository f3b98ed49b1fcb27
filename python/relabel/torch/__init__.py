"""Label maps in PyTorch. A training script for ImageNet changes three lines:

    transform = v2.Compose([relabel.torch.RandomResizedCrop(224), v2.RandomHorizontalFlip(), ...])      # 1: returns its box
    dataset = relabel.torch.LabelMapDataset(ImageFolder(root, transform), relabel.open("labels/"))      # 2: pools the box
    for images, targets, boxes in loader: loss = cross_entropy(model(images), targets)                  # 3: soft targets

``docs/guide/train.md`` describes the complete recipe, CutMix, token labels, timm, DALI and FFCV.
"""

from .crops import Crop, OnImage, RandomHorizontalFlip, RandomResizedCrop
from .data import CropDataset, LabelMapDataset, PoolCollate
from .device_pool import pool, pool_sparse
from .label_maps import LabelMaps
from .mix import CutMix, MixUp
from .sparse_targets import SparseTargets, soft_cross_entropy

__all__ = [
    "Crop",
    "CropDataset",
    "CutMix",
    "LabelMapDataset",
    "LabelMaps",
    "MixUp",
    "OnImage",
    "PoolCollate",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "SparseTargets",
    "pool",
    "pool_sparse",
    "soft_cross_entropy",
]
