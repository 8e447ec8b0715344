"""Decoding put into a graph: from a network's outputs to every box and score, before NMS.

What :mod:`edgecv_cli.detector.decoding` does for the few candidates that reach a threshold is
done here for all of them, with operators of ONNX, for targets whose NMS stands in the model. The
formulas are those of :mod:`edgecv_cli.detector.boxcode`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.errors import ModelError, UsageError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.blocks import Columns, anchors_per_cell, build_blocks
from edgecv_cli.detector.boxcode import Places
from edgecv_cli.detector.rows import axis_sizes
from edgecv_cli.detector.spec import Activation, DetectorSpec, OutputSpec, OutputTensor, Role

if TYPE_CHECKING:
    import onnx

    from edgecv_cli.graph.building import Builder

Array = NDArray[Any]


@dataclass(frozen=True)
class Decoded:
    """A graph whose outputs are boxes and scores.

    Attributes:
        model: its outputs are two, float32: boxes [N, 4] as centre x, y, width and height in 0..1
            of the input, and scores [N, classes without background] in 0..1.
        outputs: the two, boxes first.
    """

    model: onnx.ModelProto
    outputs: tuple[TensorSpec, TensorSpec]


def foreground(spec: DetectorSpec) -> tuple[str, ...]:
    """Return the classes that scores of a decoded graph are of: all but the background."""
    return tuple(name for place, name in enumerate(spec.classes) if place != spec.background)


def suppressed_spec(spec: DetectorSpec, boxes: str, scores: str) -> DetectorSpec:
    """Return how what is left by an NMS behind a decoded graph is read.

    Args:
        spec: the original's.
        boxes: output [n, 4], as :class:`Decoded` has them.
        scores: output [n, classes without background].
    """
    tensors = (
        OutputTensor(name=boxes, holds=("boxes",), axes="n,c"),
        OutputTensor(name=scores, holds=("scores",), axes="n,c"),
    )
    return DetectorSpec(
        family="generic",
        input=spec.input,
        outputs=OutputSpec(tensors=tensors),
        classes=foreground(spec),
        boxes="cxcywh",
        normalized=True,
        score_threshold=spec.score_threshold,
        nms_iou=spec.nms_iou,
    )


def decoded(
    model: onnx.ModelProto,
    spec: DetectorSpec,
    outputs: Sequence[TensorSpec],
    *,
    boxes: str,
    scores: str,
) -> Decoded:
    """Return a copy that decodes its outputs.

    Args:
        model: a graph of fixed shapes and batch 1, of operator set 13 or later.
        spec: how its outputs are read.
        outputs: they, as the graph has them.
        boxes, scores: what the new outputs are called.

    Raises:
        UsageError: it selects boxes itself, or takes more than a picture.
        ModelError: the outputs contradict the spec, or are of a batch.
    """
    import onnx

    from edgecv_cli.graph.building import Builder

    _require_dense(spec)
    work = onnx.ModelProto()
    work.CopyFrom(model)
    build = Builder(work.graph, "decode")
    rows = _Rows(build, spec, outputs)
    count = rows.count
    _boxes(build, rows, spec, boxes)
    _scores(build, rows, spec, scores)
    made = (
        TensorSpec(boxes, (count, 4), "float32"),
        TensorSpec(scores, (count, len(foreground(spec))), "float32"),
    )
    del work.graph.output[:]
    work.graph.output.extend(
        onnx.helper.make_tensor_value_info(one.name, onnx.TensorProto.FLOAT, one.shape)
        for one in made
    )
    return Decoded(work, made)


def _require_dense(spec: DetectorSpec) -> None:
    held = {role for tensor in spec.outputs.tensors for role in tensor.holds}
    if held & {"score", "label"}:
        raise UsageError(
            "the model selects boxes itself, so there is nothing to suppress",
            remedy="leave --nms out",
        )
    if spec.extra_inputs:
        names = ", ".join(spec.extra_inputs)
        raise UsageError(f"the model takes {names} beside the picture", remedy="leave --nms out")


class _Rows:
    """What every role's channels are of all candidates: [N, channels], float32.

    Raises:
        ModelError: the outputs contradict the spec.
    """

    def __init__(self, build: Builder, spec: DetectorSpec, outputs: Sequence[TensorSpec]) -> None:
        self._build, self._spec = build, spec
        self._outputs = {output.name: output for output in outputs}
        self._laid: dict[str, tuple[str, int]] = {}
        self._blocks = build_blocks(spec, outputs)
        if len({"objectness" in block.roles for block in self._blocks}) > 1:
            raise ModelError(
                "the spec's outputs give objectness at some strides only",
                remedy="correct `outputs` in --spec",
            )
        self.places = Places.join([block.places for block in self._blocks])
        self.count = sum(self._lay(block.roles["boxes"].tensor)[1] for block in self._blocks)

    def of(self, role: Role) -> str | None:
        """Return a role's tensor; None where no output has it."""
        if role not in self._blocks[0].roles:
            return None
        return self._build.joined([self._one(block.roles[role]) for block in self._blocks], 0)

    def _one(self, where: Columns) -> str:
        laid, count = self._lay(where.tensor)
        begin = where.view * count
        rows = self._build.part(laid, 0, begin, begin + count)
        return self._build.part(rows, 1, where.columns.start, where.columns.stop)

    def _lay(self, tensor: OutputTensor) -> tuple[str, int]:
        """Return an output as [views x rows, channels], and how many rows a view has."""
        if tensor.name not in self._laid:
            self._laid[tensor.name] = self._flat(tensor)
        return self._laid[tensor.name]

    def _flat(self, tensor: OutputTensor) -> tuple[str, int]:
        output = self._outputs[tensor.name]
        shape = [size or 1 for size in output.shape]
        sizes = axis_sizes(shape, tensor.axes, anchors_per_cell(self._spec, tensor))
        if sizes.get("b", 1) != 1:
            raise ModelError(
                f"output {output} is of {sizes['b']} pictures", remedy="export it with batch 1"
            )
        letters = tensor.axes.replace(",", "")
        cells = [letter for letter in letters if letter in "hwn"]
        order = [letter for letter in "ba" if letter in letters] + cells + ["c"]
        count = math.prod(sizes[letter] for letter in cells)
        now = tensor.name
        if output.dtype != "float32":
            now = self._build.op("Cast", now, to=1)
        if order != list(letters):
            now = self._build.reshaped(now, tuple(sizes[letter] for letter in letters))
            now = self._build.op("Transpose", now, perm=[letters.index(one) for one in order])
        return self._build.reshaped(now, (sizes.get("a", 1) * count, sizes["c"])), count


