"""The decoder of boxes that the graph selected itself: thresholds, padding, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.blocks import output_of
from edgecv_cli.detector.candidates import best, corners, detections
from edgecv_cli.detector.spec import DetectorSpec, OutputTensor, Role

Array = NDArray[Any]
_WIDTHS: Mapping[Role, int] = {"boxes": 4}
_MOST_IMAGES = 4096  # of a batch; a row of a later one, or of none, is padding


class SelectionDecoder:
    """Decodes rows of box, score and label, each a detection; those below it all are padding.

    Args:
        spec: a detector's spec whose outputs hold ``boxes``, ``score`` and ``label``, and maybe
            ``image`` (the index of the image in the batch) and ``count`` (rows an image).
        outputs: the outputs of the network that runs.

    Raises:
        ModelError: the outputs contradict the spec.
    """

    def __init__(self, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> None:
        self._spec = spec
        held = {role for tensor in spec.outputs.tensors for role in tensor.holds}
        missing = [role for role in ("boxes", "score", "label") if role not in held]
        if missing:
            raise ModelError(
                f"the spec's outputs give no {' and no '.join(missing)}",
                remedy="correct `outputs` in --spec",
            )
        named = {output.name: output for output in outputs}
        for tensor in spec.outputs.tensors:
            _check(tensor, named)

    def candidates(
        self,
        outputs: Mapping[str, Array],
        *,
        threshold: float,
        multi_label: bool,  # noqa: ARG002 - the graph has chosen
        limit: int,
    ) -> list[Detections]:
        """See :class:`edgecv_cli.detector.heads.base.Decoder`.

        Where rows say themselves which image they are of, images after the last with a row are
        not in the answer.
        """
        parts: dict[Role, Array] = {}
        batched = False
        for tensor in self._spec.outputs.tensors:
            batched |= "count" not in tensor.holds and "b" in tensor.axes
            parts.update(_columns(tensor, outputs[tensor.name]))
        images = self._images(parts, batched=batched)
        return [self._one(parts, index, threshold, limit) for index in images]

    def _images(self, parts: Mapping[Role, Array], *, batched: bool) -> list[NDArray[np.intp]]:
        """Return each image's rows, as indices into all rows one after the other."""
        many, rows = parts["score"].shape[:2]
        every = np.arange(many * rows)
        if "image" in parts:
            said = np.rint(parts["image"].reshape(-1).astype(np.float64))
            of = np.where((said >= 0) & (said < _MOST_IMAGES), said, -1).astype(np.int64)
            return [
                np.flatnonzero(of == image) for image in range(max(1, int(of.max(initial=0)) + 1))
            ]
        counts = parts["count"].reshape(-1).astype(np.int64) if "count" in parts else None
        if counts is None:
            return list(every.reshape(many, rows))
        if batched:
            return [
                every[image * rows : image * rows + max(0, min(rows, int(count)))]
                for image, count in zip(range(many), counts, strict=False)
            ]
        ends = np.clip(np.cumsum(counts), 0, rows)
        return np.split(every, ends)[: len(counts)]

    def _one(
        self, parts: Mapping[Role, Array], rows: NDArray[np.intp], threshold: float, limit: int
    ) -> Detections:
        spec = self._spec
        scores = parts["score"].reshape(-1)[rows].astype(np.float32)
        kept = rows[scores >= threshold]
        labels = np.rint(parts["label"].reshape(-1)[kept].astype(np.float64))
        named = (labels >= 0) & (labels < len(spec.classes))
        if spec.background is not None:
            named &= labels != spec.background
        kept, labels = kept[named], labels[named].astype(np.int64)
        scores = parts["score"].reshape(-1)[kept].astype(np.float32)
        top = best(scores, limit)
        boxes = corners(
            parts["boxes"].reshape(-1, 4)[kept[top]],
            spec.boxes,
            normalized=spec.normalized,
            size=spec.input.size,
        )
        return detections(boxes, scores[top], labels[top])


def _check(tensor: OutputTensor, outputs: Mapping[str, TensorSpec]) -> None:
    found = output_of(tensor, outputs)
    axes = tensor.axes.split(",")
    wanted = sum(_WIDTHS.get(role, 1) for role in tensor.holds)
    if not set(axes) <= {"b", "n", "c"} or len(axes) != len(found.shape):
        raise ModelError(
            f"output {found} can't be rows with the axes '{tensor.axes}'",
            remedy="correct `outputs` in --spec: axes b,n,c or n,c (b,n or n for one column)",
        )
    columns = found.shape[axes.index("c")] if "c" in axes else 1
    if columns not in (None, wanted):
        raise ModelError(
            f"output {found} has {columns} columns, but {', '.join(tensor.holds)} need {wanted}",
            remedy="correct `outputs` in --spec",
        )


def _columns(tensor: OutputTensor, array: Array) -> dict[Role, Array]:
    """Return each role's columns as [B, N, width]."""
    axes = tensor.axes.split(",")
    order = [axes.index(letter) for letter in "bnc" if letter in axes]
    rows = array.transpose(order)
    for place, letter in enumerate("bnc"):
        if letter not in axes:
            rows = np.expand_dims(rows, place)
    columns: dict[Role, Array] = {}
    start = 0
    for role in tensor.holds:
        stop = start + _WIDTHS.get(role, 1)
        columns[role] = rows[..., start:stop]
        start = stop
    return columns
