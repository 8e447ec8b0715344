"""Which weights of a model stand in an engine, bit by bit, and in which type.

An engine of TensorRT-RTX can't be inspected without a GPU, and its size says little: compiled
kernels are in it too. Its weights can be looked for: they stand in it as plain arrays, in the
order of the file or, for convolutions, with the channels last (seen in TensorRT-RTX 1.7.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.graph.tail import WEIGHTED, Constants

_PROBE = 256  # bytes that are looked for
_LEAST = 32
_DISTINCT = 8  # so that a run of zeros proves nothing


@dataclass
class Inside:
    """What was found.

    Attributes:
        layers: how many layers' weights stand in the engine, by type, such as ``int8``.
        size: bytes of these weights, by type.
        unseen: layers whose weights were not found, or are too few to tell.
    """

    layers: dict[str, int] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    unseen: int = 0


def weights_inside(model: onnx.ModelProto, engine: bytes) -> Inside:
    """Look for the weights of every layer in an engine that was built of the model."""
    found = Inside()
    for weights in _stored(model):
        kind = weights.dtype.name
        if any(probe in engine for probe in _probes(weights)):
            found.layers[kind] = found.layers.get(kind, 0) + 1
            found.size[kind] = found.size.get(kind, 0) + weights.nbytes
        else:
            found.unseen += 1
    return found


def _stored(model: onnx.ModelProto) -> Iterator[NDArray[Any]]:
    """Yield the weights of each layer as the file holds them: integers where it is quantized."""
    constants = Constants(model.graph)
    restored = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
    }
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            names = [restored.get(name, name) for name in node.input[:2]]
            arrays = [array for name in names if (array := constants.value(name)) is not None]
            yield from arrays[:1]


def _probes(weights: NDArray[Any]) -> Iterator[bytes]:
    """Yield the first bytes of an array in each order that engines are known to keep it in."""
    orders = [weights]
    if weights.ndim == 4:
        orders.append(weights.transpose(0, 2, 3, 1))
    if weights.ndim == 2:
        orders.append(weights.T)
    for order in orders:
        head = order.ravel()[: _PROBE // weights.itemsize]
        if head.nbytes >= _LEAST and np.unique(head).size >= _DISTINCT:
            yield head.tobytes()