def _boxes(build: Builder, rows: _Rows, spec: DetectorSpec, name: str) -> None:
    raw = rows.of("boxes")
    assert raw is not None
    places = rows.places
    if spec.code == "none" or places is None:
        centre, extent = _as_said(build, raw, spec)
    else:
        centre, extent = _placed(build, raw, places, spec)
    build.op("Concat", centre, extent, axis=1, name=name)


def _as_said(build: Builder, raw: str, spec: DetectorSpec) -> tuple[str, str]:
    """Return centres and sizes [N, 2] in 0..1 of boxes that the network decoded."""
    first, second = (build.part(raw, 1, *ends) for ends in ((0, 2), (2, 4)))
    if spec.boxes != "cxcywh":
        extent = build.op("Sub", second, first)
        first = build.op("Add", first, build.op("Mul", extent, build.real(0.5)))
        second = extent
    if not spec.normalized:
        side = build.real([1 / size for size in _sides(spec)])
        first, second = build.op("Mul", first, side), build.op("Mul", second, side)
    if spec.boxes == "yxyx":
        first, second = (
            build.op("Gather", one, build.constant(np.array([1, 0])), axis=1)
            for one in (first, second)
        )
    return first, second


def _placed(build: Builder, raw: str, places: Places, spec: DetectorSpec) -> tuple[str, str]:
    """Return centres and sizes [N, 2] in 0..1 of what is said around cells and anchors.

    Steps and sizes are divided by the input's while they are constants, so that what is worked
    out in half precision stays near 1.
    """
    whole = np.asarray(_sides(spec), np.float32)
    steps = np.broadcast_to(places.strides, places.cells.shape) / whole
    cells = (places.cells + np.float32(spec.cell_offset)) * steps
    if spec.code == "distance":
        return _from_distances(build, raw, cells, steps, spec)
    t, e = (build.part(raw, 1, *ends) for ends in ((0, 2), (2, 4)))
    anchors = places.anchors / whole
    if spec.code == "grid":
        return _moved(build, t, steps, cells), _scaled(build, build.op("Exp", e), steps)
    if spec.code == "prior":
        shift, grow = spec.variances
        grown = build.op("Exp", build.op("Mul", e, build.real(grow)))
        return _moved(build, t, shift * anchors, cells), _scaled(build, grown, anchors)
    if spec.code == "tanh-sigmoid":
        return _moved(build, build.op("Tanh", t), steps, cells), build.op("Sigmoid", e)
    t = _activated(build, t, spec.activations)
    if spec.code == "anchor-exp":
        return _moved(build, t, steps, cells), _scaled(build, build.op("Exp", e), anchors)
    e = _activated(build, e, spec.activations)
    grown = build.op("Mul", e, e)
    centre = _moved(build, t, 2 * steps, cells - np.float32(0.5) * steps)
    return centre, _scaled(build, grown, 4 * anchors)


