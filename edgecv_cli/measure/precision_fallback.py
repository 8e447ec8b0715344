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
        names: those that are known, slowest first, as the file names them.
        count: how many there are.
        quantized: how many layers the file quantizes.
        precisions: what they run in.
        share: their share of the time of all operators, 0..1; at least that where not all are
            known by name.
    """

    names: tuple[str, ...]
    count: int
    quantized: int
    precisions: tuple[str, ...]
    share: float

    def __str__(self) -> str:
        """Say how many, how much of the time, and which come first."""
        shown = ", ".join(self.names[:_NAMED])
        left = self.count - len(self.names[:_NAMED])
        named = f": {shown}" + (f" and {left} more" if left else "") if shown else ""
        least = "at least " if len(self.names) < self.count else ""
        return (
            f"{self.count} of {self.quantized} layers that the file quantizes run in "
            f"{'/'.join(self.precisions)}, {least}{self.share:.0%} of the time{named}"
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

    Engines rename what they fuse. Of float nodes that no name connects to a layer, as many count
    as quantized layers are missing among the integer ones and as the file's float layers leave
    over; the fastest of them, so that their share is not made larger than it is.
    """
    named = _by_alias(layers)
    weighted = weighted_operators(operators, layers)
    made_from = [(one, _layer(one, named)) for one in weighted if one.precision in _FLOATS]
    known = [(one, layer) for one, layer in made_from if layer is not None and layer.quantized]
    nameless = sorted(one.ns[0] for one, layer in made_from if layer is None)
    quantized = sum(layer.quantized for layer in layers)
    integers = sum(one.precision == "int8" for one in weighted)
    meant = {layer for layer in layers if not layer.quantized} - {layer for _, layer in made_from}
    more = max(0, min(quantized - integers - len(known), len(nameless) - len(meant)))
    if not known and not more:
        return None
    known.sort(key=lambda pair: -pair[0].ns[0])
    taken = sum(one.ns[0] for one, _ in known) + sum(nameless[:more])
    return Fallback(
        names=tuple(layer.name for _, layer in known),
        count=len(known) + more,
        quantized=quantized,
        precisions=tuple(sorted({one.precision for one, _ in made_from})),
        share=taken / (sum(one.ns[0] for one in operators) or 1.0),
    )


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
