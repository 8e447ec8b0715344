"""What single operators become when their input is pixels rather than normalised channels.

A network's channel i is ``gain[i] * raw[order[i]] + shift[i]``. Each function here takes an
operator that reads such channels and returns what it must hold to read the raw ones and still
give what it gave, or refuses. Padding is why a shift is not always folded: around its input a
convolution has zeros, which stand for the mean and not for black pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

Array = NDArray[Any]
_SPATIAL_ONLY = frozenset({"Identity", "Dropout"})
_AFFINE = frozenset({"Mul", "Div", "Add", "Sub"})
_BYTES = frozenset(
    {"Identity", "Slice", "Concat", "Transpose", "QuantizeLinear", "DequantizeLinear"}
)
_LARGEST_BIAS, _LARGEST_BYTE = 2**31 - 1, 255
_WHOLE = 1e-6


class CannotFoldError(Exception):
    """An operator can't take the raw channels; says which and why."""


@dataclass(frozen=True)
class Channels:
    """What stands between a tensor as the network knows it and as it is computed from pixels.

    Attributes:
        axis: of the channels.
        rank: of the tensor.
        order: per channel of the network, which raw channel it is made of.
        gain, shift: per channel of the network, float64 [C].
        raw_bytes: whether the raw tensor is uint8.
        coarser: the step of the grid that a byte replaced, in steps of a byte.
    """

    axis: int
    rank: int
    order: Array
    gain: Array
    shift: Array
    raw_bytes: bool = False
    coarser: float = 1.0

    def plain(self) -> Channels:
        """Return the same order, with nothing left to be scaled or shifted."""
        ones = np.ones_like(self.gain)
        return replace(self, gain=ones, shift=np.zeros_like(ones))

    def raw(self, values: Array) -> Array:
        """Put values per channel of the network into the order of the raw channels."""
        out = np.empty_like(values)
        out[self.order] = values
        return out

    def spread(self, values: Array) -> Array:
        """Shape values per channel so that they broadcast over the tensor."""
        shape = [1] * self.rank
        shape[self.axis] = len(values)
        return values.reshape(shape)

    def same_as(self, other: Channels) -> bool:
        """Whether two tensors stand for the network's in one way."""
        mine, theirs = (
            (one.axis, one.order.tolist(), one.gain.tolist(), one.shift.tolist(), one.coarser)
            for one in (self, other)
        )
        return mine == theirs


@dataclass
class Folding:
    """A graph being looked at, and what would have to be stored anew.

    Attributes:
        constants: every stored tensor.
        restored: tensors that a DequantizeLinear makes of stored integers for one reader: its
            index and itself.
        seen: tensors made of raw channels.
        edits: (node's index, input's index) to the array to store there.
        skipped: indices of nodes whose output is their first input from now on.
    """

    constants: Mapping[str, Array]
    restored: Mapping[str, tuple[int, onnx.NodeProto]]
    seen: dict[str, Channels] = field(default_factory=dict)
    edits: dict[tuple[int, int], Array] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)

    def through(self, index: int, node: onnx.NodeProto) -> None:
        """Take a node that reads raw channels.

        Raises:
            CannotFoldError: what it computes would not stay the same.
        """
        rule = _RULES.get(node.op_type)
        if rule is None or node.domain not in ("", "ai.onnx"):
            raise CannotFoldError(f"{node.op_type} reads the picture")
        held = any(self.seen[name].raw_bytes for name in node.input if name in self.seen)
        if held and node.op_type not in _BYTES:
            raise CannotFoldError(f"{node.op_type} takes no bytes")
        made = rule(self, index, node)
        if made is not None:
            self.seen[node.output[0]] = made

    def constant(self, node: onnx.NodeProto, index: int) -> Array | None:
        """Return a stored input of a node; None where it has none.

        Raises:
            CannotFoldError: it is computed.
        """
        if len(node.input) <= index or not node.input[index]:
            return None
        value = self.constants.get(node.input[index])
        if value is None:
            raise CannotFoldError(f"{node.op_type} computes its parameters")
        return value


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return an operator's attributes as Python values."""
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _data(folding: Folding, node: onnx.NodeProto) -> Channels:
    if any(name in folding.seen for name in node.input[1:]):
        raise CannotFoldError(f"{node.op_type} takes the picture as a parameter")
    return folding.seen[node.input[0]]


