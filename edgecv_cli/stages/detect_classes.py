"""Which classes detect is told of, by name or index."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from edgecv_cli.core.errors import UsageError


def choose_classes(
    wanted: Sequence[str], class_names: Sequence[str], *, option: str = "--classes"
) -> frozenset[int] | None:
    """Return the indices of classes given by name (any case) or index; None for all.

    Raises:
        UsageError: the model has no such class; the nearest are offered.
    """
    if not wanted:
        return None
    by_name = {name.casefold(): index for index, name in reversed(list(enumerate(class_names)))}
    chosen = set()
    for entry in wanted:
        index = by_name.get(entry.casefold())
        if index is None and entry.isdecimal() and int(entry) < len(class_names):
            index = int(entry)
        if index is None:
            raise UsageError(
                f"{option}: the model has no class {entry!r}", remedy=_nearest(entry, class_names)
            )
        chosen.add(index)
    return frozenset(chosen)


def _nearest(entry: str, class_names: Sequence[str]) -> str:
    if entry.isdecimal():
        return f"give an index from 0 to {len(class_names) - 1}, or a name"
    near = difflib.get_close_matches(entry.casefold(), class_names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    more = ", ..." if len(class_names) > 8 else ""
    return f"it has {len(class_names)} classes: {', '.join(class_names[:8])}{more}"
