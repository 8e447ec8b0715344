"""A spec held against the graph that it is to read: refused where shapes contradict it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgecv_cli.core.errors import ConfigError, ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.grid import cell_count
from edgecv_cli.detector.heads import build_decoder
from edgecv_cli.detector.heads.base import Reading
from edgecv_cli.detector.probing import shapes_of
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.facts import GraphFacts

_DOUBTED = 0.3
_SHOWN = ("boxes", "normalized", "code", "activations", "strides", "reg_max")


def require_fitting(spec: DetectorSpec, told: Mapping[str, Any], facts: GraphFacts) -> None:
    """Check a spec that the user had a hand in against the graph's shapes.

    Raises:
        ConfigError: an output is not there, or its shape can't be what the spec says.
    """
    types = {output.name: output.dtype for output in facts.outputs}
    outputs = [
        TensorSpec(name, shape, types.get(name, "float32"))
        for name, shape in shapes_of(facts).items()
    ]
    try:
        build_decoder(spec, outputs)
    except ModelError as error:
        raise ConfigError(
            f"the spec contradicts the graph: {error.problem}", remedy=error.remedy
        ) from error
    if "strides" in told and spec.code == "none":
        _require_cells(spec, outputs)


def _require_cells(spec: DetectorSpec, outputs: list[TensorSpec]) -> None:
    """Boxes that come decoded need no strides, but told ones must be theirs."""
    named = {output.name: output for output in outputs}
    height, width = spec.input.size
    for tensor in spec.outputs.tensors:
        axes = tensor.axes.split(",")
        rows = named[tensor.name].shape[axes.index("n")] if "n" in axes else None
        strides = spec.strides if tensor.stride is None else (tensor.stride,)
        cells = cell_count(spec.input.size, strides)
        if rows and (not cells or rows % cells):
            raise ConfigError(
                f"the spec contradicts the graph: output {named[tensor.name]} has {rows} "
                f"candidates, but strides {'/'.join(map(str, strides))} at {height}x{width} have "
                f"{cells} cells",
                remedy="correct `strides` in --spec, or leave them out",
            )


def doubts(
    reading: Reading, found: list[Reading], told: Mapping[str, Any]
) -> tuple[tuple[str, ...], float]:
    """Return what the probe says against what is told, and the confidence that is left.

    Args:
        reading: the one that is followed.
        found: all readings that the probe supports.
        told: the spec keys that the user sets.
    """
    family = reading.spec.family
    others = [other for other in found if other.spec.family != family]
    if not any(other.spec.family == family for other in found) and others and family != "generic":
        rival = others[0]
        words = (
            f"the graph does not answer as family {family}, but as {rival.spec.family}: "
            f"{rival.evidence[-1]}"
        )
        return (words,), min(reading.confidence, _DOUBTED)
    if not any(reading is other for other in found):
        return (), reading.confidence
    against = []
    for key in _SHOWN:
        seen = getattr(reading.spec, key)
        if key in told and key not in reading.choice and _plain(told[key]) != _plain(seen):
            against.append(f"told {key} {told[key]}, though the graph answers as {seen}")
    return tuple(against), min(reading.confidence, _DOUBTED) if against else reading.confidence


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
