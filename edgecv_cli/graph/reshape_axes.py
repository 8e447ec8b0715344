"""What an axis is made of, so that a new input size can be followed through reshapes.

A flattened map is height times width, and candidates of several levels are a sum of such products.
Both are lost in a plain number: 8400 says nothing, 80 x 80 + 40 x 40 + 20 x 20 does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """A size that stays whole, at the old and at the new input size.

    Attributes:
        old, new: elements.
        parts: of what was concatenated, the axis of each part; empty for anything else.
    """

    old: int
    new: int
    parts: tuple[Axis, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether the new input size changes it, or a part of it."""
        return self.old != self.new or bool(self.parts)


Axis = tuple[Extent, ...]
"""A product of extents, slowest first; empty is 1."""
Axes = tuple[Axis, ...]


def plain(old: int, new: int) -> Axis:
    """Return an axis of which only the size is known."""
    return (Extent(old, new),)


def old_size(axis: Axis) -> int:
    """Return an axis's elements at the old input size."""
    return math.prod(extent.old for extent in axis)


def new_size(axis: Axis) -> int:
    """Return an axis's elements at the new input size."""
    return math.prod(extent.new for extent in axis)


def old_shape(axes: Axes) -> tuple[int, ...]:
    """Return a tensor's shape at the old input size."""
    return tuple(old_size(axis) for axis in axes)


def new_shape(axes: Axes) -> tuple[int, ...]:
    """Return a tensor's shape at the new input size."""
    return tuple(new_size(axis) for axis in axes)


def changes(axis: Axis) -> bool:
    """Whether the new input size changes an axis."""
    return any(extent.changes for extent in axis)


def regroup(axes: Axes, target: Sequence[int]) -> Axes | None:
    """Follow a row-major reshape to a shape at the old input size.

    Returns:
        The new tensor's axes; None where a size that changes would be split, or can't be told.
    """
    if not any(changes(axis) for axis in axes):
        return tuple(plain(size, size) for size in target)
    if tuple(target) == old_shape(axes):
        return axes
    extents = [extent for axis in axes for extent in axis if extent.changes or extent.old > 1]
    if any(extent.old == 1 for extent in extents):
        return None  # one cell may go into any axis, and would show only at the new size
    found = []
    for size in target:
        axis = _take(extents, size)
        if axis is None:
            return None
        found.append(axis)
    return None if extents else tuple(found)


def _take(queue: list[Extent], size: int) -> Axis | None:
    taken: list[Extent] = []
    left = size
    while left > 1:
        if not queue:
            return None
        extent = queue.pop(0)
        if left % extent.old == 0:
            taken.append(extent)
            left //= extent.old
        elif not extent.changes and extent.old % left == 0:
            taken.append(Extent(left, left))
            queue.insert(0, Extent(extent.old // left, extent.old // left))
            left = 1
        else:
            return None
    return tuple(taken)


def joined(parts: Sequence[Axis]) -> Axis:
    """Return the axis of a concatenation."""
    old, new = sum(map(old_size, parts)), sum(map(new_size, parts))
    if not any(changes(part) for part in parts):
        return plain(old, new)
    flat: list[Axis] = []
    for part in parts:
        flat.extend(part[0].parts if len(part) == 1 and part[0].parts else (part,))
    return (Extent(old, new, tuple(flat)),)


def levels(axis: Axis) -> tuple[Axis, ...]:
    """Return the parts of an axis: those of a concatenation, or the axis itself."""
    return axis[0].parts if len(axis) == 1 and axis[0].parts else (axis,)


def moved(axis: Axis, bound: int) -> int | None:
    """Return where a bound inside an axis comes to lie; None where it cuts a part in two."""
    old = new = 0
    for part in levels(axis):
        if bound == old:
            return new
        old, new = old + old_size(part), new + new_size(part)
    return new if bound == old else None


def between(axis: Axis, start: int, end: int) -> Axis:
    """Return the axis of what lies between two bounds that :func:`moved` takes."""
    found, place = [], 0
    for part in levels(axis):
        if start <= place < end:
            found.append(part)
        place += old_size(part)
    return found[0] if len(found) == 1 else joined(found)
