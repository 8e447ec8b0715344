"""Decoding and non-maximum suppression put into a graph, so that rows of boxes come out of it.

What is found is what :mod:`edgecv_cli.detector.nms` finds with the best class of each box: scores
of the other classes are 0 before suppression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.ingraph import decoded, foreground
from edgecv_cli.detector.spec import DetectorSpec, OutputSpec, OutputTensor

if TYPE_CHECKING:
    import onnx

    from edgecv_cli.graph.building import Builder

ROWS = "detections"
COUNT, BOXES, SCORES, LABELS = "num_dets", "det_boxes", "det_scores", "det_classes"
PLUGIN, PLUGIN_DOMAIN = "EfficientNMS_TRT", "TRT"
_DECODED_BOXES, _DECODED_SCORES = "decoded_boxes", "decoded_scores"


@dataclass(frozen=True)
class Suppression:
    """What the graph does to decoded boxes.

    Attributes:
        score: a box goes if its score is not above this, 0..1.
        iou: a box goes if its IoU with a better one of its class is above this.
        limit: rows that come out, padded with boxes of score 0.
    """

    score: float
    iou: float
    limit: int


def with_rows(
    model: onnx.ModelProto, spec: DetectorSpec, outputs: Sequence[TensorSpec], how: Suppression
) -> tuple[onnx.ModelProto, DetectorSpec]:
    """Return a copy that ends in ONNX's NonMaxSuppression, and how it is read.

    It gives float32 [1, limit, 6]: x1, y1, x2, y2 in pixels of the input, score, class index of
    the original; by falling score.

    Args:
        model: a graph of fixed shapes and batch 1, of operator set 13 or later.
        spec: how its outputs are read.
        outputs: they, as the graph has them.
        how: thresholds.

    Raises:
        UsageError, ModelError: as :func:`edgecv_cli.detector.ingraph.decoded`.
    """
    import onnx

    work, build, corners, scores = _begun(model, spec, outputs)
    by_class = build.op("Unsqueeze", build.op("Transpose", scores, perm=[1, 0]), _axes(build, 0))
    chosen = build.op(
        "NonMaxSuppression",
        build.op("Unsqueeze", corners, _axes(build, 0)),
        by_class,
        build.constant(np.array([how.limit], np.int64)),
        build.real([how.iou]),
        build.real([how.score]),
    )
    kind, place = (
        build.op("Squeeze", build.part(chosen, 1, at, at + 1), _axes(build, 1)) for at in (1, 2)
    )
    kept = [at for at in range(len(spec.classes)) if at != spec.background]
    label = build.op("Gather", build.real(kept), kind)
    score = build.op("GatherND", by_class, chosen)
    columns = [build.op("Unsqueeze", one, _axes(build, 1)) for one in (score, label)]
    rows = build.joined([build.op("Gather", corners, place), *columns], 1)
    padded = build.joined([rows, build.real(np.zeros((how.limit, 6)))], 0)
    best = _first(build, work, padded, how.limit)
    build.op("Unsqueeze", build.op("Gather", padded, best), _axes(build, 0), name=ROWS)
    _ends(work, [(ROWS, onnx.TensorProto.FLOAT, (1, how.limit, 6))])
    table = OutputTensor(name=ROWS, holds=("boxes", "score", "label"), axes="b,n,c")
    return work, _spec(spec, how, (table,), spec.classes, spec.background)


def with_plugin(
    model: onnx.ModelProto, spec: DetectorSpec, outputs: Sequence[TensorSpec], how: Suppression
) -> tuple[onnx.ModelProto, DetectorSpec]:
    """Return a copy that ends in TensorRT's EfficientNMS plugin, and how it is read.

    It gives num_dets int32 [1, 1], det_boxes float32 [1, limit, 4] in pixels of the input,
    det_scores float32 [1, limit] and det_classes int32 [1, limit], which count the classes without
    the background (plugin/efficientNMSPlugin of TensorRT).

    Raises:
        UsageError, ModelError: as :func:`with_rows`, which says what is given.
    """
    import onnx

    work, build, corners, scores = _begun(model, spec, outputs)
    boxes, best = (build.op("Unsqueeze", one, _axes(build, 0)) for one in (corners, scores))
    node = onnx.helper.make_node(
        PLUGIN,
        [boxes, best],
        [COUNT, BOXES, SCORES, LABELS],
        name="nms",
        domain=PLUGIN_DOMAIN,
        plugin_version="1",
        background_class=-1,
        max_output_boxes=how.limit,
        score_threshold=how.score,
        iou_threshold=how.iou,
        score_activation=0,
        class_agnostic=0,
        box_coding=0,
    )
    work.graph.node.append(node)
    work.opset_import.append(onnx.helper.make_opsetid(PLUGIN_DOMAIN, 1))
    whole, real = onnx.TensorProto.INT32, onnx.TensorProto.FLOAT
    _ends(
        work,
        [
            (COUNT, whole, (1, 1)),
            (BOXES, real, (1, how.limit, 4)),
            (SCORES, real, (1, how.limit)),
            (LABELS, whole, (1, how.limit)),
        ],
    )
    parts = (
        OutputTensor(name=BOXES, holds=("boxes",), axes="b,n,c"),
        OutputTensor(name=SCORES, holds=("score",), axes="b,n"),
        OutputTensor(name=LABELS, holds=("label",), axes="b,n"),
        OutputTensor(name=COUNT, holds=("count",), axes="b,c"),
    )
    return work, _spec(spec, how, parts, foreground(spec), None)


def _begun(
    model: onnx.ModelProto, spec: DetectorSpec, outputs: Sequence[TensorSpec]
) -> tuple[onnx.ModelProto, Builder, str, str]:
    """Return a decoded copy, its corners [N, 4] in pixels and scores [N, C] of the best class."""
    from edgecv_cli.graph.building import Builder

    work = decoded(model, spec, outputs, boxes=_DECODED_BOXES, scores=_DECODED_SCORES).model
    build = Builder(work.graph, "nms")
    sides = build.real([spec.input.size[1], spec.input.size[0]])
    centre, extent = (
        build.op("Mul", build.part(_DECODED_BOXES, 1, *ends), sides) for ends in ((0, 2), (2, 4))
    )
    half = build.op("Mul", extent, build.real(0.5))
    corners = build.joined([build.op("Sub", centre, half), build.op("Add", centre, half)], 1)
    best = build.op("ArgMax", _DECODED_SCORES, axis=1, keepdims=1)
    known = build.constant(np.arange(len(foreground(spec)))[None])
    mine = build.op("Cast", build.op("Equal", best, known), to=1)
    return work, build, corners, build.op("Mul", _DECODED_SCORES, mine)


def _first(build: Builder, work: onnx.ModelProto, rows: str, limit: int) -> str:
    """Return the indices of the rows of the best scores, in their order."""
    import onnx

    score = build.op("Squeeze", build.part(rows, 1, 4, 5), _axes(build, 1))
    node = onnx.helper.make_node(
        "TopK",
        [score, build.constant(np.array([limit], np.int64))],
        ["nms_best_scores", "nms_best_rows"],
        name="nms_best",
        axis=0,
    )
    work.graph.node.append(node)
    return "nms_best_rows"


def _axes(build: Builder, axis: int) -> str:
    return build.constant(np.array([axis], np.int64))


def _ends(work: onnx.ModelProto, outputs: Sequence[tuple[str, int, tuple[int, ...]]]) -> None:
    import onnx

    del work.graph.output[:]
    work.graph.output.extend(onnx.helper.make_tensor_value_info(*one) for one in outputs)


def _spec(
    spec: DetectorSpec,
    how: Suppression,
    tensors: tuple[OutputTensor, ...],
    classes: tuple[str, ...],
    background: int | None,
) -> DetectorSpec:
    return DetectorSpec(
        family="end2end",
        input=spec.input,
        outputs=OutputSpec(tensors=tensors),
        classes=classes,
        background=background,
        boxes="xyxy",
        score_threshold=max(spec.score_threshold, how.score),
        nms_iou=1.0,
    )
