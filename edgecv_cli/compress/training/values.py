"""What operators are given: torch itself, their operands, their attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

Operands = Sequence[Any]
Attributes = Mapping[str, Any]
Op = Callable[[ModuleType, Operands, Attributes], Any]
"""Returns one tensor, or a tuple of them for a node with several outputs. Semantics are those of
the ONNX operator documentation (https://onnx.ai/onnx/operators), operator set 13 and later."""


def operand(x: Operands, place: int) -> Any:
    """Return an operand; None where it is left out."""
    return x[place] if place < len(x) else None


def integers(x: Operands, place: int, given: Any = None) -> list[int] | None:
    """Return integers that are an operand, or else the attribute's value ``given``."""
    value = operand(x, place)
    if value is not None:
        return [int(one) for one in value.reshape(-1).tolist()]
    return None if given is None else [int(one) for one in given]
