"""What a benchmark shows of the machine's state and of energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import line
from edgecv_cli.measure.machine.words import conditions_text, energy_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.benchmark_result import BenchmarkResult


def energy_lines(result: BenchmarkResult) -> Iterator[RenderableType]:
    """Yield one line a row that has a figure, and one on the sensor."""
    measured = [run for run in result.runs if run.energy is not None]
    engines = len({run.engine for run in result.runs}) > 1
    for run in measured:
        if run.energy is not None:
            on = f" on {run.engine}" if engines else ""
            yield line(f"{run.model}{on}: {energy_text(run.energy)}")
    for sensor, scope in dict.fromkeys(
        (run.energy.sensor, run.energy.scope) for run in measured if run.energy is not None
    ):
        yield line(f"energy by {sensor}: {scope}", "dim")


def condition_lines(result: BenchmarkResult) -> Iterator[RenderableType]:
    """Yield what the kernel showed of the machine during the rounds."""
    if result.conditions is not None and (text := conditions_text(result.conditions)):
        yield line(f"during the rounds: {text}", "dim")
