"""What each operator's own constants become when channels leave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from edgecv_cli.compress.pruning.attributes import attribute, selected
from edgecv_cli.compress.pruning.flow import Flow, Mask


class Cutter(ABC):
    """What the rules read, and where they write."""

    flow: Flow

    @abstractmethod
    def keep(self, tensor: str) -> tuple[int, Mask] | None:
        """Return the axis of a tensor's channels and which of them stay; None where all do."""

    @abstractmethod
    def value(self, node: onnx.NodeProto, index: int) -> NDArray[Any] | None:
        """Return a stored operand of a node as it was."""

    @abstractmethod
    def replace(self, node: onnx.NodeProto, index: int, value: NDArray[Any]) -> None:
        """Give a node an operand of its own."""


Cut = Callable[[Cutter, onnx.NodeProto], None]


def _kept(value: NDArray[Any], axis: int, mask: Mask) -> NDArray[Any]:
    return np.compress(mask, value, axis=axis)


def _take(work: Cutter, node: onnx.NodeProto, index: int, axis: int, mask: Mask) -> None:
    value = work.value(node, index)
    if value is not None:
        work.replace(node, index, _kept(value, axis, mask))


def _conv(work: Cutter, node: onnx.NodeProto) -> None:
    weight = work.value(node, 1)
    data, made = work.keep(node.input[0]), work.keep(node.output[0])
    if weight is None or (data is None and made is None):
        return
    groups = attribute(node, "group", 1)
    outer, inner = (data, made) if node.op_type == "ConvTranspose" else (made, data)
    if outer is not None:
        weight = weight[outer[1]]
    if data is not None and groups > 1 and len(data[1]) == groups:  # depthwise
        _set(node, "group", int(data[1].sum()))
    elif inner is not None:  # the same positions of each group
        weight = _kept(weight, 1, inner[1][: len(inner[1]) // groups])
    work.replace(node, 1, weight)
    if made is not None:
        _take(work, node, 2, 0, made[1])


def _gemm(work: Cutter, node: onnx.NodeProto) -> None:
    columns = 0 if attribute(node, "transB", 0) else 1
    _product(work, node, columns)
    made = work.keep(node.output[0])
    bias = work.value(node, 2)
    if made is not None and bias is not None and bias.ndim and bias.shape[-1] > 1:
        work.replace(node, 2, _kept(bias, bias.ndim - 1, made[1]))


def _matmul(work: Cutter, node: onnx.NodeProto) -> None:
    rank = len(work.flow.topology.shapes[node.output[0]])
    made = work.keep(node.output[0])
    if made is None or made[0] == rank - 1:
        _product(work, node, 1)


def _product(work: Cutter, node: onnx.NodeProto, columns: int) -> None:
    weight = work.value(node, 1)
    data, made = work.keep(node.input[0]), work.keep(node.output[0])
    if weight is None or (data is None and made is None):
        return
    if data is not None:
        weight = _kept(weight, 1 - columns, data[1])
    if made is not None:
        weight = _kept(weight, columns, made[1])
    work.replace(node, 1, weight)


def _elementwise(work: Cutter, node: onnx.NodeProto) -> None:
    made = work.keep(node.output[0])
    if made is None:
        return
    axis, mask = made
    behind = len(work.flow.topology.shapes[node.output[0]]) - axis
    for index in range(len(node.input)):
        value = work.value(node, index)
        if value is not None and value.ndim >= behind and value.shape[-behind] > 1:
            work.replace(node, index, _kept(value, value.ndim - behind, mask))


def _on_channels(work: Cutter, node: onnx.NodeProto) -> None:
    made = work.keep(node.output[0])
    if made is not None:
        for index in range(1, len(node.input)):
            _take(work, node, index, 0, made[1])


def _split(work: Cutter, node: onnx.NodeProto) -> None:
    data = work.keep(node.input[0])
    rank = len(work.flow.topology.shapes[node.input[0]])
    if data is None or attribute(node, "axis", 0) % rank != data[0]:
        return
    ends = np.cumsum([len(work.flow.channels[output].labels) for output in node.output])
    parts = np.split(data[1], ends[:-1])
    work.replace(node, 1, np.asarray([part.sum() for part in parts], np.int64))
    _drop(node, "split", "num_outputs")


def _slice(work: Cutter, node: onnx.NodeProto) -> None:
    data = work.keep(node.input[0])
    if data is None:
        return
    axis, mask = data
    taken = selected(work.flow.topology, node, axis, len(mask))
    if taken is None:
        return
    positions, place = taken
    if place is None:
        return
    new = np.cumsum(mask) - 1
    left = np.asarray([new[one] for one in positions if mask[one]], np.int64)
    if abs(positions.step) > 1:  # what stays need not be evenly spaced
        _become_gather(work, node, axis, left)
        return
    end = int(left[-1]) + positions.step
    _write(work, node, 1, place, int(left[0]))
    _write(work, node, 2, place, end if end >= 0 else np.iinfo(np.int64).min)


def _write(work: Cutter, node: onnx.NodeProto, index: int, place: int, number: int) -> None:
    value = work.value(node, index)
    assert value is not None
    changed = value.astype(np.int64).ravel()
    changed[place] = number
    work.replace(node, index, changed)
    for other in (1, 2, 3, 4):  # all of one type, which int32 may not be
        rest = work.value(node, other)
        if other != index and rest is not None and rest.dtype != np.int64:
            work.replace(node, other, rest.astype(np.int64))


def _become_gather(
    work: Cutter, node: onnx.NodeProto, axis: int, indices: NDArray[np.int64]
) -> None:
    work.replace(node, 1, indices)
    del node.input[2:]
    del node.attribute[:]
    node.op_type = "Gather"
    node.attribute.append(helper.make_attribute("axis", axis))


def _gather(work: Cutter, node: onnx.NodeProto) -> None:
    data, indices = work.keep(node.input[0]), work.value(node, 1)
    if data is None or indices is None:
        return
    axis, mask = data
    rank = len(work.flow.topology.shapes[node.input[0]])
    if attribute(node, "axis", 0) % rank == axis:
        new = np.cumsum(mask) - 1
        whole = indices % len(mask)
        work.replace(node, 1, new[whole[mask[whole]]].astype(np.int64))


def _reshape(work: Cutter, node: onnx.NodeProto) -> None:
    made, shape = work.keep(node.output[0]), work.value(node, 1)
    if made is None or shape is None or node.op_type != "Reshape":
        return
    axis, mask = made
    if shape[axis] > 0:
        changed = shape.copy()
        changed[axis] = mask.sum()
        work.replace(node, 1, changed)


def _resize(work: Cutter, node: onnx.NodeProto) -> None:
    made, sizes = work.keep(node.output[0]), work.value(node, 3)
    if made is not None and sizes is not None and attribute(node, "axes") is None:
        changed = sizes.copy()
        changed[made[0]] = made[1].sum()
        work.replace(node, 3, changed)


def _set(node: onnx.NodeProto, name: str, value: int) -> None:
    if attribute(node, name, 1) != value:
        _drop(node, name)
        node.attribute.append(helper.make_attribute(name, value))


def _drop(node: onnx.NodeProto, *names: str) -> None:
    left = [one for one in node.attribute if one.name not in names]
    del node.attribute[:]
    node.attribute.extend(left)


CUTS: dict[str, Cut] = {
    **dict.fromkeys(("Conv", "ConvTranspose"), _conv),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu"), _elementwise),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _on_channels),
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Reshape": _reshape,
    "Resize": _resize,
}
