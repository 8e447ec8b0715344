"""What ``edgecv benchmark --devices`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.beside import beside_tables
from edgecv_cli.cli.render.tables import fixed, grid, line, measured_on, megabytes, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from edgecv_cli.pipeline.fleet.result import DeviceResult, FleetResult

_COLUMNS = ("device", "model", "engine", "p50 ms", "p95 ms", "p99 ms", "fps", "peak RSS")


def render(result: FleetResult) -> Iterator[RenderableType]:
    """Yield one table of all devices, what each adds to it, and those that gave no figures."""
    measured = [one.benchmark for one in result.devices if one.benchmark is not None]
    with_map = any(run.map is not None for one in measured for run in one.runs)
    columns = (*_COLUMNS, "mAP50-95") if with_map else _COLUMNS
    rows = [row[: len(columns)] for device in result.devices for row in _rows(device)]
    yield grid(columns, rows, texts=3)
    yield from _beside(result.devices)
    for device in result.devices:
        yield from _details(device)
    for device in result.failed:
        yield warning(f"no figures: {device.error}")
        yield line(f"  fix: {device.remedy}")
    yield line(
        f"{len(result.devices) - len(result.failed)} of {len(result.devices)} devices, each alone "
        f"and by itself, {result.seconds:.0f} s; times of different machines make no ratio",
        "dim",
    )


def _beside(devices: Sequence[DeviceResult]) -> Iterator[RenderableType]:
    runs = [(one.name, run) for one in devices if one.benchmark for run in one.benchmark.runs]
    names = [f"{device}: {run.model}" for device, run in runs]
    yield from beside_tables([run for _, run in runs], names)


def _rows(device: DeviceResult) -> list[tuple[str, ...]]:
    if device.benchmark is None:
        return [(device.name, "no figures", *("" for _ in _COLUMNS[2:]), "")]
    return [
        (
            device.name,
            run.model,
            run.engine,
            fixed(run.p50_ms, 2),
            fixed(run.p95_ms, 2),
            fixed(run.p99_ms, 2),
            fixed(run.fps, 1),
            megabytes(run.peak_rss_bytes),
            fixed(run.map),
        )
        for run in device.benchmark.runs
    ]


def _details(device: DeviceResult) -> Iterator[RenderableType]:
    measured = device.benchmark
    if measured is None:
        return
    for text in measured_on(measured.machine):
        yield line(f"{device.name}: {text.plain}", "dim")
    for run in measured.runs:
        if run.error is not None:
            yield warning(f"{device.name}: {run.model} was not timed: {run.error}")
    for ratio in measured.ratios:
        yield line(
            f"{device.name}: {ratio.b}: {ratio.ratio:.2f} x as fast as {ratio.a} "
            f"({ratio.low:.2f} to {ratio.high:.2f}, 95 % interval)"
        )
    for gate in measured.gates or ():
        style = "" if gate.met and gate.shown else "yellow" if gate.met else "red"
        yield line(f"{device.name}: {gate.text}", style)
    for said in measured.warnings:
        yield warning(f"{device.name}: {said}")