def _unchanged(folding: Folding, _index: int, node: onnx.NodeProto) -> Channels:
    return _data(folding, node)


def _slice(folding: Folding, _index: int, node: onnx.NodeProto) -> Channels:
    state = _data(folding, node)
    told = attributes(node)
    if "starts" in told:
        axes = told.get("axes", range(len(told["starts"])))
    else:
        starts, given = folding.constant(node, 1), folding.constant(node, 3)
        assert starts is not None
        axes = range(starts.size) if given is None else given.ravel().tolist()
    if any(axis % state.rank == state.axis for axis in axes):
        raise CannotFoldError("Slice takes the channels apart")
    return state


def _concat(folding: Folding, _index: int, node: onnx.NodeProto) -> Channels:
    parts = [folding.seen.get(name) for name in node.input]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        raise CannotFoldError("Concat joins the picture with something else")
    first = known[0]
    if len({part.coarser for part in known}) > 1:
        raise CannotFoldError("Concat joins pictures of different grids")
    axis = int(attributes(node)["axis"]) % first.rank
    if any(part.axis != first.axis for part in known):
        raise CannotFoldError("Concat joins pictures of different layouts")
    if axis != first.axis:
        if not all(part.same_as(first) for part in known):
            raise CannotFoldError("Concat joins pictures of different values")
        return first
    starts = np.cumsum([0, *(len(part.order) for part in known)])
    return replace(
        first,
        order=np.concatenate([p.order + at for p, at in zip(known, starts, strict=False)]),
        gain=np.concatenate([part.gain for part in known]),
        shift=np.concatenate([part.shift for part in known]),
    )


def _space_to_depth(folding: Folding, _index: int, node: onnx.NodeProto) -> Channels:
    state = _data(folding, node)
    if state.axis != 1:
        raise CannotFoldError("SpaceToDepth over another axis")
    blocks = int(attributes(node)["blocksize"]) ** 2
    size = len(state.order)
    return replace(
        state,
        order=np.concatenate([state.order + at * size for at in range(blocks)]),
        gain=np.tile(state.gain, blocks),
        shift=np.tile(state.shift, blocks),
    )


def _transpose(folding: Folding, _index: int, node: onnx.NodeProto) -> Channels:
    state = _data(folding, node)
    turned = list(attributes(node).get("perm", range(state.rank)[::-1]))
    return replace(state, axis=turned.index(state.axis))


def _pad(folding: Folding, _index: int, node: onnx.NodeProto) -> Channels:
    state = _data(folding, node)
    told = attributes(node)
    pads = told.get("pads")
    if pads is None:
        stored = folding.constant(node, 1)
        assert stored is not None
        pads = stored.ravel().tolist()
    value = folding.constant(node, 2) if "value" not in told else np.asarray(told["value"])
    if len(pads) != 2 * state.rank or pads[state.axis] or pads[state.axis + state.rank]:
        raise CannotFoldError("Pad adds channels")
    constant = told.get("mode", b"constant") == b"constant"
    if constant and (np.any(state.shift) or (value is not None and np.any(value))):
        raise CannotFoldError("Pad sets values in the network's own scale")
    return state


