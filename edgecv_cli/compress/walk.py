"""Run a graph in steps over a set of images: each node once, keeping only what is read later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.context import Context
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.topology import Topology
from edgecv_cli.runtime.opening import open_runner

Array = NDArray[Any]
OpenModel = Callable[[bytes], Callable[[Mapping[str, Array]], list[Array]]]


@dataclass(frozen=True)
class Step:
    """A part of a graph.

    Attributes:
        nodes: positions of its nodes, in graph order.
        inputs: tensors of earlier steps that it reads.
        outputs: tensors that it makes and that are asked for or read later.
        kept: what is held when it is done, tensors of earlier steps among them.
    """

    nodes: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kept: tuple[str, ...]


class Walk:
    """One graph, cut where tensors are asked for.

    A DequantizeLinear is run again by every step that reads it, so that integers are what is
    kept between steps.

    Args:
        model: the graph.
        wanted: the tensors that each step is asked for, in an order in which they can be made.
        open_model: loads serialized ONNX and returns a function from feed to outputs; it must
            run QuantizeLinear and DequantizeLinear as they are written.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        wanted: Sequence[Sequence[str]],
        open_model: OpenModel,
    ) -> None:
        self._model = model
        self._nodes = list(model.graph.node)
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._producer = {name: i for i, node in enumerate(self._nodes) for name in node.output}
        self._repeated = self._find_repeated()
        self._operands: dict[tuple[int, int], str] = {}
        self._open = open_model
        self._steps = self._cut(wanted)
        self._next = 0
        self.held: list[dict[str, Array]] = []

    def start(self, feeds: Sequence[Mapping[str, Array]]) -> None:
        """Begin with the graph's inputs, one entry an image; they are not changed."""
        self._next = 0
        self.held = [dict(feed) for feed in feeds]

    def replace_operand(self, output: str, index: int, value: Array) -> None:
        """Let the node that makes ``output`` read these numbers as its input ``index``."""
        name = f"{output}_operand{index}"
        while name in self._stored or name in self._producer:
            name += "_"
        self._stored[name] = numpy_helper.from_array(value, name)
        self._operands[self._producer[output], index] = name

    def advance(self, context: Context) -> None:
        """Run the next step on every image; ``held`` then has what it was asked for."""
        step = self._steps[self._next]
        self._next += 1
        infer = self._open(serialize(self._part(step))) if step.nodes else None
        for index, held in enumerate(self.held):
            context.cancel.check()
            made = infer({name: held[name] for name in step.inputs}) if infer else []
            held.update(zip(step.outputs, made, strict=True))
            self.held[index] = {name: held[name] for name in step.kept}

    def most_held(self, elements: Callable[[str], int | None]) -> int:
        """Return the most elements that an image holds after a step; open shapes count 0."""
        return max(
            (sum(elements(name) or 0 for name in step.kept) for step in self._steps), default=0
        )

    def _find_repeated(self) -> set[int]:
        """Return the nodes that read stored tensors alone, and DequantizeLinear."""
        found: set[int] = set()
        known = {"", *self._stored}
        for index, node in enumerate(self._nodes):
            if all(name in known for name in node.input):
                known.update(node.output)
                found.add(index)
            elif node.op_type == "DequantizeLinear":
                found.add(index)
        return found

    def _cut(self, wanted: Sequence[Sequence[str]]) -> list[Step]:
        done: set[int] = set()
        parts = []
        for names in wanted:
            nodes, inputs = self._above(names, done)
            parts.append((nodes, inputs))
            done |= nodes - self._repeated
        later: set[str] = set()
        steps = []
        for (nodes, inputs), names in zip(reversed(parts), reversed(wanted), strict=True):
            once = {name for i in nodes - self._repeated for name in self._nodes[i].output}
            made = {name for i in nodes for name in self._nodes[i].output}
            outputs = (once & later) | (set(names) & made)
            steps.append((nodes, inputs, outputs, later | set(names)))
            later = (later - once) | inputs
        steps.reverse()
        return self._with_kept(steps)

    def _with_kept(
        self, parts: Sequence[tuple[set[int], set[str], set[str], set[str]]]
    ) -> list[Step]:
        have = {value.name for value in self._model.graph.input}
        steps = []
        for nodes, inputs, outputs, read in parts:
            have = (have | outputs) & read
            steps.append(
                Step(
                    tuple(sorted(nodes)),
                    tuple(sorted(inputs)),
                    tuple(sorted(outputs)),
                    tuple(sorted(have)),
                )
            )
        return steps

    def _above(self, names: Sequence[str], done: set[int]) -> tuple[set[int], set[str]]:
        """Return the nodes to run for some tensors, and the tensors that are there already."""
        nodes: set[int] = set()
        inputs: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            index = self._producer.get(name)
            if index is None or index in done:
                if name and name not in self._stored:
                    inputs.add(name)
            elif index not in nodes:
                nodes.add(index)
                pending.extend(self._nodes[index].input)
        return nodes, inputs

    def _part(self, step: Step) -> onnx.ModelProto:
        model = onnx.ModelProto(ir_version=self._model.ir_version)
        model.opset_import.extend(self._model.opset_import)
        graph = model.graph
        graph.name = "part"
        for index in step.nodes:
            node = graph.node.add()
            node.CopyFrom(self._nodes[index])
            for (owner, operand), name in self._operands.items():
                if owner == index:
                    node.input[operand] = name
        read = {name for node in graph.node for name in node.input}
        graph.initializer.extend(self._stored[name] for name in sorted(read & set(self._stored)))
        for name in step.inputs:
            array = self.held[0][name]
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
        for name in step.outputs:
            graph.output.append(helper.make_tensor_value_info(name, self._kind(name), None))
        return model

    def _kind(self, name: str) -> int:
        node = self._nodes[self._producer[name]]
        if node.op_type == "QuantizeLinear":
            zero = self._stored.get(node.input[2]) if len(node.input) > 2 else None
            return onnx.TensorProto.UINT8 if zero is None else zero.data_type
        return onnx.TensorProto.FLOAT


def exact_opener(folder: Path, threads: int | None) -> OpenModel:
    """Return what opens models in ONNX Runtime, integers as they are written.

    Args:
        folder: where a model is put meanwhile.
        threads: threads that ONNX Runtime may use; None is one per usable core.
    """

    def open_model(data: bytes) -> Any:
        path = folder / "part.onnx"
        path.write_bytes(data)
        runner = open_runner(Artifact.open(path), "onnxruntime", threads, exact=True)
        order = [value.name for value in runner.outputs]

        def infer(feed: Mapping[str, Array]) -> list[Array]:
            outputs = runner.infer(feed)
            return [outputs[key] for key in order]

        return infer

    return open_model


def levels_of(topology: Topology, targets: set[str]) -> list[list[str]]:
    """Return the layers level by level; none feeds another one of its level or an earlier one."""
    depth: dict[str, int] = {}
    levels: list[list[str]] = []
    for name, node in topology.nodes.items():
        above = max((depth.get(tensor, 0) for tensor in node.input), default=0)
        if name in targets:
            if above == len(levels):
                levels.append([])
            levels[above].append(name)
            above += 1
        depth.update(dict.fromkeys(node.output, above))
    return levels
