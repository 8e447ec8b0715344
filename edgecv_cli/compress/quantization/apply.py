"""Apply a plan to a model: pure, and the same bytes in every process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.compress.quantization.equalise import equalised
from edgecv_cli.compress.quantization.float_forms import to_fp16
from edgecv_cli.compress.quantization.plan import LayerPlan, QuantizePlan
from edgecv_cli.compress.quantization.rounding import decode_mask
from edgecv_cli.compress.quantization.weights import quantize_blocks, quantize_weights
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.graph.dynamic import insert_dynamic
from edgecv_cli.graph.io import content_digest
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.qdq import Grid, LayerWeights, insert_qdq
from edgecv_cli.graph.topology import Layer, Topology


def apply_plan(model: onnx.ModelProto, plan: QuantizePlan) -> onnx.ModelProto:
    """Return the integer model that a plan describes; metadata is kept.

    Args:
        model: the float model that the plan was made for; it is not changed.
        plan: the plan.

    Raises:
        ConfigError: the plan was made for another model, or names what the model lacks.
    """
    plan.require_source(content_digest(model))
    return apply_normalised(Topology.of(normalise(model, input_size=plan.input_size)), plan)


def apply_normalised(topology: Topology, plan: QuantizePlan) -> onnx.ModelProto:
    """Return the integer model from a graph that is normalised already."""
    topology = equalised(topology, plan.equalise)
    _require_names(topology, plan)
    if plan.precision in ("fp16", "fp32"):
        return _float_form(topology, plan)
    weights = {}
    for name, stored in plan.layers.items():
        layer = topology.layers[name]
        scale = plan.grids[layer.data].scale if _has_integer_bias(plan, name) else None
        weights[name] = store_layer(topology, layer, stored, scale)
    if plan.precision == "int8-dynamic":
        return insert_dynamic(
            topology.model, {name: _inputs_first(layer) for name, layer in weights.items()}
        )
    return insert_qdq(
        topology.model,
        nodes=set(plan.nodes) - set(plan.dropped),
        grids={
            name: Grid(grid.scale, grid.zero_point, grid.bits, grid.signed)
            for name, grid in plan.grids.items()
        },
        weights=weights,
        dropped=set(plan.dropped),
        bias=plan.bias,
    )


def _require_names(topology: Topology, plan: QuantizePlan) -> None:
    """Refuse a plan that names what the graph lacks, or asks for what can't be.

    Raises:
        ConfigError: it does.
    """
    missing = [name for name in plan.nodes if name not in topology.nodes]
    missing += [name for name in plan.layers if name not in topology.layers]
    missing += [
        name for name in plan.dropped if name not in plan.nodes or not _is_clamp(topology, name)
    ]
    missing += [name for name in plan.kept_fp32 if name not in topology.nodes]
    if plan.precision == "int8-dynamic":
        layers = (topology.layers[name] for name in plan.layers if name in topology.layers)
        missing += [layer.name for layer in layers if not _is_matrix_product(topology, layer)]
    else:
        integer = (name for name in plan.layers if name in plan.nodes)
        known = (topology.layers[name].data for name in integer if name in topology.layers)
        missing += [tensor for tensor in known if tensor not in plan.grids]
    if missing:
        raise ConfigError(
            f"the plan names the node '{missing[0]}', which the model lacks",
            remedy="quantize anew with this version of edgecv",
        )
    narrow = [name for name in plan.nodes if name in plan.layers and plan.layers[name].bits == 4]
    if narrow:
        raise ConfigError(
            f"the plan wants 4-bit weights in '{narrow[0]}', which computes in integers",
            remedy="4 bits are for stored weights alone: take the layer out of 'nodes'",
        )


def _is_matrix_product(topology: Topology, layer: Layer) -> bool:
    return layer.op in ("Gemm", "MatMul") and len(topology.shapes.get(layer.weight, ())) == 2


def _has_integer_bias(plan: QuantizePlan, name: str) -> bool:
    return plan.bias == "int32" and plan.precision != "int8-dynamic" and name in plan.nodes


def _float_form(topology: Topology, plan: QuantizePlan) -> onnx.ModelProto:
    if plan.precision == "fp16":
        return to_fp16(topology, plan.kept_fp32)
    copy = onnx.ModelProto()
    copy.CopyFrom(topology.model)
    return copy


def _inputs_first(layer: LayerWeights) -> LayerWeights:
    """Return a matrix as [inputs, outputs]."""
    return layer if layer.axis == 1 else replace(layer, weight=layer.weight.T, axis=1)


def _is_clamp(topology: Topology, name: str) -> bool:
    node = topology.nodes.get(name)
    return node is not None and node.op_type in ("Relu", "Clip")


def store_layer(
    topology: Topology, layer: Layer, plan: LayerPlan, input_scale: float | None
) -> LayerWeights:
    """Round one layer's weights and shift its bias as planned.

    Weights of 4 bits of a matrix get a scale for each ``BLOCK`` inputs of an output; whatever
    else is stored, one for each output channel.

    Args:
        topology: the normalised graph.
        layer: the layer.
        plan: how it is stored.
        input_scale: scale of the layer's input, where the bias is stored as int32 at its product
            with the weights'; None for a float bias.

    Raises:
        ConfigError: the plan shifts another number of channels, or rounds another number of
            weights, than the layer has.
    """
    weight = topology.constants.value(layer.weight)
    assert weight is not None
    bias = None if layer.bias is None else topology.constants.value(layer.bias)
    return round_layer(topology, layer, plan, weight=weight, bias=bias, input_scale=input_scale)


def round_layer(
    topology: Topology,
    layer: Layer,
    plan: LayerPlan,
    *,
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    input_scale: float | None,
) -> LayerWeights:
    """Round other numbers as a layer's weights would be; see :func:`store_layer`.

    Args:
        weight, bias: in the shapes that the layer's own have.
    """
    axis = output_axis(topology, layer)
    channels = (weight.shape[axis],)
    if bias is not None:
        bias = np.broadcast_to(bias.ravel(), channels).astype(np.float32)
    if plan.bias_shift is not None:
        shift = np.asarray(plan.bias_shift, np.float32)
        if shift.shape != channels:
            raise ConfigError(
                f"the plan shifts {shift.size} channels of '{layer.name}', which has {channels[0]}",
                remedy="quantize anew with this version of edgecv",
            )
        bias = shift if bias is None else (bias + shift).astype(np.float32)
    rounding = None if plan.rounding is None else decode_mask(plan.rounding, weight.shape)
    if plan.bits == 4 and layer.op != "Conv":
        return quantize_blocks(weight.astype(np.float32), bias, axis=1 - axis)
    return quantize_weights(
        weight.astype(np.float32),
        bias,
        axis=axis,
        bits=plan.bits,
        input_scale=input_scale,
        rounding=rounding,
        sums=32 if _adds_one_by_one(topology, layer) else plan.sums,
    )


def _adds_one_by_one(topology: Topology, layer: Layer) -> bool:
    """Return whether a layer has one input and one output channel a group.

    ONNX Runtime and oneDNN have kernels for these that widen each product to 32 bits.
    """
    return layer.depthwise and topology.shapes[layer.data][1] == topology.shapes[layer.name][1]


def output_axis(topology: Topology, layer: Layer) -> int:
    """Return the axis of a layer's weight that runs over output channels."""
    if layer.op == "Conv":
        return 0
    if layer.op == "Gemm":
        node = topology.nodes[layer.name]
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return 1
