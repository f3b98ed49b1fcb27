"""A training script with the structure of timm's ``train.py``, for the diff of ``docs/training.md``. Only the lines around its
changes are timm's."""

import argparse
import logging

import torch
import yaml
from timm.data import FastCollateMixup, Mixup, create_dataset, create_loader
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

parser = argparse.ArgumentParser()
group = parser.add_argument_group('Dataset parameters')
group.add_argument('--data-dir', metavar='DIR',
                   help='path to dataset (root dir)')
group.add_argument('--train-num-samples', type=int)
group.add_argument('--dataset-trust-remote-code', action='store_true')
group.add_argument('--batch-size', type=int, default=128)
group.add_argument('--num-classes', type=int, default=1000)
group.add_argument('--img-size', type=int, default=224)
group.add_argument('--no-prefetcher', action='store_true')
group.add_argument('--no-aug', action='store_true')
group.add_argument('--train-crop-mode')
group.add_argument('--smoothing', type=float, default=0.1)
group.add_argument('--mixup', type=float, default=0.0)
group.add_argument('--cutmix', type=float, default=0.0)


def main():
    args = parser.parse_args()
    logging.getLogger('train').info(yaml.safe_dump(vars(args)))
    dataset_train = create_dataset(
        '',
        root=args.data_dir,
        split='train',
        is_training=True,
        batch_size=args.batch_size,
        num_samples=args.train_num_samples,
        trust_remote_code=args.dataset_trust_remote_code,
    )

    mixup_fn = None
    collate_fn = None
    mixup_active = args.mixup > 0 or args.cutmix > 0.
    if mixup_active:
        mixup_args = dict(  # noqa: C408
            mixup_alpha=args.mixup,
            cutmix_alpha=args.cutmix,
            label_smoothing=args.smoothing,
            num_classes=args.num_classes
        )
        if args.no_prefetcher:
            mixup_fn = Mixup(**mixup_args)
        else:
            collate_fn = FastCollateMixup(**mixup_args)
    loader_train = create_loader(
        dataset_train,
        input_size=(3, args.img_size, args.img_size),
        batch_size=args.batch_size,
        is_training=True,
        no_aug=args.no_aug,
        train_crop_mode=args.train_crop_mode,
        color_jitter=0.,
        interpolation='bilinear',
        num_workers=0,
        collate_fn=collate_fn,
        use_prefetcher=not args.no_prefetcher,
        device=torch.device('cpu'),
    )
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, args.num_classes))
    if mixup_active:
        train_loss_fn = SoftTargetCrossEntropy()
    elif args.smoothing:
        train_loss_fn = LabelSmoothingCrossEntropy(smoothing=args.smoothing)
    else:
        train_loss_fn = torch.nn.CrossEntropyLoss()
    for input, target in loader_train:
        if mixup_fn is not None:
            input, target = mixup_fn(input, target)
        train_loss_fn(model(input), target).backward()


if __name__ == '__main__':
    main()
