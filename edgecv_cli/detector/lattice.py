"""Boxes at rest held against the anchors of a grid: which order, layout, unit and sizes fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.detector.anchors import Anchors, anchor_words
from edgecv_cli.detector.candidates import corners
from edgecv_cli.detector.grid import cell_count, grid, matching_strides
from edgecv_cli.detector.probing import LAYOUTS
from edgecv_cli.detector.spec import BoxLayout

Array = NDArray[Any]

_CELL_TOLERANCE = 0.15  # of a cell: above rounding in fp16, far below half a cell
_SIDE_TOLERANCE = 0.03  # of a side: what fp16 rounds a corner of a large image by
_MAX_ANCHORS = 9


@dataclass(frozen=True)
class AnchorLattice:
    """Boxes that at rest are the anchors of every cell.

    Attributes:
        layout, normalized: how the four channels say a box.
        strides: in the order in which the levels follow each other.
        anchors: per stride, widths and heights at rest in pixels.
        anchors_first: whether all cells of one anchor come before those of the next.
    """

    layout: BoxLayout
    normalized: bool
    strides: tuple[int, ...]
    anchors: Anchors
    anchors_first: bool

    def evidence(self, size: tuple[int, int]) -> str:
        """Say what was seen."""
        unit = "0..1" if self.normalized else f"pixels of {size[0]}x{size[1]}"
        order = "/".join(str(stride) for stride in self.strides)
        first = "anchor by anchor" if self.anchors_first else "cell by cell"
        return (
            f"with all heads at 0 the boxes sit at the middle of their cells, {first}, strides "
            f"{order}, {len(self.anchors[0])} anchors a cell of {anchor_words(self.anchors)}: "
            f"decoded {self.layout} in {unit}"
        )


def anchored_strides(
    candidates: int, size: tuple[int, int], found: Sequence[int]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the numbers of anchors (2 to 9) and the strides whose cells x anchors are so many."""
    for many in range(2, _MAX_ANCHORS + 1):
        if candidates % many == 0:
            for strides in matching_strides(candidates // many, size, found):
                yield many, strides


def anchor_lattice(
    rest: Array, many: int, strides: tuple[int, ...], size: tuple[int, int]
) -> AnchorLattice | None:
    """Work out how boxes at rest [4, N] are anchors; None if they are not ``many`` a cell."""
    if cell_count(size, strides) < 2:  # on a single cell anything sits
        return None
    for order, first in product(dict.fromkeys((strides, strides[::-1])), (True, False)):
        for layout, normalized in product(LAYOUTS, (False, True)):
            boxes = corners(rest.T, layout, normalized=normalized, size=size)
            anchors = _anchors(boxes, many, order, size, first)
            if anchors is not None:
                return AnchorLattice(layout, normalized, order, anchors, first)
    return None


def _anchors(
    boxes: FloatArray, many: int, strides: tuple[int, ...], size: tuple[int, int], first: bool
) -> Anchors | None:
    """Return the sizes of boxes [N, 4] by level and anchor; None if they differ between cells."""
    rows, start = [], 0
    for stride in strides:
        count = many * cell_count(size, (stride,))
        part = boxes[start : start + count]
        cells = part.reshape((many, -1, 4) if first else (-1, many, 4))
        cells = cells if first else cells.transpose(1, 0, 2)
        start += count
        centres = (cells[..., :2] + cells[..., 2:]) / 2 / stride - grid(size, (stride,))[0]
        sides = cells[..., 2:] - cells[..., :2]
        usual = sides.mean(axis=1, keepdims=True)
        same = np.abs(sides - usual).max() <= _SIDE_TOLERANCE * usual.min()
        if not same or usual.min() <= 0 or np.abs(centres - 0.5).max() > _CELL_TOLERANCE:
            return None
        rows.append(tuple((float(wide), float(tall)) for wide, tall in usual[:, 0]))
    return tuple(rows)
