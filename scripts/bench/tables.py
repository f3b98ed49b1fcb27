"""Numbers and tables for people, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def number(value: float | str) -> str:
    """Formats a value with three significant digits, or as a whole number from 100."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or abs(value) >= 100 or value.is_integer():
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 0.01 else f"{value:.3g}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table. Columns whose head ends in a colon are aligned to the right."""
    rule = ["---:" if head.endswith(":") else "---" for head in heads]
    lines = [[head.removesuffix(":") for head in heads], rule, *([cell(text) for text in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def facts_line(facts: dict[str, str], program: str) -> str:
    """Describes a machine and a program in one sentence."""
    listed = ", ".join(f"{key} {value}" for key, value in facts.items())
    return f"Machine: {listed}{f'; {program}' if program else ''}."
