"""Checks of where pairs stand: what TensorRT can fuse into integer layers."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edgecv_cli.graph.tail import is_head
from edgecv_cli.graph.tensorrt.finding import Hit, Level
from edgecv_cli.graph.tensorrt.target import TrtTarget
from edgecv_cli.graph.tensorrt.view import QUANTIZE, RESTORE, View, label

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
CLAMPS = frozenset({"Relu", "LeakyRelu", "Clip"})
# TensorRT moves Q and DQ over these ("Q/DQ propagation" in its documentation).
PASSING = frozenset(
    {"MaxPool", "Concat", "Resize", "Reshape", "Transpose", "Slice", "Split", "Squeeze"}
    | {"Unsqueeze", "Flatten", "Identity", "Gather", "DepthToSpace", "SpaceToDepth"}
)
_MOST_STEPS = 64
_ACTIVATIONS = CLAMPS | {"Sigmoid", "HardSigmoid", "Tanh", "BatchNormalization", "HardSwish"}


def half_quantized(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield layers with Q/DQ at their data or at their weights alone."""
    if not view.quantized:
        return
    for node in view.of(*LAYERS):
        if not is_head(node, view.constants):
            continue
        data, weight = (_is_restored(view, name) for name in node.input[:2])
        if data != weight:
            missing = "weights" if data else "input"
            level: Level | None = "info" if data else None  # meant to be float, as like as not
            said = f"{node.op_type} has no Q/DQ at its {missing}: it computes in float"
            yield Hit(label(node), said, level)


def residuals(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield additions to a quantized layer's output whose other operand is not quantized."""
    for node in view.of("Add"):
        skip = skip_operand(view, node)
        if skip is not None:
            yield Hit(label(node), f"the skip connection '{node.input[skip]}' has no Q/DQ")


def skip_operand(view: View, node: onnx.NodeProto) -> int | None:
    """Return which operand of an Add is an unquantized skip connection, or None.

    The other is made by a layer that runs in integers, so that TensorRT could add inside of it.
    """
    if any(view.constants.is_constant(name) for name in node.input):
        return None
    integer = [_is_integer_layer(view, name) for name in node.input]
    if integer.count(True) != 1:
        return None
    skip = 1 - integer.index(True)
    return None if _is_restored(view, node.input[skip]) else skip


def _is_restored(view: View, name: str) -> bool:
    """Whether a tensor comes from DQs, if through operators that only pass numbers on."""
    pending, seen = [name], set[str]()
    while pending:
        tensor = pending.pop()
        node = view.producers.get(tensor)
        if node is None or (node.op_type not in PASSING and node.op_type != RESTORE):
            return False
        if node.op_type == RESTORE or tensor in seen:
            continue
        seen.add(tensor)
        if len(seen) > _MOST_STEPS:
            return False
        pending.extend(node.input if node.op_type == "Concat" else node.input[:1])
    return True


def _is_integer_layer(view: View, name: str) -> bool:
    node = view.producers.get(name)
    if node is None or node.op_type not in LAYERS:
        return False
    return all(view.source(part, RESTORE) is not None for part in node.input[:2])


def split_activations(view: View, _target: TrtTarget) -> Iterator[Hit]:
    """Yield pairs between a layer and its activation."""
    for quantize in view.of(QUANTIZE):
        activation = activation_after(view, quantize)
        if activation is not None:
            yield Hit(
                label(quantize),
                f"it stands between {view.producers[quantize.input[0]].op_type} and "
                f"{activation.op_type} '{label(activation)}'",
            )


def activation_after(view: View, quantize: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the activation that a pair parts from its layer; None where it parts none."""
    layer = view.producers.get(quantize.input[0])
    if layer is None or layer.op_type not in LAYERS:
        return None
    readers = [
        reader
        for restore in view.readers.get(quantize.output[0], [])
        for reader in view.readers.get(restore.output[0], [])
    ]
    # of a Sigmoid that has the pair's output multiplied (SiLU), the pair has a use of its own
    if len(readers) == 1 and readers[0].op_type in _ACTIVATIONS:
        return readers[0]
    return None
