"""A training script with the structure of torchvision's ``references/classification/train.py``, for the diff of
``docs/training.md``. Only the lines around its changes are torchvision's."""

import argparse
import os
import time

import presets
import torch
import torchvision
from torch.utils.data.dataloader import default_collate
from torchvision.transforms import v2


def load_data(traindir, args):
    st = time.time()
    dataset = torchvision.datasets.ImageFolder(
        traindir, presets.ClassificationPresetTrain(args.train_crop_size, args.backend, args.use_v2)
    )
    print("Took", time.time() - st)

    print("Loading validation data")
    return dataset, torch.utils.data.RandomSampler(dataset)


def main(args):
    dataset, train_sampler = load_data(os.path.join(args.data_path, "train"), args)
    num_classes = len(dataset.classes)
    collate_fn = default_collate
    if args.mixup_alpha > 0 or args.cutmix_alpha > 0:
        mix = v2.RandomChoice([v2.MixUp(num_classes=num_classes), v2.CutMix(num_classes=num_classes)])
        collate_fn = lambda batch: mix(*default_collate(batch))  # noqa: E731
    loader = torch.utils.data.DataLoader(dataset, args.batch_size, sampler=train_sampler, collate_fn=collate_fn)
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, num_classes))
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)
    for image, target in loader:
        output = model(image)
        criterion(output, target).backward()
        ids = target.argmax(1) if target.ndim == 2 else target
        print("acc1", float((output.argmax(1) == ids).float().mean()))


def get_args_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-path", default="/datasets01/imagenet_full_size/061417/", type=str, help="dataset path")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--train-crop-size", type=int, default=224)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--mixup-alpha", type=float, default=0.0)
    parser.add_argument("--cutmix-alpha", type=float, default=0.0)
    parser.add_argument("--backend", default="PIL", type=str.lower)
    parser.add_argument("--use-v2", action="store_true")
    return parser


if __name__ == "__main__":
    main(get_args_parser().parse_args())
