"""From channels to boxes: the arithmetic of every family, for chosen candidates only.

| code | centre | size | after |
|---|---|---|---|
| none | as it is | as it is | |
| grid | (t + cell) x stride | exp(t) x stride | YOLOX, Ge et al. 2021 |
| anchor-square | (2 s - 0.5 + cell) x stride | (2 s)^2 x anchor | YOLOv5 and YOLOv7 |
| anchor-exp | (s + cell) x stride | exp(t) x anchor | YOLOv3, Redmon and Farhadi 2018 |
| prior | prior + t x v0 x prior's size | exp(t x v1) x prior's size | SSD, Liu et al. 2016 |
| distance | the cell's | sides are t, or its expectation, x stride away | FCOS, GFL |
| tanh-sigmoid | (tanh(t) + cell) x stride | sigmoid(t) x input | FastestDet |

t is a channel, s its sigmoid, *cell* counts cells and includes the offset of its centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.detector.candidates import IndexArray, activate, corners
from edgecv_cli.detector.spec import DetectorSpec


@dataclass(frozen=True)
class Places:
    """Where candidates sit: cells and anchors float32 [N, 2] (x, y), strides [N, 1] or [N, 2]."""

    cells: FloatArray
    strides: FloatArray
    anchors: FloatArray

    def take(self, rows: IndexArray) -> Places:
        """Return the places of some candidates."""
        return Places(self.cells[rows], self.strides[rows], self.anchors[rows])

    @staticmethod
    def join(parts: Sequence[Places | None]) -> Places | None:
        """Put places one after the other; None where nothing has any."""
        known = [part for part in parts if part is not None]
        if len(known) < 2:
            return known[0] if known else None
        return Places(
            np.concatenate([part.cells for part in known]),
            np.concatenate([part.strides for part in known]),
            np.concatenate([part.anchors for part in known]),
        )


def box_channels(spec: DetectorSpec) -> int:
    """Return how many channels say one box."""
    return 4 * max(1, spec.reg_max)


@np.errstate(over="ignore", invalid="ignore")
def decode_boxes(raw: NDArray[Any], places: Places | None, spec: DetectorSpec) -> FloatArray:
    """Decode channels [n, 4 or 4 x bins] into x1, y1, x2, y2 in input pixels.

    Args:
        raw: box channels of the chosen candidates.
        places: where they sit; None only for code ``none``.
        spec: code, layout, offsets, bins and variances.
    """
    if spec.code == "none" or places is None:
        return corners(raw, spec.boxes, normalized=spec.normalized, size=spec.input.size)
    values = raw.astype(np.float32)
    cells = places.cells + np.float32(spec.cell_offset)
    if spec.code == "distance":
        return _from_distances(values, cells * places.strides, places.strides, spec.reg_max)
    centres, extents = _centred(values, cells, places, spec)
    return np.concatenate([centres - extents / 2, centres + extents / 2], axis=1)


def _centred(
    values: FloatArray, cells: FloatArray, places: Places, spec: DetectorSpec
) -> tuple[FloatArray, FloatArray]:
    centres, extents = values[:, :2], values[:, 2:4]
    if spec.code == "grid":
        return (centres + cells) * places.strides, np.exp(extents) * places.strides
    if spec.code == "prior":
        shift, grow = (np.float32(part) for part in spec.variances)
        middle = cells * places.strides + centres * shift * places.anchors
        return middle, np.exp(extents * grow) * places.anchors
    if spec.code == "tanh-sigmoid":
        size = np.array(spec.input.size[::-1], np.float32)
        return (np.tanh(centres) + cells) * places.strides, activate(extents, "sigmoid") * size
    centres = activate(centres, spec.activations)
    if spec.code == "anchor-exp":
        return (centres + cells) * places.strides, np.exp(extents) * places.anchors
    extents = activate(extents, spec.activations)
    return (centres * 2 - 0.5 + cells) * places.strides, (extents * 2) ** 2 * places.anchors


def _from_distances(
    values: FloatArray, centres: FloatArray, strides: FloatArray, bins: int
) -> FloatArray:
    if bins:
        values = _expectations(values.reshape(-1, bins)).reshape(-1, 4)
    sides = values * strides
    return np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)


def _expectations(logits: FloatArray) -> FloatArray:
    """Return the mean of 0, 1, 2, ... under the softmax of every row [n, bins]."""
    # bins as the slow axis: numpy's sums over eight neighbours cost three times as much
    columns = np.ascontiguousarray(logits.T)
    weights = np.exp(columns - columns.max(axis=0))
    steps = np.arange(len(weights), dtype=np.float32)
    means: FloatArray = (steps @ weights) / weights.sum(axis=0)
    return means
