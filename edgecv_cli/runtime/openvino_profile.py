"""Read what OpenVINO counts of each node (``PERF_COUNT``).

Source: docs.openvino.ai, ``ov::ProfilingInfo``: ``exec_type`` is kernel, instruction set and
precision (``jit_avx2_1x1_I8``), ``real_time`` the mean over all inferences so far, in whole
microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from edgecv_cli.runtime.operators import OperatorTime

_CONVOLUTIONS = frozenset(
    {"Convolution", "GroupConvolution"}
    | {"ConvolutionBackpropData", "GroupConvolutionBackpropData", "Deconvolution"}
)
_PRECISIONS = {
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "i8": "int8",
    "u8": "int8",
    "i32": "int32",
    "i64": "int64",
}


def mean_ns(nodes: Iterable[Any]) -> dict[str, float]:
    """Return the mean nanoseconds of each node that ran, by name."""
    return {
        str(node.node_name): node.real_time / timedelta(microseconds=1) * 1000
        for node in nodes
        if node.status.name == "EXECUTED"
    }


def read_counters(
    nodes: Sequence[Any], *, first: Mapping[str, float], inferences: int, provider: str
) -> tuple[OperatorTime, ...]:
    """Return what each node took, in the order that they run.

    Args:
        nodes: ``ov::ProfilingInfo`` of a request, after all inferences.
        first: :func:`mean_ns` after the first one, which is taken out of the means.
        inferences: how many there were, at least two.
        provider: device that ran them.
    """
    means = mean_ns(nodes)
    return tuple(
        OperatorTime(
            name=str(node.node_name),
            kind=str(node.node_type),
            kernel=str(node.exec_type),
            provider=provider,
            precision=_precision(str(node.exec_type)),
            weighted=_is_weighted(str(node.node_type)),
            ns=(_without(first.get(str(node.node_name), 0.0), means[node.node_name], inferences),),
        )
        for node in nodes
        if node.node_name in means
    )


def _without(first: float, mean: float, inferences: int) -> float:
    return max(0.0, (mean * inferences - first) / (inferences - 1))


def _is_weighted(kind: str) -> bool:
    # What multiplies by a constant is compiled to a FullyConnected of some form.
    return kind in _CONVOLUTIONS or kind.startswith("FullyConnected")


def _precision(kernel: str) -> str:
    return _PRECISIONS.get(kernel.rpartition("_")[2].lower(), "unknown")
