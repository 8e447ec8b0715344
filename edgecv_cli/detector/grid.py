"""The cells of feature maps at several strides, in the order in which outputs list them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from edgecv_cli.core.boxes import FloatArray

_HALVINGS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_USUAL = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (16,), (8,), (32,))


def cell_count(size: tuple[int, int], strides: Sequence[int]) -> int:
    """Return how many cells maps of these strides have for an input of [height, width]."""
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def grid(
    size: tuple[int, int], strides: Sequence[int], *, even: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Return each cell's index and stride.

    Args:
        size: [height, width] of the input.
        strides: of the levels.
        even: whether a level's cells share the input evenly: where it is no multiple of the
            stride, they are narrower than that.

    Returns:
        float32 [N, 2] as (x, y), x varying fastest, levels in the order of ``strides``; and
        float32 [N, 1], or [N, 2] as (x, y) if ``even``.
    """
    cells, widths = [], []
    for stride in strides:
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.divmod(np.arange(rows * columns), columns)
        cells.append(np.stack([x, y], axis=1))
        step = (size[1] / columns, size[0] / rows) if even else (stride,)
        widths.append(np.tile(step, (rows * columns, 1)))
    return (
        np.concatenate(cells).astype(np.float32),
        np.concatenate(widths).astype(np.float32),
    )


def head_strides(heads: Mapping[str, tuple[int, ...]], size: tuple[int, int]) -> dict[str, int]:
    """Return the stride of every head that is a map [1, C, h, w] of an input of ``size``."""
    found = {
        name: map_stride((shape[2], shape[3]), size)
        for name, shape in heads.items()
        if len(shape) == 4
    }
    return {name: stride for name, stride in found.items() if stride is not None}


def map_stride(cells: tuple[int, int], size: tuple[int, int]) -> int | None:
    """Return the stride that makes so many [rows, columns] of an input of ``size``, or None.

    Several can, where maps are small: networks halve, so a power of two is believed first.
    """
    if min(cells) < 1:
        return None
    rounded = [round(side / count) for side, count in zip(size, cells, strict=True)]
    for stride in (*_HALVINGS, *rounded):
        if stride and cells == (-(-size[0] // stride), -(-size[1] // stride)):
            return stride
    return None


def matching_strides(
    count: int, size: tuple[int, int], found: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """Yield rising sets of strides whose cells number ``count``.

    Args:
        count: candidates of an output.
        size: [height, width] of the input.
        found: strides of the heads; where they are unknown, the usual ones are tried.
    """
    known = sorted(set(found))[:8]
    options = [
        chosen for length in range(len(known), 0, -1) for chosen in combinations(known, length)
    ]
    for strides in options or _USUAL:
        if cell_count(size, strides) == count:
            yield strides
