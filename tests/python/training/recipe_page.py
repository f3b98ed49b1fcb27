"""The code of ``docs/training.md``: blocks by section, for tests that run them, and diffs that are applied to scripts."""

import re
from collections.abc import Mapping
from typing import Any

from harness import REPOSITORY

PAGE = (REPOSITORY / "docs/training.md").read_text(encoding="utf-8")

# Sizes of the tests instead of those of ImageNet; one process; no GPU.
SMALL = {
    "batch_size=256": "batch_size=6",
    "num_workers=8": "num_workers=0",
    "num_threads=8": "num_threads=1",
    "RandomResizedCrop(224)": "RandomResizedCrop(32)",
    "size=[224, 224]": "size=[64, 64]",
    "001023": "000001",
    'autocast("cuda"': 'autocast("cpu"',
    "device_id=0": "device_id=None",
    ', device="mixed"': "",
}


def sections() -> dict[str, str]:
    """Returns the text of each section by its heading; that before the first heading as ``""``."""
    first, *others = PAGE.split("\n## ")
    return {"": first} | dict(text.split("\n", 1) for text in others)


def blocks(section: str, language: str = "python") -> list[str]:
    """Returns the code blocks of a section."""
    return re.findall(rf"```{language}\n(.*?)```", sections()[section], re.DOTALL)


def run_blocks(
    section: str, names: dict[str, Any], numbers: slice = slice(None), changes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Runs the blocks that every recipe begins with and those of a section, and returns their names.

    Args:
        section: The heading.
        names: What the blocks use and do not define.
        numbers: The blocks of the section to run.
        changes: Text to replace, in addition to the sizes.
    """
    for code in [*blocks(""), *blocks(section)[numbers]]:
        for printed, used in {**SMALL, **(changes or {})}.items():
            code = code.replace(printed, used)
        exec(compile(code, f"docs/training.md: {section}", "exec"), names)
    return names


def apply_diff(script: str, diff: str) -> str:
    """Returns a script with the changes of a diff, which has no line numbers: the old lines of a hunk must occur once."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = [line or " " for line in hunk.splitlines()]
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] != "+")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] != "-")
        found = re.findall(rf"^{re.escape(old)}", script, re.MULTILINE)
        assert len(found) == 1, f"the lines of a hunk occur {len(found)} times:\n{old}"
        script = re.sub(rf"^{re.escape(old)}", lambda _, new=new: new, script, flags=re.MULTILINE)
    return script
