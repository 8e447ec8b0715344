"""What the layers of an engine work in, read from TensorRT's engine inspector.

The inspector's JSON: ``{"Layers": [...]}``, where a layer is its name alone, or, of an engine that
was built with detailed profiling verbosity, an object with ``Name``, ``LayerType``, ``Inputs`` with
a ``Format/Datatype`` in words, ``TacticName`` and ``Metadata``, which names the ONNX nodes that it
was made from. Source: TensorRT documentation, "Engine Inspector".
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, Sequence

_TYPES = {
    "int8": "int8",
    "int4": "int4",
    "fp8": "fp8",
    "fp16": "fp16",
    "half": "fp16",
    "float16": "fp16",
    "bf16": "bf16",
    "bfloat16": "bf16",
    "fp32": "fp32",
    "float": "fp32",
    "float32": "fp32",
}
_TYPE = re.compile(r"\b({})\b".format("|".join(_TYPES)), re.IGNORECASE)
_NODES = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_INTEGER_TACTIC = re.compile(r"_i8(?:i8|f|_)")
# These move numbers and compute nothing, but bear the names of the layers that they serve.
_MOVING = ("reformat", "noop", "constant", "shuffle", "quantize", "dequantize", "signal", "wait")
_WEIGHTED = ("conv", "gemm", "matrixmultiply", "matmul", "fullyconnected")


class Worked(NamedTuple):
    """What the wanted layers work in.

    Attributes:
        counts: precision to how many of them.
        hidden: names of those that are in the engine, where it does not say in what.
        missing: names of those that are in no layer of the engine.
        others: names of those by precision, to show what is wrong.
        layers: how many layers the engine has.
        detailed: whether the engine says anything of its layers but their names.
    """

    counts: dict[str, int]
    hidden: tuple[str, ...]
    missing: tuple[str, ...]
    others: dict[str, list[str]]
    layers: int
    detailed: bool

    @property
    def shown(self) -> int:
        """How many of the wanted layers show what they work in."""
        return sum(self.counts.values())

    def share(self, precision: str) -> float | None:
        """Return the share of a precision among those that show theirs; None where none does."""
        return self.counts.get(precision, 0) / self.shown if self.shown else None


def worked(information: str, wanted: Sequence[str]) -> Worked:
    """Look up layers of the ONNX file in an engine.

    Args:
        information: what ``get_engine_information(LayerInformationFormat.JSON)`` returns.
        wanted: names of ONNX nodes; of nodes without a name ``node_of_`` and their first output.

    Raises:
        ValueError: it is no such JSON.
    """
    layers = _layers(information)
    detailed = [layer for layer in layers if isinstance(layer, dict)]
    places = _places(layers)
    others: dict[str, list[str]] = {}
    hidden, missing = [], []
    for name in wanted:
        found = places.get(name)
        if not found:
            missing.append(name)
            continue
        precision = next((one for one in map(_precision, found) if one), None)
        if precision is None:
            hidden.append(name)
        else:
            others.setdefault(precision, []).append(name)
    counts = {precision: len(names) for precision, names in others.items()}
    return Worked(
        counts, tuple(hidden), tuple(missing), others, len(layers), detailed=bool(detailed)
    )


def _layers(information: str) -> list[Any]:
    read = json.loads(information)
    layers = read.get("Layers") if isinstance(read, dict) else None
    if not isinstance(layers, list):
        raise ValueError("the engine inspector's answer has no layers")  # noqa: TRY004 - no type
    return layers


def _places(layers: Sequence[Any]) -> dict[str, list[Any]]:
    """Return the layers that compute each ONNX node, those with weights first."""
    places: dict[str, list[Any]] = {}
    for layer in layers:
        known = layer if isinstance(layer, dict) else {"Name": str(layer)}
        if _moves(known):
            continue
        names = {part.strip() for part in str(known.get("Name", "")).split(" + ")}
        names.update(_NODES.findall(str(known.get("Metadata", ""))))
        for name in names:
            kept = places.setdefault(name, [])
            kept.insert(0 if _weighted(known) else len(kept), known)
    return places


def _moves(layer: dict[str, Any]) -> bool:
    kind = str(layer.get("LayerType", "")).lower()
    return kind in _MOVING or str(layer.get("Name", "")).startswith("Reformatting CopyNode")


def _weighted(layer: dict[str, Any]) -> bool:
    said = "{} {}".format(layer.get("LayerType", ""), layer.get("ParameterType", "")).lower()
    return any(word in said for word in _WEIGHTED)


def _precision(layer: dict[str, Any]) -> str | None:
    """Return what a layer works in: the type of what it reads, else what its kernel's name says."""
    types = []
    for tensor in layer.get("Inputs") or ():
        said = (
            tensor.get("Format/Datatype") or tensor.get("Datatype")
            if isinstance(tensor, dict)
            else ""
        )
        found = _TYPE.search(str(said or ""))
        if found:
            types.append(_TYPES[found.group(1).lower()])
    if "int8" in types or _INTEGER_TACTIC.search(str(layer.get("TacticName", ""))):
        return "int8"
    return types[0] if types else None


def weighted(information: str) -> dict[str, int]:
    """Return how many layers with weights work in which precision; empty where it is not said.

    Raises:
        ValueError: it is no JSON of the engine inspector's.
    """
    counts: dict[str, int] = {}
    for layer in _layers(information):
        if isinstance(layer, dict) and _weighted(layer) and not _moves(layer):
            precision = _precision(layer)
            if precision is not None:
                counts[precision] = counts.get(precision, 0) + 1
    return counts
