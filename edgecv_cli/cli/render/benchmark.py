"""What ``edgecv benchmark`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgecv_cli.cli.render.beside import beside_tables
from edgecv_cli.cli.render.conditions import condition_lines, energy_lines
from edgecv_cli.cli.render.profile import operator_tables, precision_lines
from edgecv_cli.cli.render.tables import fixed, grid, line, measured_on, megabytes, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from edgecv_cli.measure.latency_result import BenchRun
    from edgecv_cli.stages.benchmark_result import BenchmarkResult

_COLUMNS = ("model", "engine", "p50 ms", "p95 ms", "p99 ms", "fps", "load ms", "peak RSS", "size")


def render(result: BenchmarkResult) -> Iterator[RenderableType]:
    """Yield one row a model, the paired ratios, and what makes the figures less certain."""
    with_map = any(run.map is not None for run in result.runs)
    columns = (*_COLUMNS, "mAP50-95") if with_map else _COLUMNS
    names = _names(result.runs)
    rows = [
        _row(run, name, with_map=with_map) for run, name in zip(result.runs, names, strict=True)
    ]
    yield grid(columns, rows, texts=2)
    for run in result.runs:
        if run.error is not None:
            yield warning(f"{run.model} was not timed: {run.error}")
    yield from _ratios(result)
    yield from beside_tables(result.runs, names)
    yield from precision_lines(result)
    yield from energy_lines(result)
    yield from operator_tables(result)
    for gate in result.gates or ():
        yield line(gate.text, "" if gate.met and gate.shown else "yellow" if gate.met else "red")
    for text in result.warnings:
        yield warning(text)
    yield line(_how(result), "dim")
    yield from condition_lines(result)
    yield from measured_on(result.machine)


def _ratios(result: BenchmarkResult) -> Iterator[RenderableType]:
    telling = _names_tell(result.runs)
    for ratio in result.ratios:
        a, b = (Path(label).name if telling else label for label in (ratio.a, ratio.b))
        yield line(
            f"{b}: {ratio.ratio:.2f} x as fast as {a} "
            f"({ratio.low:.2f} to {ratio.high:.2f}, 95 % over launches and paired rounds)"
        )


def _names(runs: Sequence[BenchRun]) -> list[str]:
    """Leave out the folders where file names tell the models apart."""
    telling = _names_tell(runs)
    return [Path(run.model).name if telling else run.model for run in runs]


def _names_tell(runs: Sequence[BenchRun]) -> bool:
    models = {run.model for run in runs}
    return len({Path(model).name for model in models}) == len(models)


def _row(run: BenchRun, name: str, *, with_map: bool) -> tuple[str, ...]:
    between = (run.intervals or {}).get("p50_ms")
    within = "" if between is None else f" ±{(between.high - between.low) / 2:.2f}"
    known = run.loads_from_cache
    cached = "" if known is None else f" ({known} of {run.launches} from cache)"
    cells = (
        name,
        run.engine,
        fixed(run.p50_ms, 2, within),
        fixed(run.p95_ms, 2),
        fixed(run.p99_ms, 2),
        fixed(run.fps, 1),
        fixed(run.load_ms, 0, cached),
        megabytes(run.peak_rss_bytes),
        megabytes(run.size_bytes),
    )
    return (*cells, fixed(run.map)) if with_map else cells


def _how(result: BenchmarkResult) -> str:
    samples = [run.samples for run in result.runs if run.samples]
    threads = sorted({run.threads for run in result.runs})
    images = f"; mAP on {result.images} images" if result.images else ""
    fewest = f"at least {min(samples)} timed inferences each, " if samples else ""
    launched = f" in {result.launches} launches" if result.launches else ""
    return (
        f"{fewest}{result.rounds} interleaved rounds{launched}, "
        f"{'/'.join(map(str, threads))} threads, ±: half of the 95 % interval, "
        f"inference alone (no pre- or post-processing), {result.seconds:.0f} s{images}"
    )
