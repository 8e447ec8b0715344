"""Prints TensorRT's rules as the table that docs/guides/convert-trt.md holds.

``python -m edgecv_cli.cli.trt_rules docs/guides/convert-trt.md`` puts it there; a test holds that
it is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgecv_cli.graph.tensorrt.rules import RULES, Rule
from edgecv_cli.graph.tensorrt.target import GENERATIONS

_COLUMNS = ("8.6", "10.x", "11.x", "RTX", "DLA")
_MORE = ("`--fix`", "TensorRT-RTX 1.7.1 with a breach", "says")
_HEAD = "| | " + " | ".join(("rule", "asks", *_COLUMNS, *_MORE)) + " |"


def table() -> str:
    """Return the table, in Markdown."""
    rule = "|---" * (_HEAD.count("|") - 1) + "|"
    return "\n".join([_HEAD, rule, *map(_row, RULES)]) + "\n"


def _row(rule: Rule) -> str:
    levels = [rule.levels.get(name) for name in GENERATIONS]
    dla = rule.dla if rule.dla is not None else rule.levels.get("10")
    cells = (
        str(rule.number),
        f"`{rule.name}`",
        rule.asks,
        *(level or "-" for level in (*levels, dla)),
        rule.repair or "-",
        rule.seen,
        rule.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def write(file: Path) -> None:
    """Replace the table in a page."""
    lines = file.read_text(encoding="utf-8").split("\n")
    first = next(index for index, line in enumerate(lines) if line.startswith("| | rule |"))
    last = first
    while last < len(lines) and lines[last].startswith("|"):
        last += 1
    lines[first:last] = table().rstrip("\n").split("\n")
    file.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
