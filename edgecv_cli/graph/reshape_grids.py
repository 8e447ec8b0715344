"""Grids, anchors and strides that an exporter baked, made again for another input size.

A baked constant goes on along a map either unchanged (strides, anchor sizes) or in equal steps
(the centres of cells). Both are read off the numbers themselves, axis by axis, and continued; a
constant that does neither is refused. What is said as a part of the picture keeps its size in
pixels: a network finds objects of the same size in pixels, whatever the size of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.graph.reshape_axes import (
    Axes,
    Axis,
    Extent,
    changes,
    levels,
    new_size,
    old_size,
)

Array = NDArray[np.float64]
_TOLERANCE = 2e-4  # of a step, for each cell
_ROUNDING = 1e-6  # of the largest number: float32
_ROUGH = 0.15  # of a cell, as where a detector is recognised
_EVEN = 0.03
_PART_OF_PICTURE = 0.75  # a step of a cell is 1 or more in cells or pixels, 1/2 or less in parts


class UnfollowedError(Exception):
    """A baked constant that can't be continued; the message says why."""


def steps_of(values: NDArray[np.generic], axes: Axes) -> list[float]:
    """Return the sizes of all steps from cell to cell that a baked constant makes."""
    found: list[float] = []
    for block, extents in _blocks(values.astype(np.float64), axes):
        for place, extent in enumerate(extents):
            if extent.changes and extent.old > 1:
                step = np.abs(_step(block, place)[1])
                found.extend(float(one) for one in np.unique(step[step > 0]))
    return found


def parts_of_picture(steps: Sequence[float]) -> bool:
    """Whether steps are in parts of the picture, rather than in cells or pixels."""
    return bool(steps) and max(steps) < _PART_OF_PICTURE


def continued(values: NDArray[np.generic], axes: Axes) -> NDArray[np.generic]:
    """Return a baked constant, in cells or pixels, at the new input size.

    Args:
        values: the constant, as it broadcasts against a tensor of ``axes``.
        axes: of the constant; at most one is a concatenation of levels.

    Raises:
        UnfollowedError: numbers go on neither unchanged nor in equal steps.
    """
    blocks = _blocks(values.astype(np.float64), axes)
    done = [_grown(block, extents) for block, extents in blocks]
    return _together(done, axes).astype(values.dtype)


def continued_in_parts(
    values: NDArray[np.generic], axes: Axes, shrink: tuple[float, float]
) -> NDArray[np.generic]:
    """Return a baked constant that is in parts of the picture.

    Centres share the picture evenly at both sizes. Sides of anchors stay as many pixels, since
    what a network was trained to find has those; what is one number all over stays.

    Args:
        values, axes: as for :func:`continued`.
        shrink: old height and width by the new ones.

    Raises:
        UnfollowedError: as there; or sides of anchors where both ratios differ.
    """
    whole = values.astype(np.float64)
    for place, axis in enumerate(axes):
        if not changes(axis) and old_size(axis) > 1:
            columns = [
                continued_in_parts(np.take(values, [n], axis=place), _only(axes, place), shrink)
                for n in range(old_size(axis))
            ]
            return np.concatenate(columns, axis=place)
    if steps_of(values, axes):
        done = [_shared(block, extents) for block, extents in _blocks(whole, axes)]
        return _together(done, axes).astype(values.dtype)
    grown = continued(whole, axes).astype(np.float64)
    if np.ptp(whole) == 0:
        return grown.astype(values.dtype)
    if shrink[0] != shrink[1]:
        raise UnfollowedError(
            "it holds sides in parts of the picture, and height and width change differently"
        )
    return (grown * shrink[0]).astype(values.dtype)


def _only(axes: Axes, place: int) -> Axes:
    return (*axes[:place], (Extent(1, 1),), *axes[place + 1 :])


def _together(done: Sequence[NDArray[np.generic]], axes: Axes) -> NDArray[np.generic]:
    joint = _joint(axes)
    shapes = [_shape(axes, joint, part) for part in levels(axes[joint])]
    blocks = [block.reshape(shape) for block, shape in zip(done, shapes, strict=True)]
    return np.concatenate(blocks, axis=joint)


def _joint(axes: Axes) -> int:
    """Return the axis that holds several levels, else the first that changes."""
    several = [place for place, axis in enumerate(axes) if len(levels(axis)) > 1]
    if len(several) > 1:
        raise UnfollowedError("two of its axes hold several levels")
    return (several or [place for place, axis in enumerate(axes) if changes(axis)] or [0])[0]


def _blocks(values: Array, axes: Axes) -> Iterator[tuple[Array, list[Extent]]]:
    """Yield a constant level by level, with one axis per extent."""
    joint = _joint(axes)
    start = 0
    for part in levels(axes[joint]):
        stop = start + old_size(part)
        extents = [
            extent
            for place, axis in enumerate(axes)
            for extent in (part if place == joint else axis)
        ]
        if any(extent.parts for extent in extents):
            raise UnfollowedError("its levels are nested")
        block = np.take(values, range(start, stop), axis=joint)
        yield block.reshape([extent.old for extent in extents]), extents
        start = stop


def _shape(axes: Axes, joint: int, part: Axis) -> list[int]:
    return [new_size(part if place == joint else axis) for place, axis in enumerate(axes)]


def _step(block: Array, place: int) -> tuple[Array, Array]:
    """Return what an axis starts at and the step that it makes; refuse unequal steps.

    Numbers that were rounded when they were baked (int8 tables) are fitted by least squares.
    """
    line = np.moveaxis(block, place, 0)
    count = np.arange(len(line)).reshape(-1, *[1] * (line.ndim - 1))
    first: Array = line[0]
    step: Array = (line[-1] - line[0]) / (len(line) - 1)
    exact = _TOLERANCE * len(line) * np.abs(step) + _ROUNDING * float(np.abs(line).max())
    if (np.abs(line - first - step * count) <= exact).all():
        return first, np.where(np.abs(step) * len(line) <= exact, 0.0, step)
    middle = (len(line) - 1) / 2
    step = ((count - middle) * line).sum(axis=0) / ((count - middle) ** 2).sum()
    first = line.mean(axis=0) - step * middle
    if (np.abs(line - first - step * count) > _ROUGH * np.abs(step)).any():
        raise UnfollowedError("its numbers go neither unchanged nor in equal steps over the cells")
    return first, step


def _grown(block: Array, extents: Sequence[Extent]) -> Array:
    for place, extent in enumerate(extents):
        if extent.old == extent.new:
            continue
        if extent.old == 1:
            raise UnfollowedError("a level of one cell does not show how it goes on")
        first, step = _step(block, place)
        ramp = np.arange(extent.new).reshape(-1, *[1] * first.ndim)
        block = np.moveaxis(first + step * ramp, 0, place)
    return block


def _shared(block: Array, extents: Sequence[Extent]) -> Array:
    """Return centres that share the picture evenly, at the new number of cells."""
    for place, extent in enumerate(extents):
        if extent.old == extent.new:
            continue
        if extent.old == 1:
            raise UnfollowedError("a level of one cell does not show how it goes on")
        first, step = _step(block, place)
        if (step[step != 0] * extent.old < 1 - _EVEN).any() or (
            step * extent.old > 1 + _EVEN
        ).any():
            raise UnfollowedError("its cells do not share the picture evenly")
        ramp = np.arange(extent.new).reshape(-1, *[1] * first.ndim)
        centres = (first * extent.old + ramp) / extent.new
        block = np.moveaxis(np.where(step != 0, centres, first), 0, place)
    return block
