"""Operators with weights, and pooling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from edgecv_cli.compress.training.values import Attributes, Op, Operands, operand

_Pads = tuple[list[int], list[int]]


def _per_axis(a: Attributes, name: str, rank: int) -> list[int]:
    """Return one number an axis; some exporters write lists of a wrong length, which ONNX Runtime
    reads from the front."""
    given = [int(one) for one in a.get(name, ())]
    return (given + [given[-1] if given else 1] * rank)[:rank]


def _pads(
    a: Attributes, size: Sequence[int], kernel: Sequence[int], strides: list[int], dil: list[int]
) -> _Pads:
    """Return what is added before and after each axis."""
    rank = len(size)
    kind = a.get("auto_pad", "NOTSET")
    if kind == "NOTSET":
        given = [int(one) for one in a.get("pads", [0] * 2 * rank)]
        return given[:rank], given[rank:]
    if kind == "VALID":
        return [0] * rank, [0] * rank
    whole = [
        max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
        for n, k, s, d in zip(size, kernel, strides, dil, strict=True)
    ]
    less = [one // 2 for one in whole]
    more = [one - half for one, half in zip(whole, less, strict=True)]
    return (less, more) if kind == "SAME_UPPER" else (more, less)


def _padded(torch: ModuleType, data: Any, pads: _Pads, value: float) -> Any:
    if not any(pads[0]) and not any(pads[1]):
        return data
    flat = [one for pair in zip(reversed(pads[0]), reversed(pads[1]), strict=True) for one in pair]
    return torch.nn.functional.pad(data, flat, value=value)


def _conv(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    data, weight = x[0], x[1]
    rank = data.dim() - 2
    strides, dilations = _per_axis(a, "strides", rank), _per_axis(a, "dilations", rank)
    pads = _pads(a, data.shape[2:], weight.shape[2:], strides, dilations)
    even = pads[0] if pads[0] == pads[1] else [0] * rank
    run = getattr(torch.nn.functional, f"conv{rank}d")
    return run(
        data if pads[0] == pads[1] else _padded(torch, data, pads, 0.0),
        weight,
        operand(x, 2),
        stride=strides,
        padding=even,
        dilation=dilations,
        groups=a.get("group", 1),
    )


def _conv_transpose(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    data, weight = x[0], x[1]
    rank = data.dim() - 2
    strides, dilations = _per_axis(a, "strides", rank), _per_axis(a, "dilations", rank)
    pads = [int(one) for one in a.get("pads", [0] * 2 * rank)]
    extra = [int(one) for one in a.get("output_padding", [0] * rank)]
    run = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    made = run(
        data,
        weight,
        operand(x, 2),
        stride=strides,
        output_padding=extra,
        dilation=dilations,
        groups=a.get("group", 1),
    )
    for axis in range(rank):
        size = made.shape[2 + axis] - pads[axis] - pads[rank + axis]
        made = made.narrow(2 + axis, pads[axis], size)
    return made


def _gemm(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    left = x[0].T if a.get("transA", 0) else x[0]
    right = x[1].T if a.get("transB", 0) else x[1]
    made = torch.matmul(left, right) * a.get("alpha", 1.0)
    bias = operand(x, 2)
    return made if bias is None else made + bias * a.get("beta", 1.0)


def _matmul(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return torch.matmul(x[0], x[1])


def _batch_norm(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    """Normalise by the stored statistics: batches of fine-tuning are too small to measure them."""
    data, scale, shift, mean, variance = x[:5]
    return torch.nn.functional.batch_norm(
        data, mean, variance, scale, shift, training=False, eps=a.get("epsilon", 1e-5)
    )


def _max_pool(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    data, kernel = x[0], [int(one) for one in a["kernel_shape"]]
    rank = len(kernel)
    strides, dilations = _per_axis(a, "strides", rank), _per_axis(a, "dilations", rank)
    pads = _pads(a, data.shape[2:], kernel, strides, dilations)
    return getattr(torch.nn.functional, f"max_pool{rank}d")(
        _padded(torch, data, pads, -math.inf),
        kernel,
        strides,
        dilation=dilations,
        ceil_mode=bool(a.get("ceil_mode", 0)),
    )


def _average_pool(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    data, kernel = x[0], [int(one) for one in a["kernel_shape"]]
    rank = len(kernel)
    strides = _per_axis(a, "strides", rank)
    pads = _pads(a, data.shape[2:], kernel, strides, [1] * rank)
    pool = getattr(torch.nn.functional, f"avg_pool{rank}d")
    ceil = bool(a.get("ceil_mode", 0))
    made = pool(_padded(torch, data, pads, 0.0), kernel, strides, ceil_mode=ceil)
    if a.get("count_include_pad", 0) or not (any(pads[0]) or any(pads[1])):
        return made
    ones = _padded(torch, torch.ones_like(data[:1, :1]), pads, 0.0)
    return made / pool(ones, kernel, strides, ceil_mode=ceil)


def _global_average(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return x[0].mean(dim=tuple(range(2, x[0].dim())), keepdim=True)


def _global_max(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return x[0].amax(dim=tuple(range(2, x[0].dim())), keepdim=True)


LAYERS: Mapping[str, Op] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
}
