"""Transforms of training that are not a ``Compose``, as in torchvision's reference."""

import torch


class ClassificationPresetTrain:
    """A random resized crop of version 1 or 2, of images or tensors."""

    def __init__(self, crop_size, backend="pil", use_v2=False):
        if use_v2:
            import torchvision.transforms.v2 as T
        else:
            import torchvision.transforms as T
        first = [T.PILToTensor()] if backend == "tensor" else []
        last = [] if backend == "tensor" else [T.PILToTensor()]
        crop = T.RandomResizedCrop(crop_size, antialias=True)
        convert = T.ToDtype(torch.float32, scale=True) if use_v2 else T.ConvertImageDtype(torch.float32)
        normalize = T.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        self.transforms = T.Compose([*first, crop, T.RandomHorizontalFlip(0.5), *last, convert, normalize])

    def __call__(self, image):
        return self.transforms(image)
