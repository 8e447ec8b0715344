"""What ``benchmark`` returns."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.result import Result
from edgecv_cli.measure.latency_gates import GateOutcome
from edgecv_cli.measure.latency_result import BenchRun, Ratio
from edgecv_cli.measure.machine.conditions import Conditions


class BenchmarkResult(Result):
    """Models x engines, timed in interleaved blocks, each in its own process."""

    schema_: str = Field(
        default="edgecv.benchmark/1", serialization_alias="schema", validation_alias="schema"
    )
    runs: tuple[BenchRun, ...]
    ratios: tuple[Ratio, ...] = Field(description="Every other row against the baseline.")
    warnings: tuple[str, ...]
    rounds: int
    launches: int | None = Field(
        default=None, description="Processes that each row was timed in, one after the other."
    )
    conditions: Conditions | None = None
    images: int | None = Field(default=None, description="Labelled images behind each map.")
    gates: tuple[GateOutcome, ...] | None = Field(
        default=None, description="What became of each --fail-if on each row."
    )
    compared_to: str | None = Field(default=None, description="The baseline's file.")
    seconds: float
    report: str | None = Field(default=None, description="Path of the HTML report.")
