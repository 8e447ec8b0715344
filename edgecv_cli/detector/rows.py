"""Output tensors as rows: one candidate each, its channels as columns, without a copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def axis_sizes(shape: Sequence[int], axes: str, anchors: int = 1) -> dict[str, int]:
    """Return the size behind every letter of ``axes``.

    Args:
        shape: a tensor's shape.
        axes: as :class:`edgecv_cli.detector.spec.OutputTensor` has them.
        anchors: how many anchors share an axis with something else.

    Raises:
        ValueError: the shape has another number of axes, or one does not split evenly.
    """
    groups = axes.split(",")
    letters = "".join(groups)
    if len(groups) != len(shape) or len(set(letters)) != len(letters) or "c" not in letters:
        raise ValueError(f"a tensor of {len(shape)} axes can't be '{axes}'")
    sizes: dict[str, int] = {}
    for group, size in zip(groups, shape, strict=True):
        if len(group) == 1:
            sizes[group] = size
        elif len(group) == 2 and "a" in group and size % anchors == 0:
            sizes["a"] = anchors
            sizes[group.replace("a", "")] = size // anchors
        else:
            raise ValueError(f"an axis of {size} can't be '{group}' of {anchors} anchors")
    return sizes


def rows_of(array: Array, axes: str, anchors: int = 1) -> list[Array]:
    """Lay a tensor out as rows.

    Args:
        array: any output.
        axes: its axes, as in :func:`axis_sizes`; without ``b`` it is one image's.
        anchors: how many anchors share an axis with something else.

    Returns:
        Views [B, N, C]: one an anchor where anchors have an axis, else one. Cells follow each
        other as their axes do in the tensor.

    Raises:
        ValueError: the shape does not fit the axes.
    """
    split, order, views = _plan(array.shape, axes, anchors)
    moved = array.reshape(split).transpose(order)
    if "b" not in axes:
        moved = moved[None]
    if views is None:
        return [_flat(moved)]
    return [_flat(moved[:, index]) for index in range(views)]


@lru_cache(maxsize=256)  # a network's few shapes come again with every image
def _plan(
    shape: tuple[int, ...], axes: str, anchors: int
) -> tuple[tuple[int, ...], tuple[int, ...], int | None]:
    """Return how to split a shape, in which order to put its parts, and how many views it has."""
    sizes = axis_sizes(shape, axes, anchors)
    letters = axes.replace(",", "")
    cells = [letter for letter in letters if letter in "hwn"]
    order = [letter for letter in "ba" if letter in letters] + cells + ["c"]
    split = tuple(sizes[letter] for letter in letters)
    return split, tuple(letters.index(letter) for letter in order), sizes.get("a")


def _flat(array: Array) -> Array:
    """[B, cells..., C] as [B, N, C]; neighbouring cell axes merge without a copy."""
    return array.reshape(array.shape[0], math.prod(array.shape[1:-1]), array.shape[-1])
