"""Anchor boxes at rest: several a cell, any strides, found by how they repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.detector.candidates import corners
from edgecv_cli.detector.spec import BoxLayout

Array = NDArray[Any]


@dataclass(frozen=True)
class PriorBoxes:
    """How boxes at rest lie.

    Attributes:
        layout, normalized: how the four channels say a box.
        moves_x, moves_y: how many candidates differ from the one before in x and in y.
        shapes: distinct widths and heights together.
        span: the largest centre (x, y), in the boxes' own unit.
    """

    layout: BoxLayout
    normalized: bool
    moves_x: int
    moves_y: int
    shapes: int
    span: tuple[float, float]

    def evidence(self, size: tuple[int, int]) -> str:
        """Say what was seen."""
        unit = "0..1" if self.normalized else f"pixels of {size[0]}x{size[1]}"
        columns = {"cxcywh": "cx", "xyxy": "x", "yxyx": "y"}[self.layout]
        return (
            f"with all heads at 0 the boxes are anchors with {self.shapes} sides; x varies "
            f"fastest (it moves {self.moves_x} times, y {self.moves_y}) and column 0 is "
            f"{columns}, centres up to {self.span[0]:.2f}, {self.span[1]:.2f}: "
            f"decoded {self.layout} in {unit}"
        )


def prior_boxes(rest: Array, size: tuple[int, int]) -> PriorBoxes | None:
    """Work out how boxes at rest [4, N] say a box; None if they are no grid of anchors.

    The reading with the fewest distinct sides is right: anchors repeat, corners don't.
    """
    sided = []
    for layout in ("xyxy", "cxcywh"):
        boxes = corners(rest.T, layout, normalized=False, size=size)
        sides = boxes[:, 2:] - boxes[:, :2]
        if sides.min() > 0:
            sided.append((_distinct(sides), layout, boxes))
    if not sided:
        return None
    shapes, layout, boxes = min(sided, key=lambda entry: entry[0])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    first, second = _moves(centres[:, 0]), _moves(centres[:, 1])
    if min(first, second) == 0 or first == second:
        return None
    swapped = first < second
    if swapped and layout == "cxcywh":
        return None
    spans = centres.max(axis=0)[::-1] if swapped else centres.max(axis=0)
    normalized = bool(spans.max() <= 1.5)
    if not normalized and not (size[1] / 2 < spans[0] <= size[1] and size[0] / 2 < spans[1]):
        return None
    return PriorBoxes(
        layout="yxyx" if swapped else ("xyxy" if layout == "xyxy" else "cxcywh"),
        normalized=normalized,
        moves_x=max(first, second),
        moves_y=min(first, second),
        shapes=shapes,
        span=(float(spans[0]), float(spans[1])),
    )


def _distinct(sides: Array) -> int:
    """Count distinct widths and heights [N, 2], rounded to half a percent of the largest."""
    unit = float(sides.max()) / 200
    return sum(len(np.unique(np.round(column / unit))) for column in sides.T)


def _moves(values: Array) -> int:
    """Count how often a value differs from the one before, by more than fp16 rounds."""
    return int((np.abs(np.diff(values)) > np.ptp(values) / 500).sum())
