"""Classifiers of timm, torchvision and transformers as ONNX files with teacher cards: ``relabel export-teacher``.

    from relabel.export_teacher import NetworkOptions, create_classifier

    classifier = create_classifier(NetworkOptions("resnet50", random_weights=True, input_size=(224, 224)))
    scores = classifier.module(pixels)      # as the exported file computes them

PyTorch and the libraries are imported only when a classifier is created.
"""

from .classifier import Classifier, create_classifier
from .options import ExportOptions, NetworkOptions

__all__ = ["Classifier", "ExportOptions", "NetworkOptions", "create_classifier"]
