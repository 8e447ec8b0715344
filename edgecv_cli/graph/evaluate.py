"""Run a small graph with onnx's reference evaluator, within a bound on memory."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = NDArray[Any]
_MAKERS = frozenset({"Expand", "ConstantOfShape", "Tile", "Range"})


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
    """A graph that stops before it makes more than ``limit`` elements in all.

    Sizes may be worked out while running, so each operator is held against the bound with the
    values that it is about to read: a hostile graph can't make numpy allocate what no machine
    has.
    """

    def __init__(self, model: onnx.ModelProto, outputs: Sequence[str], limit: int) -> None:
        self._evaluator = ReferenceEvaluator(model, new_ops=[GatherElements, NonZero])
        self._outputs = tuple(outputs)
        self._limit = limit
        self._made = 0
        for node in self._evaluator.rt_nodes_:
            node.run = functools.partial(self._step, node.op_type, node.run)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; returns every output by name.

        Raises:
            TooLargeError: the bound would be passed. The evaluator raises anything else.
        """
        self._made = 0
        with np.errstate(all="ignore"):
            values = self._evaluator.run(None, dict(feeds))
        return dict(zip(self._outputs, (np.asarray(value) for value in values), strict=True))

    def _step(self, kind: str, run: Callable[..., Any], *inputs: Any, **rest: Any) -> Any:
        arrays = [np.asarray(value) for value in inputs if value is not None]
        if self._made + elements_made(kind, arrays) > self._limit:
            raise TooLargeError(f"{kind} would make too large a tensor")
        results = run(*inputs, **rest)
        self._made += sum(int(np.size(value)) for value in results)
        return results


def elements_made(kind: str, inputs: Sequence[Array]) -> int:
    """Return how many elements an operator is about to make, where inputs decide that."""
    if kind == "Range":
        start, stop, step = (float(value.ravel()[0]) for value in inputs)
        return math.ceil(abs((stop - start) / step)) if step else 0
    if kind in _MAKERS:
        sizes = math.prod(int(size) for size in inputs[-1].ravel())
        return abs(sizes) * (inputs[0].size if kind == "Tile" else 1)
    try:
        return math.prod(np.broadcast_shapes(*(value.shape for value in inputs)))
    except ValueError:
        return 0