def _affine(folding: Folding, index: int, node: onnx.NodeProto) -> Channels:
    """Multiply or add numbers per channel; a shift ends at an addition."""
    if node.input[0] not in folding.seen or node.input[1] in folding.seen:
        raise CannotFoldError(f"{node.op_type} takes the picture as a parameter")
    state = folding.seen[node.input[0]]
    stored = folding.constant(node, 1)
    assert stored is not None
    shape = [1] * (state.rank - stored.ndim) + list(stored.shape)
    count = len(state.order)
    if stored.ndim > state.rank or any(
        size != 1 and (axis != state.axis or size != count) for axis, size in enumerate(shape)
    ):
        raise CannotFoldError(f"{node.op_type} has numbers for more than the channels")
    values = np.broadcast_to(stored.astype(np.float64).ravel(), (count,))
    if node.op_type in ("Mul", "Div"):
        folding.edits[index, 1] = state.spread(state.raw(values))
        shift = state.shift * values if node.op_type == "Mul" else state.shift / values
        return replace(state, shift=shift)
    sign = 1.0 if node.op_type == "Add" else -1.0
    moved = sign * (state.shift + sign * values) / state.gain
    folding.edits[index, 1] = state.spread(state.raw(moved))
    return replace(state, shift=np.zeros_like(state.shift))


def _batch_norm(folding: Folding, index: int, node: onnx.NodeProto) -> Channels:
    state = _data(folding, node)
    if state.axis != 1 or len(node.output) != 1:
        raise CannotFoldError("BatchNormalization over another axis, or in training")
    for at in (1, 2, 3, 4):
        stored = folding.constant(node, at)
        assert stored is not None
        values = stored.astype(np.float64)
        if at == 1:
            values = values * state.gain
        elif at == 3:
            values = (values - state.shift) / state.gain
        folding.edits[index, at] = state.raw(values)
    return state.plain()


