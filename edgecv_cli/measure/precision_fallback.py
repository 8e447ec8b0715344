"""Layers that a file quantizes and that an engine runs in float all the same.

A layer is meant to be float where the file does not quantize it; that is nobody's loss. Where the
file gives it quantized data and weights, an engine that has no kernel for just that form restores
floats first and says nothing: the model is slower than the float one it was made from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgecv_cli.graph.quantized import Layer
from edgecv_cli.runtime.operators import OperatorTime

_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
# What ONNX Runtime and OpenVINO append to the name of what they made a node from.
_APPENDED = re.compile(r"(_token_\d+|_nchwc|/WithoutBiases)$")
_NAMED = 3


@dataclass(frozen=True)
class Fallback:
    """Quantized layers that run in float.

    Attributes:
        operators: their nodes in the engine, slowest first.
        names: the same, by the file's own names where these are known.
        quantized: how many layers the file quantizes.
        share: their share of the time of all operators, 0..1.
    """

    operators: tuple[OperatorTime, ...]
    names: tuple[str, ...]
    quantized: int
    share: float

    def __str__(self) -> str:
        """Say how many, how much of the time, and which come first."""
        names = self.names
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        types = "/".join(sorted({one.precision for one in self.operators}))
        return (
            f"{len(names)} of {self.quantized} layers that the file quantizes run in {types}, "
            f"{self.share:.0%} of the time: {', '.join(names[:_NAMED])}{more}"
        )


def weighted_operators(
    operators: Sequence[OperatorTime], layers: Sequence[Layer]
) -> tuple[OperatorTime, ...]:
    """Return the nodes that are layers with weights: by what the engine shows, or by name."""
    named = _by_alias(layers)
    return tuple(
        one for one in operators if one.weighted or (_is_product(one) and _layer(one, named))
    )


def find_fallback(operators: Sequence[OperatorTime], layers: Sequence[Layer]) -> Fallback | None:
    """Return the layers that the file quantizes and that ran in float, or None.

    Engines rename what they fuse. Nodes that no name connects to a layer are counted: as many of
    them as quantized layers are missing among those that ran in integers.
    """
    named = _by_alias(layers)
    quantized = sum(layer.quantized for layer in layers)
    weighted = weighted_operators(operators, layers)
    floats = sorted(
        (one for one in weighted if one.precision in _FLOATS), key=lambda one: -one.ns[0]
    )
    known = [one for one in floats if (layer := _layer(one, named)) and layer.quantized]
    nameless = [one for one in floats if _layer(one, named) is None]
    integers = sum(one.precision == "int8" for one in weighted)
    missing = max(0, quantized - integers - len(known))
    found = tuple(sorted([*known, *nameless[:missing]], key=lambda one: -one.ns[0]))
    if not found:
        return None
    total = sum(one.ns[0] for one in operators) or 1.0
    names = tuple(layer.name if (layer := _layer(one, named)) else one.name for one in found)
    return Fallback(found, names, quantized, sum(one.ns[0] for one in found) / total)


def precision_text(weighted: Sequence[OperatorTime]) -> str | None:
    """Say what types the layers work in: ``int8 57, float32 6 of 63 weighted layers``."""
    counts = Counter(one.precision for one in weighted)
    if not counts:
        return None
    listed = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return f"{listed} of {counts.total()} weighted layers"


def _is_product(one: OperatorTime) -> bool:
    return "MatMul" in one.kind or "Gemm" in one.kind


def _by_alias(layers: Sequence[Layer]) -> dict[str, Layer]:
    return {alias: layer for layer in layers for alias in layer.aliases}


def _layer(one: OperatorTime, named: dict[str, Layer]) -> Layer | None:
    """Return the layer that a node was made from, by its name without what was appended."""
    name = one.name
    while name not in named:
        shorter = _APPENDED.sub("", name)
        if shorter == name:
            return None
        name = shorter
    return named[name]
