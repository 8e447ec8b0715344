"""Operators that move, join and part tensors, and those that compute sizes."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from edgecv_cli.compress.training.values import Attributes, Op, Operands, integers, operand


def _reshape(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    size = integers(x, 1) or []
    if not a.get("allowzero", 0):
        size = [x[0].shape[i] if n == 0 else n for i, n in enumerate(size)]
    return torch.reshape(x[0], size)


def _transpose(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    order = a.get("perm", range(x[0].dim() - 1, -1, -1))
    return torch.permute(x[0], [int(one) for one in order])


def _flatten(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    axis = int(a.get("axis", 1)) % (x[0].dim() + 1)
    return torch.reshape(x[0], (int(np.prod(x[0].shape[:axis], dtype=np.int64)), -1))


def _concat(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    return torch.cat(list(x), dim=a["axis"])


def _split(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    axis = a.get("axis", 0)
    sizes = integers(x, 1, a.get("split"))
    if sizes is None:
        whole, parts = x[0].shape[axis], int(a["num_outputs"])
        each = -(-whole // parts)
        sizes = [min(each, whole - i * each) for i in range(parts)]
    return tuple(torch.split(x[0], sizes, dim=axis))


def _slice(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    starts, ends = integers(x, 1) or [], integers(x, 2) or []
    axes = integers(x, 3) or list(range(len(starts)))
    steps = integers(x, 4) or [1] * len(starts)
    made = x[0]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        taken = range(made.shape[axis])[slice(start, end, step)]
        if step > 0:
            place = [slice(None)] * made.dim()
            place[axis] = slice(taken.start, taken.stop, step)
            made = made[tuple(place)]
        else:
            index = torch.tensor(list(taken), dtype=torch.int64, device=made.device)
            made = torch.index_select(made, axis, index)
    return made


def _gather(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    axis = int(a.get("axis", 0)) % x[0].dim()
    size = x[0].shape[axis]
    index = x[1].to(x[0].device).long()
    index = torch.where(index < 0, index + size, index)
    picked = torch.index_select(x[0], axis, index.reshape(-1))
    return picked.reshape(*x[0].shape[:axis], *index.shape, *x[0].shape[axis + 1 :])


def _squeeze(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    axes = integers(x, 1, a.get("axes"))
    return torch.squeeze(x[0]) if axes is None else torch.squeeze(x[0], tuple(axes))


def _unsqueeze(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    axes = integers(x, 1, a.get("axes")) or []
    rank = x[0].dim() + len(axes)
    made = x[0]
    for axis in sorted(one % rank for one in axes):
        made = torch.unsqueeze(made, axis)
    return made


def _expand(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return x[0].expand(torch.broadcast_shapes(tuple(x[0].shape), tuple(integers(x, 1) or [])))


def _tile(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return torch.tile(x[0], integers(x, 1) or [])


def _pad(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    pads = integers(x, 1, a.get("pads")) or []
    rank = x[0].dim()
    axes = integers(x, 3) or list(range(rank))
    both = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        both[axis % rank] = (pads[i], pads[len(axes) + i])
    mode = {"edge": "replicate"}.get(a.get("mode", "constant"), a.get("mode", "constant"))
    if mode != "constant":  # torch pads the last two axes so, and no others
        both = both[2:]
    flat = [one for pair in reversed(both) for one in pair]
    value = operand(x, 2)
    fill = {"value": 0.0 if value is None else float(value)} if mode == "constant" else {}
    return torch.nn.functional.pad(x[0], flat, mode=mode, **fill)


def _shape(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    whole = list(x[0].shape)
    return torch.tensor(whole[a.get("start", 0) : a.get("end", len(whole))], dtype=torch.int64)


def _cast(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    from onnx import helper

    kind = np.dtype(helper.tensor_dtype_to_np_dtype(a["to"])).name
    return x[0].to(getattr(torch, kind))


def _constant(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    (value,) = a.values()
    return torch.as_tensor(np.array(value, copy=True))


def _constant_of_shape(torch: ModuleType, x: Operands, a: Attributes) -> Any:
    value = np.asarray(a.get("value", np.zeros(1, np.float32))).reshape(-1)
    return torch.as_tensor(np.array(value)).expand(tuple(integers(x, 0) or []))


def _range(torch: ModuleType, x: Operands, a: Attributes) -> Any:  # noqa: ARG001 - Op
    return torch.arange(x[0].item(), x[1].item(), x[2].item(), dtype=x[0].dtype)


SHAPING: Mapping[str, Op] = {
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Flatten": _flatten,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "Shape": _shape,
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
}
