"""The decoder of anchors that share one row of class scores in every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, FloatArray
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.blocks import output_of
from edgecv_cli.detector.boxcode import Places, decode_boxes
from edgecv_cli.detector.candidates import activate, best, choose, detections, raw_threshold
from edgecv_cli.detector.grid import cell_count, grid
from edgecv_cli.detector.rows import axis_sizes, rows_of
from edgecv_cli.detector.spec import DetectorSpec, OutputTensor, Role

Array = NDArray[Any]


@dataclass(frozen=True)
class _Part:
    tensor: OutputTensor
    columns: slice


@dataclass(frozen=True)
class _Stride:
    parts: Mapping[Role, _Part]
    cells: FloatArray
    stride: int
    anchors: FloatArray


class SharedScoresDecoder:
    """Decodes tensors of [boxes x anchors, objectness x anchors, scores] channels a cell.

    Args:
        spec: a detector's spec; ``activations`` softmax says that nothing is applied yet, to
            boxes and objectness neither.
        outputs: the outputs of the network that runs.

    Raises:
        ModelError: the outputs contradict the spec.
    """

    def __init__(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> None:
        if not spec.anchors:
            raise ModelError(
                f"family {spec.family} needs anchors",
                remedy="give one row of [width, height] pairs per stride in --spec `anchors`",
            )
        raw = spec.activations != "none"
        self._gate: Any = "sigmoid" if raw else "none"
        self._spec = spec
        self._boxes = spec.replace(activations=self._gate)
        named = {output.name: output for output in outputs}
        self._strides = [
            _stride(spec, stride, row, named)
            for stride, row in zip(spec.strides, spec.anchors, strict=True)
        ]

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
            tensor.name: rows_of(outputs[tensor.name], tensor.axes)[0]
            for tensor in self._spec.outputs.tensors
        }
        images = len(next(iter(views.values())))
        return [self._one(views, image, threshold, multi_label, limit) for image in range(images)]

    def _one(
        self,
        views: Mapping[str, Array],
        image: int,
        threshold: float,
        multi_label: bool,
        limit: int,
    ) -> Detections:
        raw, scores, places = [], [], []
        for level in self._strides:
            boxes, found, shared = (
                views[level.parts[role].tensor.name][image, :, level.parts[role].columns]
                for role in ("boxes", "objectness", "scores")
            )
            rows, which = np.nonzero(found >= raw_threshold(threshold, self._gate))
            if not len(rows):
                continue
            raw.append(boxes[rows].reshape(len(rows), -1, 4)[np.arange(len(rows)), which])
            objectness = activate(found[rows, which][:, None], self._gate)
            scores.append(activate(shared[rows], self._spec.activations) * objectness)
            steps = np.full((len(rows), 1), level.stride, np.float32)
            places.append(Places(level.cells[rows], steps, level.anchors[which]))
        if not raw:
            return Detections.empty()
        values = np.concatenate(scores)
        index, classes, chosen = choose(values, threshold=threshold, multi_label=multi_label)
        top = best(chosen, limit)
        at = Places.join(places)
        assert at is not None
        picked = index[top]
        decoded = decode_boxes(np.concatenate(raw)[picked], at.take(picked), self._boxes)
        return detections(decoded, chosen[top], classes[top])


def _stride(
    spec: DetectorSpec,
    stride: int,
    anchors: Sequence[tuple[float, float]],
    outputs: Mapping[str, TensorSpec],
) -> _Stride:
    """Say where one stride's roles lie, held against the outputs."""
    parts: dict[Role, _Part] = {}
    widths = {"boxes": 4 * len(anchors), "objectness": len(anchors), "scores": len(spec.classes)}
    for tensor in spec.outputs.tensors:
        if tensor.stride == stride:
            start = 0
            for role in tensor.holds:
                parts[role] = _Part(tensor, slice(start, start + widths.get(role, 1)))
                start += widths.get(role, 1)
            _check(tensor, outputs, start, cell_count(spec.input.size, (stride,)))
    missing = sorted(set(widths) - set(parts))
    if missing:
        raise ModelError(
            f"the spec's outputs give no {' and no '.join(missing)} at stride {stride}",
            remedy="correct `outputs` in --spec",
        )
    cells = grid(spec.input.size, (stride,))[0]
    return _Stride(parts, cells, stride, np.asarray(anchors, np.float32))


def _check(
    tensor: OutputTensor, outputs: Mapping[str, TensorSpec], channels: int, cells: int
) -> None:
    output = output_of(tensor, outputs)
    try:
        # an open axis is taken as 0, which no network has: it is told from the known ones
        sizes = axis_sizes([size or 0 for size in output.shape], tensor.axes)
    except ValueError as error:
        raise ModelError(
            f"output {output} does not fit the spec: {error}", remedy="correct --spec"
        ) from error
    rows = int(np.prod([sizes[letter] for letter in "hwn" if letter in sizes]))
    if sizes["c"] not in (0, channels) or rows not in (0, cells):
        raise ModelError(
            f"output {output} has {sizes['c']} channels of {rows} cells; the spec's anchors and "
            f"classes at stride {tensor.stride} make {channels} of {cells}",
            remedy="correct `classes` or `anchors` in --spec",
        )
