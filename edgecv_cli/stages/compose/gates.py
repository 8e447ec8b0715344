"""What became of conditions, those that fail first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import Block, Callout, Table
from edgecv_cli.stages.compose.writing import plural

if TYPE_CHECKING:
    from edgecv_cli.measure.latency_gates import GateOutcome


def gate_blocks(gates: Sequence[GateOutcome] | None, compared_to: str | None = None) -> list[Block]:
    """Return the verdict and a row for each outcome; nothing without conditions.

    Args:
        gates: the outcomes.
        compared_to: the baseline's file, if there was one.
    """
    if not gates:
        return []
    failed = [gate for gate in gates if not gate.met]
    against = f" Baseline: {Path(compared_to).name}." if compared_to else ""
    text = f"{len(gates) - len(failed)} of {plural(len(gates), 'gate')} met.{against}"
    rows = tuple(_gate(gate) for gate in sorted(gates, key=lambda gate: gate.met))
    return [
        Callout("Failed:" if failed else "Passed:", text, "bad" if failed else "good"),
        Table(("fails if", "row", "figure", "interval", "outcome"), rows, frozenset({2, 3})),
    ]


def _gate(gate: GateOutcome) -> tuple[str, ...]:
    outcome = "met" if gate.met else "FAILED"
    if gate.met and not gate.shown:
        outcome = "met, the interval leaves it open"
    between = "" if gate.low is None or gate.high is None else f"{gate.low:.4g} to {gate.high:.4g}"
    value = "" if gate.value is None else f"{gate.value:.4g}"
    return gate.condition, f"{Path(gate.model).name} on {gate.engine}", value, between, outcome
