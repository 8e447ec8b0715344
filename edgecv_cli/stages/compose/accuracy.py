"""Average precision class by class."""

from __future__ import annotations

from collections.abc import Mapping

from edgecv_cli.report.blocks import Bar, Bars, Block, Change, Changes, Paragraph
from edgecv_cli.stages.compose.writing import fixed, plural, signed

_OPEN = 12
_NOISE = (
    "A class with few objects moves by whole points through one detection: its count stands "
    "beside it."
)


def class_changes(
    before: Mapping[str, float] | None,
    after: Mapping[str, float] | None,
    objects: Mapping[str, int] | None,
    sides: tuple[str, str],
) -> list[Block]:
    """Return every class's AP before and after, the worst drop first; nothing without labels."""
    if not before or not after:
        return []
    names = sorted(
        before.keys() & after.keys(), key=lambda name: (after[name] - before[name], name)
    )
    changes = tuple(
        Change(
            name,
            before[name],
            after[name],
            f"{before[name]:.3f} → {after[name]:.3f}",
            _joined(
                signed(100 * (after[name] - before[name]), 1, " points"), _count(name, objects)
            ),
        )
        for name in names
    )
    return [
        Changes("mAP50-95 by class, the largest drop first", sides, changes, _OPEN),
        Paragraph(_NOISE, muted=True),
    ]


def class_bars(per_class: Mapping[str, float], objects: Mapping[str, int] | None) -> list[Block]:
    """Return every class's AP, the lowest first."""
    if not per_class:
        return []
    names = sorted(per_class, key=lambda name: (per_class[name], name))
    bars = tuple(
        Bar(name, per_class[name], _joined(fixed(per_class[name]), _count(name, objects)))
        for name in names
    )
    return [
        Bars("mAP50-95 by class, the lowest first", bars, _OPEN),
        Paragraph(_NOISE, muted=True),
    ]


def _count(name: str, objects: Mapping[str, int] | None) -> str:
    return plural(objects[name], "object") if objects and name in objects else ""


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
