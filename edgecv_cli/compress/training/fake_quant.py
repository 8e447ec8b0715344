"""A program that rounds as a quantize plan's integers will, and the plan after its training.

What is rounded where, and onto which grid, is the plan's. Weights are rounded by the code that
stores them, so that what is trained is what is saved. The scales of activations are learned as
factors of the plan's, one for all tensors that share a grid.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgecv_cli.compress.quantization.apply import round_layer
from edgecv_cli.compress.quantization.equalise import equalised
from edgecv_cli.compress.quantization.placement import clamp_range
from edgecv_cli.compress.quantization.plan import GridPlan, LayerPlan, QuantizePlan
from edgecv_cli.compress.training.located import decoded_program
from edgecv_cli.compress.training.ops_quantize import LEAST_FACTOR
from edgecv_cli.compress.training.program import Instruction, Program, program_of
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.grid import Grid, GridKind, grid_of
from edgecv_cli.graph.io import content_digest
from edgecv_cli.graph.topology import Layer, Topology

Array = NDArray[Any]

_MOST_FACTOR = 20.0
_PREFIX = "edgecv.factor/"


@dataclass(frozen=True)
class Rounded:
    """A network that rounds.

    Attributes:
        topology: the float graph, equalised and with shifted biases as the plan wants them.
        plan: what is left of the plan for that graph: grids, and weights rounded to nearest.
        program: it with rounding; its weights are the graph's, and the factors.
        factors: activation tensor -> the name of its grid's factor.
        most: factor -> the largest that it may become.
        digest: of the plan.
    """

    topology: Topology = field(repr=False)
    plan: QuantizePlan = field(repr=False)
    program: Program = field(repr=False)
    factors: Mapping[str, str] = field(repr=False)
    most: Mapping[str, float] = field(repr=False)
    digest: str

    def tuned_plan(self, topology: Topology, values: Mapping[str, Array]) -> QuantizePlan:
        """Return the plan with the grids that were learned.

        Args:
            topology: the float graph with its trained weights.
            values: trained factors by name, scalars.
        """
        grids = dict(self.plan.grids)
        for tensor, factor in self.factors.items():
            if factor in values:
                by = np.float32(np.clip(values[factor], LEAST_FACTOR, self.most[factor]))
                scale = float(np.float32(grids[tensor].scale) * by)
                grids[tensor] = grids[tensor].model_copy(update={"scale": scale})
        source = content_digest(topology.model)
        return self.plan.model_copy(update={"grids": grids, "source": source})


def rounded(
    topology: Topology,
    plan: QuantizePlan,
    heads: Collection[str],
    *,
    scales: bool = True,
    spec: DetectorSpec | None = None,
) -> Rounded:
    """Return a network that rounds as a plan says.

    Args:
        topology: the normalised float graph that the plan was made for, not equalised.
        plan: of precision int8 or int8-int16; the direction in which it rounds single weights is
            left out, for training finds its own.
        heads: tensors inside that a run gives back beside the outputs.
        scales: whether the scales of activations are learned too.
        spec: how outputs are read; a run then gives boxes and scores of candidates too.

    Raises:
        ConfigError: the plan makes something else than integers of activations and weights.
        ModelError: an operator is not known to training.
    """
    if plan.precision not in ("int8", "int8-int16"):
        raise ConfigError(
            f"training can't round as a plan of precision {plan.precision} does",
            remedy="give a plan of int8",
        )
    topology, plan = _folded(topology, plan)
    factors, most = _factors(topology, plan) if scales else ({}, {})
    writer = _Writer(topology, plan, factors, most)
    outputs = [value.name for value in topology.model.graph.output]
    program = writer.program(
        program_of(topology.model, also=heads)
        if spec is None
        else decoded_program(topology.model, spec, also=[*heads, *outputs])
    )
    digest = hashlib.sha256(f"{plan.dumps()}{scales}".encode()).hexdigest()
    return Rounded(topology, plan, program, factors, most, digest)


def _folded(topology: Topology, plan: QuantizePlan) -> tuple[Topology, QuantizePlan]:
    """Return the graph with what a plan changes in float, and the plan without that."""
    equal = equalised(topology, plan.equalise)
    model = onnx.ModelProto()
    model.CopyFrom(equal.model)
    nodes = {node.output[0]: node for node in model.graph.node}
    stored = {tensor.name for tensor in model.graph.initializer}
    layers = {}
    for name, layer in plan.layers.items():
        layers[name] = LayerPlan(bits=layer.bits, sums=layer.sums)
        if layer.bias_shift is None:
            continue
        shifted = f"{name}_shifted"
        while shifted in stored:
            shifted += "_"
        stored.add(shifted)
        bias = equal.layers[name].bias
        value = np.asarray(layer.bias_shift, np.float32)
        if bias is not None:
            value = value + np.asarray(equal.constants.value(bias), np.float32).ravel()
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), shifted))
        inputs = [*nodes[name].input[:2], shifted]
        del nodes[name].input[:]
        nodes[name].input.extend(inputs)
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    update = {"layers": layers, "equalise": (), "source": content_digest(model)}
    return Topology.of(model), plan.model_copy(update=update)


def _factors(topology: Topology, plan: QuantizePlan) -> tuple[dict[str, str], dict[str, float]]:
    """Return which factor each tensor's scale has, and the largest that each may become.

    Tensors on the same grid have one factor, so that what only moves values stays exact. What a
    sigmoid makes fills 0..1, and keeps its grid. A grid that does a clamp's work may not pass it.
    """
    prefix = _PREFIX
    while any(tensor.name.startswith(prefix) for tensor in topology.model.graph.initializer):
        prefix += "_"
    names: dict[GridPlan, str] = {}
    most: dict[str, float] = {}
    found = {}
    fixed = set()
    for tensor, grid in plan.grids.items():
        name = found[tensor] = names.setdefault(grid, f"{prefix}{len(names)}")
        most.setdefault(name, _MOST_FACTOR)
        producer = topology.producer.get(tensor)
        if producer is None:
            continue
        op = topology.nodes[producer].op_type
        if op == "Sigmoid":
            fixed.add(name)
        bounds = clamp_range(topology, producer) if op in ("Relu", "Clip") else None
        if bounds is not None and math.isfinite(bounds[1]):
            high = max(_grid(grid).high, 1e-12)
            most[name] = min(most[name], max(1.0, bounds[1] * (1 - 1e-6) / high))
    return {tensor: name for tensor, name in found.items() if name not in fixed}, most


def _grid(plan: GridPlan) -> Grid:
    return Grid(plan.scale, plan.zero_point, plan.bits, plan.signed)


class _Rounder:
    """Rounds one layer's weights as they are stored; anew only where they changed."""

    def __init__(self, topology: Topology, layer: Layer, plan: QuantizePlan) -> None:
        self._topology, self._layer, self._plan = topology, layer, plan.layers[layer.name]
        self._integer_bias = plan.bias == "int32"
        self._known: tuple[Any, ...] = ()
        self._made: tuple[Array, Array | None] | None = None

    def __call__(self, weight: Any, bias: Any, scale: float) -> tuple[Array, Array | None]:
        """Return float32 weights and bias on their grids, from torch's tensors."""
        versions = (weight._version, None if bias is None else bias._version)  # noqa: SLF001
        key = (weight, bias, versions, scale)
        if self._made is None or not all(a is b or a == b for a, b in self._pairs(key)):
            self._known = key
            self._made = self._rounded(
                weight.detach().cpu().numpy(),
                None if bias is None else bias.detach().cpu().numpy(),
                scale,
            )
        return self._made

    def _pairs(self, key: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
        known = self._known
        yield id(known[0]), id(key[0])
        yield id(known[1]), id(key[1])
        yield known[2:], key[2:]

    def _rounded(
        self, weight: Array, bias: Array | None, scale: float
    ) -> tuple[Array, Array | None]:
        if not np.isfinite(weight).all() or (bias is not None and not np.isfinite(bias).all()):
            return weight, bias
        stored = round_layer(
            self._topology,
            self._layer,
            self._plan,
            weight=weight,
            bias=bias,
            input_scale=scale if self._integer_bias else None,
        )
        shape = [1] * weight.ndim
        shape[stored.axis] = -1
        values = stored.weight.astype(np.float32) * stored.scales.reshape(shape)
        held = stored.bias
        if held is not None and self._integer_bias:
            unit = (scale * stored.scales.astype(np.float64)).astype(np.float32)
            held = np.rint(held.astype(np.float64) / unit.astype(np.float64)).astype(np.float32)
            held = held * unit
        return values, held


class _Writer:
    """Writes rounding into a program, at the places where the plan's model has it."""

    def __init__(
        self,
        topology: Topology,
        plan: QuantizePlan,
        factors: Mapping[str, str],
        most: Mapping[str, float],
    ) -> None:
        self._topology, self._plan = topology, plan
        self._factors, self._most = factors, most
        self._integer = frozenset(plan.nodes)
        self._constants: dict[str, Array] = {}

    def program(self, program: Program) -> Program:
        """Return a program with rounding put in."""
        steps: list[Instruction] = []
        for name in program.inputs:
            steps += self._after(name, None)
        for step in program.instructions:
            steps += self._with_rounding(step)
        stored = {**program.weights, **program.constants, **self._constants}
        ones = dict.fromkeys(self._factors.values(), np.ones((), np.float32))
        known = {*stored, *ones, *program.kept}
        return replace(
            program,
            instructions=tuple(_released(steps, known)),
            weights={**program.weights, **ones},
            constants={**program.constants, **self._constants},
        )

    def _with_rounding(self, step: Instruction) -> Iterator[Instruction]:
        name = step.outputs[0]
        inputs = list(step.inputs)
        if name in self._integer:
            if name in self._plan.layers:
                yield self._weights(self._topology.layers[name], inputs)
            else:
                self._round_stored(step, inputs)
            for place, tensor in enumerate(inputs):
                if tensor in self._plan.grids and not self._at_source(tensor):
                    inputs[place] = f"{tensor}/rounded"
        outputs = [
            f"{one}/raw" if one in self._plan.grids and self._at_source(one) else one
            for one in step.outputs
        ]
        yield replace(step, inputs=tuple(inputs), outputs=tuple(outputs))
        for tensor in step.outputs:
            yield from self._after(tensor, name)

    def _at_source(self, tensor: str) -> bool:
        return self._topology.producer.get(tensor) in self._integer

    def _after(self, tensor: str, producer: str | None) -> Iterator[Instruction]:
        """Yield what rounds a tensor: for all that read it if integers make it, else for those
        that compute in integers."""
        grid = self._plan.grids.get(tensor)
        if grid is None:
            return
        at_source = producer in self._integer
        if not at_source and not self._integer & set(self._topology.consumers.get(tensor, [])):
            return
        held = _grid(grid)
        bounds = {"first": held.first, "last": held.last, "zero": grid.zero_point}
        yield Instruction(
            name=f"{tensor}/rounded",
            op="FakeQuantize",
            inputs=(f"{tensor}/raw" if at_source else tensor, self._factors.get(tensor, "")),
            outputs=(tensor if at_source else f"{tensor}/rounded",),
            attributes={**self._scale(tensor), **bounds},
        )

    def _scale(self, tensor: str) -> dict[str, float]:
        most = self._most.get(self._factors.get(tensor, ""), 1.0)
        return {"scale": self._plan.grids[tensor].scale, "most": most}

    def _weights(self, layer: Layer, inputs: list[str]) -> Instruction:
        """Return what rounds a layer's weights, and let the layer read that."""
        bias = layer.bias or ""
        outputs = [f"{layer.name}/weight"]
        inputs[1] = outputs[0]
        if bias:
            outputs.append(f"{layer.name}/bias")
            inputs[2] = outputs[1]
        return Instruction(
            name=f"{layer.name}/weight",
            op="FakeWeights",
            inputs=(layer.weight, bias, self._factors.get(layer.data, "")),
            outputs=tuple(outputs),
            attributes={
                "rounder": _Rounder(self._topology, layer, self._plan),
                **self._scale(layer.data),
            },
        )

    def _round_stored(self, step: Instruction, inputs: list[str]) -> None:
        """Put the stored operands of an elementwise node onto grids of their own."""
        if step.op not in ("Add", "Mul", "Concat"):
            return
        for place, name in enumerate(inputs):
            value = self._topology.constants.value(name) if name else None
            if value is None:
                continue
            grid = grid_of(float(value.min()), float(value.max()), self._kind())
            integers = np.rint(value.astype(np.float32) / grid.scale) + grid.zero_point
            integers = np.clip(integers, grid.first, grid.last) - grid.zero_point
            inputs[place] = f"{step.outputs[0]}/stored{place}"
            self._constants[inputs[place]] = (integers * grid.scale).astype(np.float32)

    def _kind(self) -> GridKind:
        grids = list(self._plan.grids.values())
        symmetric = all(grid.signed and grid.zero_point == 0 for grid in grids)
        return GridKind(grids[0].bits, grids[0].signed, symmetric)


def _released(steps: list[Instruction], kept: Collection[str]) -> Iterator[Instruction]:
    """Yield the steps, each with the tensors that nothing reads after it."""
    last = {name: place for place, step in enumerate(steps) for name in step.inputs}
    for place, step in enumerate(steps):
        touched = dict.fromkeys([*step.inputs, *step.outputs])
        done = (name for name in touched if name and name not in kept)
        yield replace(step, done_with=tuple(n for n in done if last.get(n, -1) <= place))
