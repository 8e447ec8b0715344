"""What is fed while something is timed: numbers that tell nothing make times that tell nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW = 64  # [[height, width]] and the like are rightly one number twice
_HEAD = 1024

Feeds = Mapping[str, NDArray[Any]]


def zero_inputs(feeds: Feeds | Sequence[Feeds]) -> str | None:
    """Return a warning if an input holds zeros alone, or one number throughout; else None.

    Such an input can make every activation zero: what is sparse, skips, or depends on what is
    found (NMS in the graph) then takes another time than on pictures. A single number, such as a
    threshold, is meant so, and so are a few equal ones that are not zero, such as a size.

    Args:
        feeds: arrays by input name, or several sets of them; an input is named only if it is
            constant in every set.
    """
    sets = [feeds] if isinstance(feeds, Mapping) else list(feeds)
    names = sets[0] if sets else {}
    constant = [
        f"'{name}' ({number})"
        for name in names
        if (number := _one_number([one[name] for one in sets])) is not None
    ]
    if not constant:
        return None
    return (
        f"fed with nothing but one number: {', '.join(constant)}; a network that finds nothing can "
        "be faster or slower than on pictures: do not use the times before a run on real inputs"
    )


def _one_number(arrays: Sequence[NDArray[Any]]) -> str | None:
    first = arrays[0]
    if first.size < 2:
        return None
    number = first.flat[0]
    if (number and first.size < _FEW) or not all(_holds_only(one, number) for one in arrays):
        return None
    return "zeros" if not number else f"{number} throughout"


def _holds_only(values: NDArray[Any], number: Any) -> bool:
    # The first rows of a picture nearly always differ, and the rest need not be read.
    flat = values.reshape(-1)
    return bool(np.all(flat[:_HEAD] == number)) and bool(np.all(flat == number))
