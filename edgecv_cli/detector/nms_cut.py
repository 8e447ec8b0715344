"""Non-maximum suppression taken out of a graph, so that every box and score comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.detector.ingraph import foreground
from edgecv_cli.detector.nms_in_graph import PLUGIN
from edgecv_cli.detector.spec import BoxLayout, DetectorSpec, OutputSpec, OutputTensor

if TYPE_CHECKING:
    import onnx

    from edgecv_cli.graph.building import Builder

BOXES, SCORES = "boxes", "scores"  # unless these names are taken
_NODE = "NonMaxSuppression"
_REMEDY = "export the model without NMS"


@dataclass(frozen=True)
class Cut:
    """A graph that ends before its NMS.

    Attributes:
        model: it gives boxes float32 [1, N, 4] and scores float32 [1, classes, N], where classes
            count as the original's do.
        readings: how it may be read, likeliest first. ONNX's NMS takes two opposite corners in
            any order and of any unit, so that the graph alone does not tell.
    """

    model: onnx.ModelProto
    readings: tuple[DetectorSpec, ...]


def without_nms(model: onnx.ModelProto, spec: DetectorSpec) -> Cut:
    """Return a copy that ends in what its NMS takes.

    What stands behind NMS goes, and so does what the graph did to the boxes there.

    Args:
        model: a graph of fixed shapes and batch 1, of operator set 13 or later.
        spec: how its outputs are read.

    Raises:
        UsageError: it has no NMS.
        ModelError: it has several, TensorRT's, or one that does not know the classes.
    """
    from edgecv_cli.graph.building import Builder
    from edgecv_cli.graph.expose import exposed
    from edgecv_cli.graph.normalise import normalise

    node = _the_node(model)
    work = normalise(exposed(model, list(node.input[:2])))  # drops what stood behind
    boxes, scores = (_shape(value) for value in work.graph.output)
    if boxes[:1] != (1,) or boxes[2:] != (4,) or len(scores) != 3 or scores[2] != boxes[1]:
        raise ModelError(f"NMS {node.name!r} takes {boxes} and {scores}", remedy=_REMEDY)
    fed = _still_fed(work, spec)
    build = Builder(work.graph, "uncut")
    names = (
        _named(build, node.input[0], BOXES),
        _named(build, _as_original(build, node.input[1], scores[1], spec), SCORES),
    )
    _end(work, names, (boxes, (1, len(spec.classes), boxes[1])))
    iou = _number(model, node, 3)
    return Cut(work, tuple(_readings(fed, names, node, iou)))


def _the_node(model: onnx.ModelProto) -> onnx.NodeProto:
    nodes: list[onnx.NodeProto] = list(model.graph.node)
    if any(node.op_type == PLUGIN for node in nodes):
        raise ModelError(
            "the model's NMS is TensorRT's plugin, which nothing here runs, so that what is left "
            "without it can't be held against it",
            remedy=_REMEDY,
        )
    found = [node for node in nodes if node.op_type == _NODE]
    if not found:
        raise UsageError("the model has no NMS to take out", remedy="leave --nms none out")
    if len(found) > 1:
        names = ", ".join(node.name or node.output[0] for node in found[:3])
        raise ModelError(
            f"the model has {len(found)} NMS: {names}{', ...' if len(found) > 3 else ''}",
            remedy=_REMEDY,
        )
    return found[0]


def _still_fed(work: onnx.ModelProto, spec: DetectorSpec) -> DetectorSpec:
    """Drop inputs beside the picture that were for what stood behind NMS."""
    read = {name for node in work.graph.node for name in node.input}
    gone = set(spec.extra_inputs) - read
    kept = [value for value in work.graph.input if value.name not in gone]
    del work.graph.input[:]
    work.graph.input.extend(kept)
    left = {name: fed for name, fed in spec.extra_inputs.items() if name not in gone}
    return spec.replace(extra_inputs=left)


def _as_original(build: Builder, scores: str, count: int, spec: DetectorSpec) -> str:
    """Return scores of as many classes as the original has; a background that NMS lacks is 0."""
    if count == len(spec.classes):
        return scores
    if spec.background is None or count != len(foreground(spec)):
        raise ModelError(
            f"NMS knows {count} classes and the detector {len(spec.classes)}, so a class is found "
            "elsewhere",
            remedy=_REMEDY,
        )
    none = build.op("Mul", build.part(scores, 1, 0, 1), build.real(0))
    parts = [(0, spec.background), (spec.background, count)]
    before, after = ([build.part(scores, 1, *ends)] if ends[1] > ends[0] else [] for ends in parts)
    return build.joined([*before, none, *after], 1)


def _named(build: Builder, tensor: str, wanted: str) -> str:
    """Return a tensor under the wanted name, or under its own where that is taken."""
    try:
        return build.op("Identity", tensor, name=wanted)
    except ValueError:
        return tensor


def _end(work: onnx.ModelProto, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> None:
    import onnx

    del work.graph.output[:]
    work.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in zip(names, shapes, strict=True)
    )


def _readings(
    spec: DetectorSpec, names: tuple[str, str], node: onnx.NodeProto, iou: float | None
) -> list[DetectorSpec]:
    centred = any(one.name == "center_point_box" and one.i for one in node.attribute)
    layouts: tuple[BoxLayout, ...] = ("cxcywh",) if centred else ("xyxy", "yxyx")
    tensors = (
        OutputTensor(name=names[0], holds=("boxes",), axes="b,n,c"),
        OutputTensor(name=names[1], holds=("scores",), axes="b,c,n"),
    )
    return [
        DetectorSpec(
            family="generic",
            input=spec.input,
            extra_inputs=spec.extra_inputs,
            outputs=OutputSpec(tensors=tensors),
            classes=spec.classes,
            background=spec.background,
            boxes=layout,
            normalized=normalized,
            score_threshold=spec.score_threshold,
            **({} if iou is None else {"nms_iou": iou}),
        )
        for layout in layouts
        for normalized in (False, True)
    ]


def _number(model: onnx.ModelProto, node: onnx.NodeProto, place: int) -> float | None:
    """Return a threshold that stands in the graph, within 0..1; None where it is worked out."""
    import onnx

    name = node.input[place] if len(node.input) > place else ""
    stored = {one.name: one for one in model.graph.initializer}
    if name not in stored:
        return None
    values = np.asarray(onnx.numpy_helper.to_array(stored[name])).ravel()
    return float(values[0]) if values.size == 1 and 0 < values[0] <= 1 else None


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
