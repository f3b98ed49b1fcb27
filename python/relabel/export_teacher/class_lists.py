"""The classes of a network's outputs: ``imagenet-1k``, the lines of a class list, or None if unknown."""

from __future__ import annotations

from typing import Any

from timm.data import ImageNetInfo, infer_imagenet_subset

Classes = str | list[str] | None


def timm_classes(module: Any, config: dict[str, Any]) -> Classes:
    """Returns the classes of published weights of timm. Lines of a list are an id, and after a tab its name."""
    labels = config.get("label_names")
    if labels and len(labels) == module.num_classes:
        if list(labels) == ImageNetInfo().label_names():
            return "imagenet-1k"
        named = config.get("label_descriptions") or {}
        return [f"{label}\t{named[label]}" if label in named else label for label in labels]
    subset: str | None = infer_imagenet_subset({"num_classes": module.num_classes})
    if subset is None or subset == "imagenet-1k":
        return subset
    info = ImageNetInfo(subset)
    return [f"{info.index_to_label_name(index)}\t{info.index_to_description(index)}" for index in range(module.num_classes)]


def named_classes(config: Any) -> Classes:
    """Returns the classes that a configuration of transformers names."""
    count: int = config.num_labels
    names = [" ".join(str(config.id2label.get(index, "")).split()) for index in range(count)]
    if not any(names) or names == [f"LABEL_{index}" for index in range(count)]:
        return default_classes(count)
    info = ImageNetInfo()
    described = [_plain_name(info.index_to_description(index)) for index in range(1000)]
    if names == info.label_names() or [_plain_name(name) for name in names] == described:
        return "imagenet-1k"
    # A class list has no empty and no repeated lines.
    unique = all(names) and len(set(names)) == count
    return names if unique else [f"{index}\t{name or f'class {index}'}" for index, name in enumerate(names)]


def default_classes(count: int) -> str | None:
    """Returns ``imagenet-1k`` for 1000 classes."""
    return "imagenet-1k" if count == 1000 else None


def _plain_name(name: str) -> str:
    return name.split(",")[0].strip().lower()
