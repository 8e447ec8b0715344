"""What ``edgecv demo`` shows: before, stock and after, and where everything is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    fixed,
    grid,
    line,
    lost,
    measured_on,
    megabytes,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.core.result import Drop
    from edgecv_cli.pipeline.demo_result import DemoResult, DemoSide

_COLUMNS = ("model", "mAP50-95", "lost", "p50 ms", "p95 ms", "speed", "peak RSS", "size")


def render(result: DemoResult) -> Iterator[RenderableType]:
    """Yield the before/after table, the verdict, how it was made and the files."""
    from edgecv_cli.pipeline.demo_report import how_made, verdict

    rows = [_row("fp32, as it came", result.baseline, None, 1.0)]
    if result.stock is not None:
        rows.append(
            _row("stock quantize_static", result.stock, result.stock_drop, result.stock_speedup)
        )
    rows.append(_row("edgecv quantize", result.optimized, result.drop, result.speedup))
    yield grid(_COLUMNS, rows)
    yield line(verdict(result), "bold green" if result.pays else "bold yellow")
    yield line(f"recipe: {result.recipe}")
    for text in result.warnings:
        yield warning(text)
    yield line(how_made(result), "dim")
    yield from measured_on(result.machine)
    yield line(f"pictures: {result.output}/pictures ({len(result.pictures)} annotated)")
    yield line(f"models: {result.output}/{{{', '.join(result.models)}}}")
    yield line(f"report: {result.report} (took {result.seconds:.0f} s in all)")


def _row(name: str, side: DemoSide, drop: Drop | None, speed: float | None) -> tuple[str, ...]:
    return (
        name,
        fixed(side.map),
        lost(drop) if drop else "",
        fixed(side.p50_ms, 2),
        fixed(side.p95_ms, 2),
        fixed(speed, 2, " x"),
        megabytes(side.peak_rss_bytes),
        megabytes(side.size_bytes),
    )
