"""Run a small graph with onnx's reference evaluator, within a bound on memory."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from edgecv_cli.graph.effort import MAKERS, NEVER_GROW, effort

Array = NDArray[Any]
_SMALL = 4096  # elements of an input that may say a size
_MOST_EFFORT = 4_000_000_000  # over all runs of one graph; YOLOv8n at 640 pixels takes a twentieth


class GatherElements(OpRun):
    """ONNX GatherElements; onnx's own goes through numpy.choose, which takes 64 rows at most."""

    op_domain = ""

    def _run(self, data: Array, indices: Array, axis: int | None = None) -> tuple[Array]:
        return (np.take_along_axis(data, indices, axis=axis or 0),)


class NonZero(OpRun):
    """What a threshold keeps, taken as everything: a layout does not hang on the scores."""

    op_domain = ""

    def _run(self, data: Array) -> tuple[Array]:
        return (np.stack(np.nonzero(np.ones(data.shape, np.bool_))).astype(np.int64),)


class TooLargeError(Exception):
    """An operator would make more elements than the bound allows."""


class BoundedEvaluator:
    """A graph that stops before it makes more than ``limit`` elements in all, or takes too long.

    Sizes may be worked out while running, so each operator is held against the bound with the
    values that it is about to read: a hostile graph can't make numpy allocate what no machine
    has.
    """

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str], limit: int) -> None:
        self._evaluator = ReferenceEvaluator(model, new_ops=[GatherElements, NonZero])
        self._outputs = tuple(outputs)
        self._limit = limit
        self._made = 0
        self._effort = 0
        self._opsets = list(model.opset_import)
        for node in self._evaluator.rt_nodes_:
            node.run = functools.partial(self._step, node.onnx_node, node.run)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; returns every output by name.

        Raises:
            TooLargeError: the bound would be passed. The evaluator raises anything else.
        """
        self._made = 0
        with np.errstate(all="ignore"):
            values = self._evaluator.run(None, dict(feeds))
        return dict(zip(self._outputs, (np.asarray(value) for value in values), strict=True))

    def _step(
        self, node: onnx.NodeProto, run: Callable[..., Any], *inputs: Any, **rest: Any
    ) -> Any:
        arrays = [np.asarray(value) for value in inputs if value is not None]
        about_to_make = elements_made(node.op_type, arrays)
        if node.op_type not in MAKERS | NEVER_GROW:
            about_to_make = max(about_to_make, self._inferred(node, inputs))
        if self._made + about_to_make > self._limit:
            raise TooLargeError(f"{node.op_type} would make too large a tensor")
        self._effort += effort(node.op_type, arrays, about_to_make)
        if self._effort > _MOST_EFFORT:
            raise TooLargeError(f"{node.op_type} would take too long")
        results = run(*inputs, **rest)
        self._made += sum(int(np.size(value)) for value in results)
        return results

    def _inferred(self, node: onnx.NodeProto, inputs: Sequence[Any]) -> int:
        """Return how many elements a node makes of these values, 0 where its schema won't say."""
        named = zip(node.input, inputs, strict=False)
        arrays = (np.ndarray, np.generic)
        known = {k: np.asarray(value) for k, value in named if k and isinstance(value, arrays)}
        try:
            types = {
                name: onnx.helper.make_tensor_type_proto(
                    onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
                )
                for name, value in known.items()
            }
            small = {
                name: numpy_helper.from_array(value, name)
                for name, value in known.items()
                if value.size <= _SMALL
            }
            schema = onnx.defs.get_schema(node.op_type, _version(self._opsets), node.domain)
            found = onnx.shape_inference.infer_node_outputs(
                schema, node, types, small, opset_imports=self._opsets
            )
        except Exception:  # noqa: BLE001 - a node that no schema explains; running it will tell
            return 0
        shapes = [kind.tensor_type.shape.dim for kind in found.values()]
        return sum(math.prod(dim.dim_value for dim in shape) for shape in shapes)


def _version(opsets: Sequence[onnx.OperatorSetIdProto]) -> int:
    """Return the version of onnx's own operators."""
    own = [int(entry.version) for entry in opsets if entry.domain in ("", "ai.onnx")]
    return max(own, default=1)


def elements_made(kind: str, inputs: Sequence[Array]) -> int:
    """Return how many elements an operator is about to make, where inputs decide that."""
    if kind == "Range":
        start, stop, step = (float(value.ravel()[0]) for value in inputs)
        return math.ceil(abs((stop - start) / step)) if step else 0
    if kind in MAKERS:
        sizes = math.prod(int(size) for size in inputs[-1].ravel())
        return abs(sizes) * (inputs[0].size if kind == "Tile" else 1)
    try:
        return math.prod(np.broadcast_shapes(*(value.shape for value in inputs)))
    except ValueError:
        return 0
