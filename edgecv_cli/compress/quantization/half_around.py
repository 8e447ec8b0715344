"""Float16 around int8: what a quantized graph leaves in float, for strongly typed networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.compress.quantization.float_forms import to_fp16
from edgecv_cli.graph.normalise import lifted
from edgecv_cli.graph.opset import at_least
from edgecv_cli.graph.topology import Topology

# The first operator set whose QuantizeLinear takes float16 and whose scales may be float16.
_OPSET = 19
_FINE = 0.01
_SCALED = frozenset({"QuantizeLinear", "DequantizeLinear"})


def to_fp16_around(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a QDQ graph that computes in float16 what it does not in integers.

    Scales become float16 too, so that Q and DQ need no casts around them, which an engine could
    not fuse; integers stay as they are. A pair whose scale float16 rounds by more than 1 % stays
    float32, as the decode tail does, and inputs and outputs.

    Args:
        model: a checked graph with static shapes; it is not changed.

    Raises:
        ModelError: its operator set can't be raised to 19, or the result is no valid model.
    """
    topology = Topology.of(lifted(at_least(model, _OPSET)))
    return to_fp16(topology, _coarse(topology))


def _coarse(topology: Topology) -> Iterator[str]:
    """Yield the Q and DQ whose scales float16 can't hold."""
    for name, node in topology.nodes.items():
        if node.op_type in _SCALED:
            scales = topology.constants.value(node.input[1])
            if scales is None or not _held(scales):
                yield name


def _held(scales: NDArray[np.float32]) -> bool:
    with np.errstate(over="ignore"):
        near = scales.astype(np.float16).astype(np.float64)
    return bool(np.all(np.abs(near - scales) <= _FINE * np.abs(scales)))
