"""Read the trace that ONNX Runtime's profiler writes.

Source: onnxruntime.ai, "Profiling tools": JSON in the Trace Event Format, times in microseconds.
One event ``<node>_kernel_time`` of category ``Node`` for each run of a node, one ``model_run`` of
category ``Session`` for each inference.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import EngineError
from edgecv_cli.runtime.operators import OperatorTime

_SUFFIX = "_kernel_time"
_CONVOLUTIONS = frozenset(
    {"Conv", "FusedConv", "NhwcFusedConv", "ConvTranspose", "QLinearConv", "ConvInteger"}
)
_PRODUCTS = frozenset(
    {"Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QGemm", "QLinearMatMul", "MatMulNBits"}
    | {"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}
)
_TYPES = {"float": "float32", "double": "float64", "uint8": "int8", "uint16": "int16"}
_FLOATS = frozenset({"float", "double", "float16", "bfloat16"})


@dataclass
class _Node:
    event: dict[str, Any]
    runs: list[float]
    calls: list[int] = field(default_factory=list)


def read_trace(path: Path) -> tuple[OperatorTime, ...]:
    """Return the time of each node in every inference but the first, in their order.

    A node that runs others (``Loop``, ``If``) is left what it takes beside them.

    Raises:
        EngineError: the file is missing or no trace.
    """
    try:
        events = json.loads(path.read_text(encoding="utf-8", errors="replace")) or [{}]
        starts = sorted(_from(one) for one in events if one["name"] == "model_run")
        nodes = _nodes([one for one in events if one.get("cat") == "Node"], starts)
        return tuple(_operator(node) for node in nodes if len(node.runs) > 1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"ONNX Runtime's profile can't be read: {type(error).__name__}",
            remedy="measure without --profile, or with --engine openvino",
        ) from error


def _nodes(events: list[dict[str, Any]], starts: Sequence[int]) -> list[_Node]:
    found: dict[tuple[str, str, str], _Node] = {}
    timed = [one for one in events if one["name"].endswith(_SUFFIX)]
    for event, own in _own_times(timed):
        run = bisect_right(starts, _from(event)) - 1
        if run < 0:
            continue
        args = event["args"]
        key = event["name"], args["op_name"], args["provider"]
        node = found.setdefault(key, _Node(event, [0.0] * len(starts), [0] * len(starts)))
        node.runs[run] += 1000 * own
        node.calls[run] += 1
    return list(found.values())


def _own_times(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Return each event with its microseconds less those of the events inside of it."""
    ordered = sorted(events, key=lambda one: (_from(one), -one["dur"]))
    own = [int(one["dur"]) for one in ordered]
    open_: list[int] = []
    for place, event in enumerate(ordered):
        while open_ and _until(ordered[open_[-1]]) <= _from(event):
            open_.pop()
        if open_:
            own[open_[-1]] -= event["dur"]
        open_.append(place)
    return [(event, max(0, left)) for event, left in zip(ordered, own, strict=True)]


def _from(event: dict[str, Any]) -> int:
    return int(event["ts"])


def _until(event: dict[str, Any]) -> int:
    return int(event["ts"]) + int(event["dur"])


def _operator(node: _Node) -> OperatorTime:
    args = node.event["args"]
    kind = str(args["op_name"])
    types = [next(iter(one)) for one in args.get("input_type_shape", ()) if one]
    # Weights that were packed for a kernel are no longer among the inputs.
    stored = args.get("parameter_size", "0") != "0" or len(types) < 2
    return OperatorTime(
        name=str(node.event["name"]).removesuffix(_SUFFIX),
        kind=kind,
        kernel=None,
        provider=str(args["provider"]),
        precision=_precision(kind, types),
        weighted=kind in _CONVOLUTIONS or (kind in _PRODUCTS and stored),
        ns=tuple(node.runs[1:]),
        calls=max(node.calls),
    )


def _precision(kind: str, types: Sequence[str]) -> str:
    """Return the type that a kernel works in: of its data, or of its integers if it has any."""
    if kind.startswith(("QLinear", "DynamicQuantizeMatMul")):
        types = [name for name in types if name not in _FLOATS]
    return _TYPES.get(types[0], types[0]) if types else "unknown"
