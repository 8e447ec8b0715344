"""Float16: half the size, and twice as fast where the hardware multiplies it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgecv_cli.compress.quantization.statistics import Observations
from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.topology import Topology

_LARGEST = 65504.0
_SMALLEST = 6e-8
# What was seen in calibration images may be passed by others.
_ROOM = 2.0
# What they return is a type, a count or an order that float16 would change, or is no float.
_KEPT_OPS = frozenset({"Cast", "ConstantOfShape", "Range", "Loop", "If", "Scan", "EyeLike"})


def beyond_half(topology: Topology, observed: Observations) -> tuple[str, ...]:
    """Return the nodes that make values which float16 can't hold, by what was observed.

    In graph order, by first output; with a factor of 2 in hand for images that were not seen.
    """
    found = []
    for name, node in topology.nodes.items():
        seen = [observed.tensors[tensor] for tensor in node.output if tensor in observed.tensors]
        if any(max(abs(stats.low), abs(stats.high)) * _ROOM > _LARGEST for stats in seen):
            found.append(name)
    return tuple(found)


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
    kept = _kept(topology, frozenset(kept_fp32))
    after = _after(topology, kept)
    model = onnx.ModelProto()
    model.CopyFrom(topology.model)
    body = _body(model, after, kept)
    names = _name_nodes(body.graph)
    converted = _convert(body, [name for name, old in names.items() if old[0] in kept])
    for node in converted.graph.node:
        if node.name in names:
            node.name = names[node.name][1]
    _reassemble(model, converted, after)
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
    found = set(topology.tail | asked)
    fits: dict[str, bool] = {}
    for name, node in topology.nodes.items():
        for tensor in node.input:
            if tensor not in fits:
                fits[tensor] = _fits(topology, tensor)
        if node.op_type in _KEPT_OPS or not all(fits[tensor] for tensor in node.input):
            found.add(name)
    return frozenset(found)


def _fits(topology: Topology, tensor: str) -> bool:
    """Return whether float16 holds a stored tensor; a lone number may not vanish either."""
    stored = topology.constants.tensor(tensor) if tensor else None
    if stored is None or stored.data_type != TensorProto.FLOAT:
        return True
    values = np.abs(onnx.numpy_helper.to_array(stored))
    finite = values[np.isfinite(values)]
    if finite.size and finite.max() > _LARGEST:
        return False
    return not (finite.size == 1 and 0 < finite.max() < _SMALLEST)


def _after(topology: Topology, kept: AbstractSet[str]) -> frozenset[str]:
    """Return the kept nodes after which nothing is float16 any more."""
    found: set[str] = set()
    for name, node in reversed(topology.nodes.items()):
        readers = [reader for out in node.output for reader in topology.consumers.get(out, [])]
        if name in kept and all(reader in found for reader in readers):
            found.add(name)
    return frozenset(found)


def _body(
    model: onnx.ModelProto, after: AbstractSet[str], kept: AbstractSet[str]
) -> onnx.ModelProto:
    """Return the part that is to be converted; what the rest reads of it is its output."""
    inferred = onnx.shape_inference.infer_shapes(model)
    values = [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]
    infos = {value.name: value for value in values}
    nodes = [node for node in model.graph.node if node.output[0] not in after]
    rest = [node for node in model.graph.node if node.output[0] in after]
    read = {tensor for node in rest for tensor in node.input}
    read |= {value.name for value in model.graph.output}
    outputs = [infos[name] for node in nodes for name in node.output if name in read]
    graph = helper.make_graph([_copy(node) for node in nodes], "body", model.graph.input, outputs)
    graph.value_info.extend(infos[name] for node in nodes for name in node.output if name in infos)
    _store(graph, model.graph, kept)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


def _store(graph: onnx.GraphProto, source: onnx.GraphProto, kept: AbstractSet[str]) -> None:
    """Give a graph the stored tensors that its nodes read: those of kept nodes apart."""
    stored = {tensor.name: tensor for tensor in source.initializer}
    added: set[str] = set()
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name not in stored:
                continue
            if node.output[0] not in kept and stored[name].data_type == TensorProto.FLOAT:
                node.input[index] = f"{name}_half"
            if node.input[index] not in added:
                added.add(node.input[index])
                graph.initializer.add().CopyFrom(stored[name])
                graph.initializer[-1].name = node.input[index]


def _name_nodes(graph: onnx.GraphProto) -> dict[str, tuple[str, str]]:
    """Name each node by its place, as the converter goes by names; (first output, old name)."""
    names = {}
    for place, node in enumerate(graph.node):
        names[f"half{place}"] = node.output[0], node.name
        node.name = f"half{place}"
    return names


def _convert(body: onnx.ModelProto, kept: list[str]) -> onnx.ModelProto:
    from onnxconverter_common import float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that vanish: dead channels' weights
        converted: onnx.ModelProto = float16.convert_float_to_float16(
            body,
            min_positive_val=0.0,
            max_finite_val=_LARGEST,
            keep_io_types=True,
            disable_shape_infer=True,
            node_block_list=kept,
        )
    _undo_halved_outputs(converted.graph)
    return converted


def _undo_halved_outputs(graph: onnx.GraphProto) -> None:
    """Give an output that a kept node makes back its float32 value.

    onnxconverter-common 1.16 makes such an output float16, whatever it is told of outputs.
    """
    for value in graph.output:
        if value.type.tensor_type.elem_type != TensorProto.FLOAT16:
            continue
        cast = next(node for node in graph.node if value.name in node.output)
        renamed = {value.name: f"{value.name}_half", cast.input[0]: value.name}
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]


def _reassemble(
    model: onnx.ModelProto, converted: onnx.ModelProto, after: AbstractSet[str]
) -> None:
    """Put the converted part and the rest into ``model``."""
    rest = [_copy(node) for node in model.graph.node if node.output[0] in after]
    read = {tensor for node in rest for tensor in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    present = {tensor.name for tensor in converted.graph.initializer}
    stored = [*converted.graph.initializer, *(t for t in kept if t.name not in present)]
    del model.graph.node[:], model.graph.value_info[:]
    copies = []
    for tensor in stored:
        copies.append(TensorProto())
        copies[-1].CopyFrom(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(copies)
    model.graph.node.extend(converted.graph.node)
    model.graph.node.extend(rest)