def _conv(folding: Folding, index: int, node: onnx.NodeProto) -> None:
    state = _data(folding, node)
    quantized = folding.restored.get(node.input[1])
    at, holder, place = (index, node, 1) if quantized is None else (*quantized, 0)
    stored = folding.constant(holder, place)
    assert stored is not None
    groups = int(attributes(node).get("group", 1))
    if state.axis != 1 or len(state.order) != groups * stored.shape[1]:
        raise CannotFoldError("a convolution over another axis")
    if quantized is not None:
        _require_order_alone(folding, state, holder)
    outputs, inputs = stored.shape[:2]
    group_of = np.repeat(np.arange(groups), outputs // groups)
    channels = group_of[:, None] * inputs + np.arange(inputs)  # of the network, [O, I]
    if np.any(state.order[channels] // inputs != group_of[:, None]):
        raise CannotFoldError("a grouped convolution parts the channels in their own order")
    weight = stored if quantized is not None else stored.astype(np.float64)
    kernel = (1,) * (weight.ndim - 2)
    if np.any(state.shift):
        _shift_bias(folding, index, node, weight, state.shift[channels])
    if quantized is None:
        weight = weight * state.gain[channels].reshape(outputs, inputs, *kernel)
    moved = np.empty_like(weight)
    places = (state.order[channels] % inputs).reshape(outputs, inputs, *kernel)
    np.put_along_axis(moved, np.broadcast_to(places, weight.shape), weight, axis=1)
    if not np.array_equal(moved, stored):
        folding.edits[at, place] = moved
    _rescale_bias(folding, node, state.coarser)


def _require_order_alone(folding: Folding, state: Channels, holder: onnx.NodeProto) -> None:
    """Refuse what integer weights can't take: they hold their channels' order and no scale."""
    scale = folding.constant(holder, 1)
    per_output = scale is not None and int(attributes(holder).get("axis", 1)) == 0
    if np.any(state.shift) or np.any(state.gain != 1.0):
        raise CannotFoldError("integer weights take no scale")
    if scale is None or scale.ndim > 1 or (scale.size != 1 and not per_output):
        raise CannotFoldError("integer weights with a scale for each input channel")


def _rescale_bias(folding: Folding, node: onnx.NodeProto, coarser: float) -> None:
    """Store an integer bias in the steps of its new grid, which engines take for granted."""
    if coarser == 1.0 or len(node.input) < 3:
        return
    held = folding.restored.get(node.input[2])
    if held is None:
        if node.input[2] not in folding.constants:
            raise CannotFoldError("a convolution computes its bias")
        return
    index, holder = held
    steps, scale = folding.constant(holder, 0), folding.constant(holder, 1)
    assert steps is not None
    assert scale is not None
    moved = np.rint(steps.astype(np.float64) * coarser)
    if np.abs(moved).max(initial=0) > _LARGEST_BIAS:
        raise CannotFoldError("an integer bias would overflow")
    folding.edits[index, 0] = moved
    folding.edits[index, 1] = scale.astype(np.float64) / coarser


def _shift_bias(
    folding: Folding, index: int, node: onnx.NodeProto, weight: Array, shift: Array
) -> None:
    told = attributes(node)
    kind = told.get("auto_pad", b"NOTSET")
    if kind not in (b"NOTSET", b"VALID") or (kind == b"NOTSET" and any(told.get("pads", ()))):
        raise CannotFoldError("the convolution pads with zeros, which stand for the mean")
    bias = folding.constant(node, 2)
    added = (weight.reshape(*weight.shape[:2], -1).sum(axis=2) * shift).sum(axis=1)
    folding.edits[index, 2] = added if bias is None else bias.astype(np.float64) + added


def _quantize(folding: Folding, index: int, node: onnx.NodeProto) -> Channels:
    """Give the grid the pixels' scale: the integers stay the same ones. Bytes need no grid."""
    state = _data(folding, node)
    scale = folding.constant(node, 1)
    if scale is None or scale.size != 1 or np.ptp(state.gain) > 0:
        raise CannotFoldError("one grid has to hold channels of different scales")
    if state.raw_bytes:
        point = folding.constant(node, 2)
        if point is not None and point.dtype != np.uint8:
            raise CannotFoldError("the first grid is not of uint8")
        _black(state)
        folding.skipped.append(index)
        coarser = float(scale.ravel()[0]) / float(state.gain[0])
        return replace(state, coarser=1.0 if abs(coarser - 1) < _WHOLE else coarser)
    if np.any(state.shift):
        raise CannotFoldError("a grid holds no shift")
    if state.gain[0] != 1.0:
        folding.edits[index, 1] = scale.astype(np.float64) / state.gain[0]
    return state.plain()


def _dequantize(folding: Folding, index: int, node: onnx.NodeProto) -> Channels:
    state = _data(folding, node)
    scale = folding.constant(node, 1)
    if scale is None or scale.size != 1:
        raise CannotFoldError("one grid has to hold channels of different scales")
    if state.raw_bytes:
        if state.coarser != 1.0:
            folding.edits[index, 1] = np.broadcast_to(state.gain[:1].reshape(()), scale.shape)
        folding.edits[index, 2] = np.full(scale.shape, _black(state), np.uint8)
        return replace(state.plain(), raw_bytes=False)
    if np.any(state.shift) or np.any(state.gain != 1.0):
        raise CannotFoldError("a grid of another scale")
    return state


def _black(state: Channels) -> int:
    """Return the pixel that stands for 0, where it is one and the same whole number."""
    zero = -state.shift / state.gain
    whole = int(np.rint(zero[0]))
    if np.ptp(zero) > 0 or abs(zero[0] - whole) > _WHOLE or not 0 <= whole <= _LARGEST_BYTE:
        raise CannotFoldError("no pixel value stands for 0")
    return whole


_RULES: dict[str, Callable[[Folding, int, onnx.NodeProto], Channels | None]] = {
    **dict.fromkeys(_SPATIAL_ONLY, _unchanged),
    **dict.fromkeys(_AFFINE, _affine),
    "Slice": _slice,
    "Concat": _concat,
    "SpaceToDepth": _space_to_depth,
    "Transpose": _transpose,
    "Pad": _pad,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