def _from_distances(
    build: Builder, raw: str, cells: Array, steps: Array, spec: DetectorSpec
) -> tuple[str, str]:
    if spec.reg_max:
        bins = build.reshaped(raw, (4 * len(cells), spec.reg_max))
        weights = build.op("Softmax", bins, axis=1)
        weighted = build.op("Mul", weights, build.real(np.arange(spec.reg_max)))
        means = build.op("ReduceSum", weighted, build.constant(np.array([1])), keepdims=0)
        raw = build.reshaped(means, (len(cells), 4))
    before, after = (build.part(raw, 1, *ends) for ends in ((0, 2), (2, 4)))
    centre = _moved(build, build.op("Sub", after, before), steps / 2, cells)
    return centre, _scaled(build, build.op("Add", before, after), steps)


def _scores(build: Builder, rows: _Rows, spec: DetectorSpec, name: str) -> None:
    raw, found = rows.of("scores"), rows.of("objectness")
    assert raw is not None
    values = _activated(build, raw, spec.activations)
    if spec.background is not None:
        kept = [place for place in range(len(spec.classes)) if place != spec.background]
        values = build.op("Gather", values, build.constant(np.asarray(kept)), axis=1)
    if found is None:
        build.op("Identity", values, name=name)
        return
    # objectness is one number: a softmax is about the scores
    found = _activated(build, found, "sigmoid" if spec.activations == "sigmoid" else "none")
    found, values = (
        one if power == 1 else build.op("Pow", build.op("Relu", one), build.real(power))
        for one, power in zip((found, values), spec.powers, strict=True)
    )
    build.op("Mul", values, found, name=name)


def _activated(build: Builder, tensor: str, activation: Activation) -> str:
    if activation == "sigmoid":
        return build.op("Sigmoid", tensor)
    return build.op("Softmax", tensor, axis=1) if activation == "softmax" else tensor


def _moved(build: Builder, tensor: str, factor: Array, offset: Array) -> str:
    return build.op("Add", _scaled(build, tensor, factor), build.real(offset))


def _scaled(build: Builder, tensor: str, factor: Array) -> str:
    return build.op("Mul", tensor, build.real(factor))


def _sides(spec: DetectorSpec) -> tuple[int, int]:
    """Return the input's width and height."""
    return spec.input.size[1], spec.input.size[0]
