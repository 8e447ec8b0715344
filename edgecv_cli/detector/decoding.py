"""The decoder that dense heads share: thresholds first, everything else for the few kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, FloatArray
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.blocks import anchors_per_cell, build_blocks
from edgecv_cli.detector.boxcode import Places, decode_boxes
from edgecv_cli.detector.candidates import (
    activate,
    best,
    choose,
    detections,
    raw_threshold,
)
from edgecv_cli.detector.rows import rows_of
from edgecv_cli.detector.spec import Activation, DetectorSpec, Role

Array = NDArray[Any]


class DenseDecoder:
    """Decodes any spec whose outputs hold a fixed number of candidates.

    Args:
        spec: a detector's spec.
        outputs: the outputs of the network that runs.

    Raises:
        ModelError: the outputs contradict the spec.
    """

    def __init__(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> None:
        self._spec = spec
        self._blocks = build_blocks(spec, outputs)
        if len({"objectness" in block.roles for block in self._blocks}) > 1:
            raise ModelError(
                "the spec's outputs give objectness at some strides only",
                remedy="correct `outputs` in --spec",
            )
        sizes = [0 if block.places is None else len(block.places.cells) for block in self._blocks]
        self._starts = np.cumsum([0, *sizes[:-1]])
        self._places = Places.join([block.places for block in self._blocks])
        # objectness is one number: a softmax is about the scores
        self._gate: Activation = "sigmoid" if spec.activations == "sigmoid" else "none"
        ids = [index for index in range(len(spec.classes)) if index != spec.background]
        self._ids = np.asarray(ids, np.int64)
        # a slice is a view; only a background in the middle needs a copy
        together = len(ids) > 0 and ids[-1] - ids[0] == len(ids) - 1
        self._columns: Any = slice(ids[0], ids[-1] + 1) if together else self._ids

    def candidates(
        self,
        outputs: Mapping[str, Array],
        *,
        threshold: float,
        multi_label: bool,
        limit: int,
    ) -> list[Detections]:
        """See :class:`edgecv_cli.detector.heads.base.Decoder`."""
        views = {
            tensor.name: rows_of(
                outputs[tensor.name], tensor.axes, anchors_per_cell(self._spec, tensor)
            )
            for tensor in self._spec.outputs.tensors
        }
        images = len(next(iter(views.values()))[0])
        return [self._one(views, image, threshold, multi_label, limit) for image in range(images)]

    def _one(
        self,
        views: Mapping[str, list[Array]],
        image: int,
        threshold: float,
        multi_label: bool,
        limit: int,
    ) -> Detections:
        raw, scores, found, places = [], [], [], []
        for start, block in zip(self._starts, self._blocks, strict=True):
            parts = {
                role: views[part.tensor.name][part.view][image, :, part.columns]
                for role, part in block.roles.items()
            }
            rows = self._promising(parts, threshold)
            if len(rows):
                raw.append(parts["boxes"][rows])
                scores.append(parts["scores"][rows])
                found.append(self._objectness(parts, rows))
                places.append(rows + start)
        if not raw:
            return Detections.empty()
        boxes, at = _joined(raw), _joined(places)
        values = self._scores(_joined(scores), _joined(found))
        index, classes, chosen = choose(values, threshold=threshold, multi_label=multi_label)
        top = best(chosen, limit)
        picked = index[top]
        where = None if self._places is None else self._places.take(at[picked])
        boxes = decode_boxes(boxes[picked], where, self._spec)
        return detections(boxes, chosen[top], self._ids[classes[top]])

    def _promising(self, parts: Mapping[Role, Array], threshold: float) -> NDArray[np.intp]:
        """Return the rows that may reach the threshold; objectness alone decides if it is there."""
        spec = self._spec
        if "objectness" in parts:
            power = spec.powers[0]
            bar = threshold if power == 1 else threshold ** (1 / power) - 1e-6
            return np.flatnonzero(parts["objectness"][:, 0] >= raw_threshold(bar, self._gate))
        scores = parts["scores"][:, self._columns]
        if spec.activations == "softmax" and spec.background is not None and scores.shape[1] == 1:
            # of two chances, the one is the sigmoid of what it is above the other
            above = scores.astype(np.float32) - parts["scores"][:, [spec.background]]
            return _reaching(above, raw_threshold(threshold, "sigmoid"))
        return _reaching(scores, raw_threshold(threshold, spec.activations))

    def _objectness(self, parts: Mapping[Role, Array], rows: NDArray[np.intp]) -> Array:
        """Return the objectness [n, 1] of some rows, none of them where there is none."""
        if "objectness" in parts:
            return parts["objectness"][rows]
        return np.empty((len(rows), 0), np.float32)

    def _scores(self, raw: Array, objectness: Array) -> FloatArray:
        """Return the scores [n, classes without background] of chosen rows."""
        spec = self._spec
        values = activate(raw, spec.activations)[:, self._columns]
        if not objectness.shape[1]:
            return values
        found = activate(objectness, self._gate)
        if spec.powers == (1.0, 1.0):
            return values * found
        first, second = (np.float32(power) for power in spec.powers)
        product = np.maximum(found, 0) ** first * np.maximum(values, 0) ** second
        return product.astype(np.float32)


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _reaching(scores: Array, bar: float) -> NDArray[np.intp]:
    """Return the rows [N] of scores [N, classes] of which any reaches ``bar``."""
    if bar == -np.inf:
        return np.arange(len(scores))
    if scores.shape[1] == 1:
        return np.flatnonzero(scores[:, 0] >= bar)
    if scores.strides[0] < scores.strides[1]:  # classes are the slow axis: one pass a class
        # over rows of a dense array, which numpy does in half the time of columns of its view
        return np.flatnonzero(scores.T.max(axis=0) >= bar)
    # a row's maximum costs twice as much as finding the few that reach
    rows: NDArray[np.intp] = np.flatnonzero(scores >= bar) // scores.shape[1]
    first = np.ones(len(rows), np.bool_)
    np.not_equal(rows[1:], rows[:-1], out=first[1:])
    return rows[first]
