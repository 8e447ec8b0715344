"""Operators that work element by element, and reductions."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from edgecv_cli.compress.training.values import Attributes, Op, Operands, integers, operand


def _unary(name: str) -> Op:
    def run(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
        return getattr(torch, name)(x[0])

    return run


def _binary(name: str) -> Op:
    def run(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
        return getattr(torch, name)(x[0], x[1])

    return run


def _folded(name: str) -> Op:
    """Return an operator of any number of operands."""

    def run(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
        made = x[0]
        for other in x[1:]:
            made = getattr(torch, name)(made, other)
        return made

    return run


def _reduction(name: str) -> Op:
    def run(torch: ModuleType, x: Operands, a: Attributes) -> Any:
        axes = integers(x, 1, a.get("axes"))
        if not axes:
            if a.get("noop_with_empty_axes", 0):
                return x[0]
            axes = list(range(x[0].dim()))
        return getattr(torch, name)(x[0], dim=axes, keepdim=bool(a.get("keepdims", 1)))

    return run


def _divide(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    rounding = None if x[0].is_floating_point() else "trunc"
    return torch.div(x[0], x[1], rounding_mode=rounding)


def _clip(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    low, high = operand(x, 1), operand(x, 2)
    return x[0] if low is None and high is None else torch.clamp(x[0], low, high)


def _leaky(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    return torch.nn.functional.leaky_relu(x[0], a.get("alpha", 0.01))


def _prelu(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return torch.where(x[0] < 0, x[0] * x[1], x[0])


def _elu(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    return torch.nn.functional.elu(x[0], a.get("alpha", 1.0))


def _hard_sigmoid(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    return torch.clamp(x[0] * a.get("alpha", 0.2) + a.get("beta", 0.5), 0, 1)


def _hard_swish(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return x[0] * torch.clamp(x[0] / 6 + 0.5, 0, 1)


def _softplus(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return torch.nn.functional.softplus(x[0])


def _mish(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return torch.nn.functional.mish(x[0])


def _gelu(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    return torch.nn.functional.gelu(x[0], approximate=a.get("approximate", "none"))


def _softmax(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    return torch.softmax(x[0], a.get("axis", -1))


def _where(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return torch.where(x[0].bool(), x[1], x[2])


def _identity(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return x[0]


_UNARY = (
    *("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Reciprocal", "Relu", "Round"),
    *("Sigmoid", "Sin", "Sqrt", "Tanh"),
)

ELEMENTWISE: Mapping[str, Op] = {
    **{name: _unary(name.lower()) for name in _UNARY},
    "Max": _folded("maximum"),
    "Min": _folded("minimum"),
    "Sum": _folded("add"),
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Pow": _binary("pow"),
    "Equal": _binary("eq"),
    "Greater": _binary("gt"),
    "Less": _binary("lt"),
    "Div": _divide,
    "Where": _where,
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Softplus": _softplus,
    "Mish": _mish,
    "Gelu": _gelu,
    "Softmax": _softmax,
    "Identity": _identity,
    "Dropout": _identity,
    "ReduceMean": _reduction("mean"),
    "ReduceSum": _reduction("sum"),
    "ReduceMax": _reduction("amax"),
    "ReduceMin": _reduction("amin"),
}
