"""Runs the Python code of docs/label-pooling.md on the golden boxes: LabelPooling must equal torchvision's to 1e-5.

    check_label_pooling.py docs/label-pooling.md tests/data/golden/lite0.npz
"""
import re
import sys
from pathlib import Path

import numpy as np

text = Path(sys.argv[1]).read_text(encoding="utf-8")
code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "def label_pooling" in block)
names: dict = {}
exec(code, names)
golden = np.load(sys.argv[2])
worst = max(
    np.abs(names["label_pooling"](scores, classes, box, 1000) - target).max()
    for scores, classes, boxes, targets in zip(golden["scores"], golden["classes"], golden["boxes"], golden["targets"], strict=True)
    for box, target in zip(boxes, targets, strict=True)
)
print(f"largest difference: {worst:.1e}")
sys.exit(not worst <= 1e-5)
