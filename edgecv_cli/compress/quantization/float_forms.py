"""Float16: half the size, and twice as fast where the hardware multiplies it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

import numpy as np
import onnx

from edgecv_cli.compress.quantization.statistics import Observations
from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.half import halved
from edgecv_cli.graph.topology import Topology

_LARGEST = 65504.0
_SMALLEST = 6e-8
# What was seen in calibration images may be passed by others.
_ROOM = 2.0
# They make floats of something else, or hold graphs of their own.
_KEPT_OPS = frozenset({"Cast", "ConstantOfShape", "EyeLike", "If", "Loop", "Scan", "SequenceMap"})


def beyond_half(topology: Topology, observed: Observations) -> tuple[str, ...]:
    """Return the nodes that make or read values which float16 can't hold, by what was observed.

    In graph order, by first output; with a factor of 2 in hand for images that were not seen.
    """
    wide = {
        tensor
        for tensor, stats in observed.tensors.items()
        if max(abs(stats.low), abs(stats.high)) * _ROOM > _LARGEST
    }
    return tuple(
        name for name, node in topology.nodes.items() if wide & {*node.input, *node.output}
    )


def to_fp16(topology: Topology, kept_fp32: Iterable[str] = ()) -> onnx.ModelProto:
    """Return a float16 copy of a normalised graph whose inputs and outputs are still float32.

    The decode tail stays float32 (boxes up to 640 have steps of 0.5 in float16), and so do
    the operators that onnxconverter-common lists as unsafe (Resize, TopK, NonMaxSuppression),
    and whatever reads a stored number that float16 can't hold.

    Args:
        topology: the normalised float graph; it is not changed.
        kept_fp32: further nodes that stay float32, by first output.

    Raises:
        ModelError: the result is no valid model.
    """
    with np.errstate(over="ignore"):
        model = halved(topology.model, _kept(topology, frozenset(kept_fp32)))
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(
            f"the model can't be made float16: {str(error).strip().splitlines()[0]}",
            remedy="keep it float32, or use --precision int8",
        ) from error
    return model


def _kept(topology: Topology, asked: AbstractSet[str]) -> frozenset[str]:
    """Return the nodes that stay float32."""
    from onnxconverter_common.float16 import DEFAULT_OP_BLOCK_LIST

    unsafe = _KEPT_OPS | set(DEFAULT_OP_BLOCK_LIST)
    found = set(topology.tail | asked)
    fits: dict[str, bool] = {}
    for name, node in topology.nodes.items():
        for tensor in node.input:
            if tensor not in fits:
                fits[tensor] = _fits(topology, tensor)
        if node.op_type in unsafe or not all(fits[tensor] for tensor in node.input):
            found.add(name)
        makers = (topology.producer.get(tensor) for tensor in _read_inside(node))
        found.update(maker for maker in makers if maker is not None)
    return frozenset(found)


def _read_inside(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what the graphs that a node holds read, of the graph around them or of their own."""
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from inner.input
                yield from _read_inside(inner)


def _fits(topology: Topology, tensor: str) -> bool:
    """Return whether float16 holds a stored tensor; a lone number may not vanish either."""
    stored = topology.constants.tensor(tensor) if tensor else None
    if stored is None or stored.data_type != onnx.TensorProto.FLOAT:
        return True
    values = np.abs(onnx.numpy_helper.to_array(stored))
    finite = values[np.isfinite(values)]
    if finite.size and finite.max() > _LARGEST:
        return False
    return not (finite.size == 1 and 0 < finite.max() < _SMALLEST)
