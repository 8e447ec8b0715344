"""What a Coral Edge TPU takes of a LiteRT file, read from the file alone.

Source: coral.ai, "TensorFlow models on the Edge TPU" (Model requirements; Supported operations).
The compiler decides in the end: it also refuses for reasons of size that no list holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgecv_cli.graph.tflite import LiteModel, LiteOperator, LiteTensor

SOURCE = "https://coral.ai/docs/edgetpu/models-intro/#supported-operations"
SUPPORTED = frozenset(
    {
        *("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D"),
        *("EXPAND_DIMS", "FULLY_CONNECTED", "L2_NORMALIZATION", "LOGISTIC", "LSTM", "MAXIMUM"),
        *("MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PACK", "PAD", "PRELU", "QUANTIZE"),
        *("REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SLICE", "SOFTMAX"),
        *("SPACE_TO_DEPTH", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "SUB", "SUM"),
        *("SQUARED_DIFFERENCE", "TANH", "TRANSPOSE", "TRANSPOSE_CONV"),
    }
)
"""Operators that the compiler maps, apart from limits of their options."""
_INTEGERS = frozenset({"int8", "uint8", "int32"})
_SOFTMAX_MOST = 16_000
_FREE_AXES = 3  # only the three innermost may be larger than 1


@dataclass(frozen=True)
class Unsupported:
    """Operators that stay on the CPU for one reason, and the first of them by its place."""

    operator: str
    count: int
    first: int
    reason: str


@dataclass(frozen=True)
class EdgeTpuReport:
    """How far an Edge TPU gets.

    Attributes:
        full_int8: whether every tensor that is computed with is an 8-bit (bias: 32-bit) integer.
        static: whether every shape is fixed.
        operators: how many there are.
        mapped: how many the Edge TPU takes: those before the first that it does not, since one
            stretch of the graph is compiled and everything after it stays on the CPU.
        supported: how many it knows, wherever they stand.
        unsupported: what it does not take, by reason, in the order of the graph.
    """

    full_int8: bool
    static: bool
    operators: int
    mapped: int
    supported: int
    unsupported: tuple[Unsupported, ...]

    @property
    def fits(self) -> bool:
        """Whether all of it runs on the Edge TPU, as far as the list says."""
        return self.full_int8 and self.static and not self.unsupported


def edgetpu_report(model: LiteModel) -> EdgeTpuReport:
    """Hold a file against the published list."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, operator in enumerate(model.operators):
        reason = _reason(operator, model.tensors)
        if reason is not None:
            found.setdefault((operator.name, reason), []).append(place)
    refused = [
        Unsupported(name, len(places), places[0], reason)
        for (name, reason), places in found.items()
    ]
    first = min((one.first for one in refused), default=len(model.operators))
    used = [model.tensors[index] for index in _used(model)]
    return EdgeTpuReport(
        full_int8=all(tensor.spec.dtype in _INTEGERS for tensor in used),
        static=all(tensor.spec.is_static for tensor in used),
        operators=len(model.operators),
        mapped=first,
        supported=len(model.operators) - sum(one.count for one in refused),
        unsupported=tuple(refused),
    )


def _used(model: LiteModel) -> list[int]:
    """Return the tensors that operators read or write, the graph's own inputs among them."""
    used = set(model.inputs) | set(model.outputs)
    for operator in model.operators:
        used.update(operator.inputs)
        used.update(operator.outputs)
    return sorted(index for index in used if 0 <= index < len(model.tensors))


def _reason(operator: LiteOperator, tensors: Sequence[LiteTensor]) -> str | None:
    """Say why an operator stays on the CPU; None where nothing listed speaks against it."""
    if operator.name not in SUPPORTED:
        return "the Edge TPU does not know the operator"
    inputs = list(_known(operator.inputs, tensors))
    outputs = list(_known(operator.outputs, tensors))
    computed = [*inputs, *outputs]
    floats = sorted({one.spec.dtype for one in computed} - _INTEGERS - {"int64"})
    if floats:
        return f"works on {', '.join(floats)}, not on 8-bit integers"
    if any(not one.spec.is_static for one in computed):
        return "a shape is open"
    if any(_outer(one) for one in outputs):
        return "more than the three innermost axes are larger than 1"
    return _limit(operator, inputs, outputs)


def _limit(
    operator: LiteOperator, inputs: Sequence[LiteTensor], outputs: Sequence[LiteTensor]
) -> str | None:
    if operator.name == "CONCATENATION" and len(inputs) > 2 and any(i.stored for i in inputs):
        return "joins a stored tensor with more than one other"
    if operator.name == "SOFTMAX" and inputs:
        row = inputs[0].spec.shape[-1] or 0
        rows = [size for size in inputs[0].spec.shape[:-1] if size != 1]
        if rows or row > _SOFTMAX_MOST:
            return f"takes one row of at most {_SOFTMAX_MOST} numbers"
    if operator.name == "FULLY_CONNECTED" and any(
        sum(size != 1 for size in one.spec.shape) > 1 for one in outputs
    ):
        return "gives more than one row"
    return None


def _known(indices: Sequence[int], tensors: Sequence[LiteTensor]) -> Iterator[LiteTensor]:
    return (tensors[index] for index in indices if 0 <= index < len(tensors))


def _outer(tensor: LiteTensor) -> bool:
    return any(size != 1 for size in tensor.spec.shape[:-_FREE_AXES])
