"""Where the time of an inference goes: the operators that an engine really runs.

It is measured in a process of its own, after and apart from the timing: an engine that keeps the
time of each node is slower. Shares are the finding; milliseconds are those of the slower run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import mean, median
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgecv_cli.core.measurement import NS_PER_MS
from edgecv_cli.core.result import Part
from edgecv_cli.runtime.operators import OperatorTime

if TYPE_CHECKING:
    from edgecv_cli.measure.operator_child import Seen

_SHOWN = 15
_STATISTICS = {"median": median, "mean": mean}
_QUANTIZING = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "FakeQuantize"}
)


class Operator(Part):
    """One node of the graph that the engine made of the file."""

    name: str = Field(description="The engine's own name for it.")
    kind: str = Field(description="Operator, in the engine's words.")
    kernel: str | None = Field(default=None, description="What carried it out, where shown.")
    precision: str = Field(description="The type that it works in, or unknown.")
    ms: float = Field(description="In one inference.")
    share: float = Field(description="Of the time of all operators, 0..1.")
    calls: int = Field(description="How often it runs in one inference.")


class OperatorKind(Part):
    """All nodes of one operator together."""

    kind: str
    count: int
    ms: float
    share: float = Field(description="Of the time of all operators, 0..1.")


class OperatorProfile(Part):
    """Where the time goes, by the engine's own counters, in inferences apart from the timed ones.

    These are slower than those that were timed, because the engine keeps counters: shares hold
    for them, milliseconds do not.
    """

    inferences: int = Field(description="Inferences behind it; a first one is not counted.")
    statistic: Literal["median", "mean"] = Field(
        description="Over inferences, of each operator's time: the engine may keep only the mean."
    )
    inference_ms: float = Field(description="Those inferences as a whole, by the same statistic.")
    operators_ms: float = Field(description="Sum over all operators.")
    operator_count: int = Field(description="Operators that the engine runs.")
    operators: tuple[Operator, ...] = Field(description="The slowest of them, slowest first.")
    kinds: tuple[OperatorKind, ...] = Field(description="All operators by kind, slowest first.")
    quantize_share: float | None = Field(
        default=None,
        description="Share of time that goes to and from integers: QuantizeLinear, "
        "DequantizeLinear and reorders of integers that the engine runs as operators; absent "
        "where nothing runs in 8 bits or fewer and none of them is left.",
    )
    precisions: dict[str, int] = Field(
        description="Layers with weights, by the type that they work in."
    )
    providers: dict[str, float] = Field(description="Share of time by where operators ran.")


def profile_of(seen: Seen, weighted: Sequence[OperatorTime]) -> OperatorProfile:
    """Put what a child saw into figures.

    Args:
        seen: the operators and their times.
        weighted: those of them that are layers with weights.
    """
    total = sum(one.ns[0] for one in seen.operators) or 1.0
    slowest = sorted(seen.operators, key=lambda one: -one.ns[0])
    return OperatorProfile(
        inferences=len(seen.wall_ns),
        statistic=seen.statistic,
        inference_ms=_STATISTICS[seen.statistic](seen.wall_ns) / NS_PER_MS,
        operators_ms=sum(one.ns[0] for one in seen.operators) / NS_PER_MS,
        operator_count=len(seen.operators),
        operators=tuple(_operator(one, total) for one in slowest[:_SHOWN]),
        kinds=_kinds(seen.operators, total),
        quantize_share=_quantize_share(seen.operators, total),
        precisions=dict(Counter(one.precision for one in weighted).most_common()),
        providers=_providers(seen.operators, total),
    )


def _operator(one: OperatorTime, total: float) -> Operator:
    return Operator(
        name=one.name,
        kind=one.kind,
        kernel=one.kernel,
        precision=one.precision,
        ms=one.ns[0] / NS_PER_MS,
        share=one.ns[0] / total,
        calls=one.calls,
    )


def _kinds(operators: Sequence[OperatorTime], total: float) -> tuple[OperatorKind, ...]:
    times: dict[str, list[float]] = defaultdict(list)
    for one in operators:
        times[one.kind].append(one.ns[0])
    found = [
        OperatorKind(kind=kind, count=len(ns), ms=sum(ns) / NS_PER_MS, share=sum(ns) / total)
        for kind, ns in times.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.ms))


def _quantize_share(operators: Sequence[OperatorTime], total: float) -> float | None:
    if not any(one.precision == "int8" or one.kind in _QUANTIZING for one in operators):
        return None
    return sum(one.ns[0] for one in operators if _is_conversion(one)) / total


def _is_conversion(one: OperatorTime) -> bool:
    return one.kind in _QUANTIZING or (one.kind == "Reorder" and one.precision == "int8")


def _providers(operators: Sequence[OperatorTime], total: float) -> dict[str, float]:
    shares: dict[str, float] = defaultdict(float)
    for one in operators:
        shares[one.provider] += one.ns[0] / total
    return dict(shares)
