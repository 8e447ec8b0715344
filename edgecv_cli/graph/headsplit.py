"""Part a detector at its raw heads: the network before them, and the decoding after them.

One 8-bit scale over boxes (0..640) and scores (0..1) leaves nothing of the scores. Cut at the last
layers with weights (see ``tail.py``), each head gets a scale of its own, and decoding stays what
it is: float, in a small ONNX graph of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx.utils import Extractor

from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.graph.io import read_metadata
from edgecv_cli.graph.tail import find_tail

_REMEDY = "convert it with --precision fp32 --decode inside, or export it without decoding"


@dataclass(frozen=True)
class HeadSplit:
    """A model in two parts.

    Attributes:
        network: from the model's inputs to the heads.
        decode: from the heads to the model's outputs; None where the heads are the outputs.
        heads: the tensors between the two, in the order of the graph.
    """

    network: onnx.ModelProto
    decode: onnx.ModelProto | None
    heads: tuple[str, ...]


def split_at_heads(model: onnx.ModelProto) -> HeadSplit:
    """Part a normalised model (``normalise.py``) at its last layers with weights.

    Raises:
        ModelError: it has no such layers, or decoding reads more than what they give.
    """
    tail = find_tail(model.graph)
    heads = tuple(tail.biased.get(name, name) for name in tail.heads)
    if not heads:
        raise ModelError(
            "no layer with constant weights stands above the outputs, so there are no heads to "
            "cut at",
            remedy=_REMEDY,
        )
    outputs = [value.name for value in model.graph.output]
    decoded = [name for name in outputs if name not in heads]
    inferred = onnx.shape_inference.infer_shapes(model)
    inputs = [value.name for value in model.graph.input]
    try:
        network = _part(inferred, inputs, list(heads))
        decode = _part(inferred, list(heads), decoded) if decoded else None
    except (ValueError, KeyError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"the model can't be parted at its heads: {error}", remedy=_REMEDY
        ) from error
    if decode is not None:
        _require_closed(decode)
    return HeadSplit(network, decode, heads)


def value_specs(model: onnx.ModelProto, *, inputs: bool = False) -> tuple[TensorSpec, ...]:
    """Return the outputs (or inputs) of a model of fixed shapes."""
    found = []
    for value in model.graph.input if inputs else model.graph.output:
        tensor = value.type.tensor_type
        shape = tuple(axis.dim_value or None for axis in tensor.shape.dim)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        found.append(TensorSpec(value.name, shape, dtype.name))
    return tuple(found)


def _part(model: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    part: onnx.ModelProto = Extractor(model).extract_model(inputs, outputs)
    del part.graph.value_info[:]
    part.ClearField("metadata_props")
    part.ir_version = min(part.ir_version, 10)
    assert not read_metadata(part)
    return part


def _require_closed(decode: onnx.ModelProto) -> None:
    made = {value.name for value in decode.graph.input}
    made |= {tensor.name for tensor in decode.graph.initializer} | {""}
    for node in decode.graph.node:
        missing = [name for name in node.input if name not in made]
        if missing:
            raise ModelError(
                f"decoding reads {missing[0]!r}, which is no head of the network", remedy=_REMEDY
            )
        made.update(node.output)
