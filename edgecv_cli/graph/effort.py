"""What it costs onnx's reference evaluator to run an operator, in elements that numpy passes.

Where it takes a step of Python for each element, a small tensor keeps it busy for minutes. The
weights are orders of magnitude of what was measured; one element passed takes some 5 ns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

# what makes no more than its inputs broadcast, or hold, together
NEVER_GROW = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Min", "Max", "Sum", "Mean", "Where", "Clip"),
        *("Neg", "Abs", "Sqrt", "Exp", "Log", "Floor", "Ceil", "Round", "Reciprocal", "Sign"),
        *("Sigmoid", "HardSigmoid", "Tanh", "Relu", "LeakyRelu", "Softplus", "Softmax", "Not"),
        *("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Cast"),
        *("Identity", "Shape", "Constant", "Concat", "Slice", "Split", "Reshape", "Flatten"),
        *("Transpose", "Squeeze", "Unsqueeze", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean"),
        *("ArgMax", "GatherElements", "NonZero", "LogSoftmax", "ReduceProd", "PRelu", "Size"),
    }
)
MAKERS = frozenset({"Expand", "ConstantOfShape", "Tile", "Range"})
_PASSED = frozenset(
    {"Gather", "Pad", "OneHot", "CumSum", "DepthToSpace", "LayerNormalization", "Trilu", "EyeLike"}
)
_PRODUCTS = frozenset({"MatMul", "Gemm", "Conv"})
_INDEXED = frozenset({"ScatterND", "GatherND"})
_WEIGHTS = {"TopK": 30, "Unique": 30, "Erf": 30, "ScatterElements": 300, "Einsum": 500}
_INDEX, _LOOP = 1_000, 10_000  # a step of Python for each index, or many for each element
_TERMS = 50  # products summed up in the time that one element is passed


def effort(kind: str, inputs: Sequence[Array], made: int) -> int:
    """Return the cost of making ``made`` elements from inputs."""
    passed = made + sum(value.size for value in inputs)
    if kind in NEVER_GROW | MAKERS | _PASSED:
        return passed
    if kind in _PRODUCTS and len(inputs) > 1:
        terms = inputs[0].shape[-1:] if kind != "Conv" else inputs[1].shape[1:]
        return passed + made * math.prod(terms) // _TERMS
    if kind in _INDEXED and len(inputs) > 1:
        return passed + math.prod(inputs[1].shape[:-1]) * _INDEX
    return passed * _WEIGHTS.get(kind, _LOOP)
