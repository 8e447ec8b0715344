"""Conditions under which a command fails: ``p95_ms > 30``, ``p95_ms > +5%``, ``map < 0.30``."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from edgecv_cli.core.errors import UsageError

METRICS = (
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "mean_ms",
    "fps",
    "load_ms",
    "first_inference_ms",
    "peak_rss_bytes",
    "size_bytes",
    "map",
)
"""What a benchmark measures of every row and a condition can be put on."""

METRICS_BESIDE = {
    "throughput_fps": "--streams N",
    "throughput_p50_ms": "--streams N",
    "throughput_p95_ms": "--streams N",
    "throughput_p99_ms": "--streams N",
    "p90_single_stream_ms": "--scenario single-stream",
    "p99_multi_stream_ms": "--scenario multi-stream",
    "total_p50_ms": "--end-to-end",
    "total_p95_ms": "--end-to-end",
    "end_to_end_fps": "--end-to-end",
    "energy_mj": "",
}
"""What it measures besides, and the option that asks for it; energy: where there is a sensor."""

ACCURACY_METRICS = ("map", "map50", "map75", "map_small", "map_medium", "map_large")
"""What evaluate measures and a condition can be put on."""

_KNOWN = (*METRICS, *METRICS_BESIDE)
_FORM = re.compile(
    r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*([<>])\s*([+-]?[0-9.]+(?:[eE][+-]?\d+)?)\s*(%?)\s*"
)
_EXAMPLES = "such as 'p95_ms > 30', 'p95_ms > +5%' (against --compare) or 'map < 0.30'"
_ACCURACY_EXAMPLES = "such as 'map < 0.30' or 'map_small < 0.10'"


@dataclass(frozen=True)
class FailIf:
    """One condition.

    Attributes:
        metric: one of ``METRICS`` or ``METRICS_BESIDE``, or of ``ACCURACY_METRICS``.
        side: on which side of the bound it fails.
        bound: a figure in the metric's unit; if ``relative``, a fraction of the baseline's figure
            that it may differ by (0.05: 5 % above it).
        relative: whether it is against a baseline.
    """

    metric: str
    side: Literal["<", ">"]
    bound: float
    relative: bool

    @classmethod
    def parse(cls, text: str, metrics: Sequence[str] = _KNOWN, examples: str = _EXAMPLES) -> Self:
        """Read a condition.

        Args:
            text: as it was written.
            metrics: what it can be put on.
            examples: what to write instead of what is none.

        Raises:
            ValueError: it is none, or of something that is not measured.
        """
        match = _FORM.fullmatch(text)
        if not match:
            raise ValueError(f"write NAME < NUMBER or NAME > NUMBER, {examples}, not {text!r}")
        metric, sign, number, percent = match.groups()
        if metric not in metrics:
            raise ValueError(f"'{metric}' is not measured; name one of: {', '.join(metrics)}")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{number!r} is no number")
        if percent and number[0] not in "+-":
            raise ValueError(
                f"{number}% of what? write +{number}% or -{number}%: from the baseline"
            )
        if percent and value <= -100:
            raise ValueError(f"{number}% from the baseline is nothing or less")
        side: Literal["<", ">"] = "<" if sign == "<" else ">"
        return cls(metric, side, value / 100 if percent else value, bool(percent))

    def __str__(self) -> str:
        bound = f"{100 * self.bound:+g}%" if self.relative else f"{self.bound:g}"
        return f"{self.metric} {self.side} {bound}"

    def leaves_nothing(self, other: FailIf) -> bool:
        """Return whether every figure fails by this condition or by the other."""
        alike = (self.metric, self.relative) == (other.metric, other.relative)
        if not alike or self.side == other.side:
            return False
        above, below = (self, other) if self.side == ">" else (other, self)
        return above.bound < below.bound


def refuse_contradictions(conditions: Sequence[FailIf]) -> None:
    """Refuse conditions that no figure can meet together.

    Raises:
        UsageError: naming the two.
    """
    for one, other in itertools.combinations(conditions, 2):
        if one.leaves_nothing(other):
            raise UsageError(
                f"--fail-if '{one}' and '{other}' leave nothing that passes",
                remedy="write '>' with the larger bound and '<' with the smaller one",
            )


def _condition(value: Any) -> Any:
    return value if isinstance(value, FailIf) else FailIf.parse(str(value))


def _accuracy_condition(value: Any) -> Any:
    if isinstance(value, FailIf):
        return value
    condition = FailIf.parse(str(value), ACCURACY_METRICS, _ACCURACY_EXAMPLES)
    if condition.relative:
        raise ValueError(f"there is no baseline for a %; write a number, {_ACCURACY_EXAMPLES}")
    return condition


_AS_WRITTEN = PlainSerializer(str, return_type=str, when_used="unless-none")
_STRING = WithJsonSchema({"type": "string"})

Condition = Annotated[FailIf, BeforeValidator(_condition), _AS_WRITTEN, _STRING]
"""A :class:`FailIf`, as it is written."""

AccuracyCondition = Annotated[FailIf, BeforeValidator(_accuracy_condition), _AS_WRITTEN, _STRING]
"""A :class:`FailIf` on what evaluate measures."""
