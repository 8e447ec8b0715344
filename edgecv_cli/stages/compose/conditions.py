"""The machine's state and energy in the report of a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.measure.machine.words import conditions_text
from edgecv_cli.report.blocks import Block, Heading, Paragraph, Table
from edgecv_cli.stages.compose.writing import fixed

if TYPE_CHECKING:
    from edgecv_cli.measure.energy import EnergyUse
    from edgecv_cli.measure.latency_result import BenchRun
    from edgecv_cli.stages.benchmark_result import BenchmarkResult


def condition_blocks(result: BenchmarkResult) -> list[Block]:
    """Return what the kernel showed during the rounds; none where it showed nothing."""
    text = "" if result.conditions is None else conditions_text(result.conditions)
    return [Paragraph(f"During the rounds: {text}.", muted=True)] if text else []


def energy_blocks(result: BenchmarkResult) -> list[Block]:
    """Return energy per inference of the rows that have it; none where there was no sensor."""
    measured = [(run, run.energy) for run in result.runs if run.energy is not None]
    if not measured:
        return []
    header = ("model", "mJ per inference", "95 % interval", "beyond idle", "idle", "inferences")
    sensors = dict.fromkeys(f"{use.sensor}: {use.scope}." for _, use in measured)
    return [
        Heading("Energy", 3),
        Table(
            header,
            tuple(_row(run, use) for run, use in measured),
            frozenset(range(1, len(header))),
        ),
        Paragraph(" ".join(sensors), muted=True),
    ]


def _row(run: BenchRun, use: EnergyUse) -> tuple[str, ...]:
    between = use.interval
    return (
        f"{Path(run.model).name} on {run.engine}",
        fixed(use.mj_per_inference, 1, " mJ"),
        "" if between is None else f"{between.low:.1f} to {between.high:.1f}",
        fixed(use.net_mj_per_inference, 1, " mJ"),
        fixed(use.idle_watts, 1, " W"),
        str(use.inferences),
    )
