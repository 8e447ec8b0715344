"""What ``edgecv demo`` shows: before, after, and what the stock quantizer would have done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    ABSENT,
    between,
    facts,
    fixed,
    grid,
    line,
    lost,
    measured_on,
    megabytes,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from edgecv_cli.pipeline.demo_result import DemoResult, DemoSide

_ROWS: tuple[tuple[str, Callable[[DemoSide], str]], ...] = (
    ("mAP50-95", lambda side: fixed(side.map)),
    ("mAP50", lambda side: fixed(side.map50)),
    ("p50 ms", lambda side: fixed(side.p50_ms, 2)),
    ("p95 ms", lambda side: fixed(side.p95_ms, 2)),
    ("peak RSS", lambda side: megabytes(side.peak_rss_bytes)),
    ("size", lambda side: megabytes(side.size_bytes)),
)


def render(result: DemoResult) -> Iterator[RenderableType]:
    """Yield the before/after table, what it amounts to, and where everything lies."""
    from edgecv_cli.pipeline.demo_report import verdict

    yield grid(("", "fp32", "edgecv int8", "stock int8"), _rows(result))
    yield facts(
        [
            ("recipe", result.recipe),
            ("drop", lost(result.drop)),
            ("stock drop", lost(result.stock_drop) if result.stock_drop else None),
            ("smaller", fixed(result.size_ratio, 2, " x")),
            ("faster", fixed(result.speedup, 2, " x")),
            ("interval", between(result.speedup_interval, 2)),
            ("stock faster", _or_none(result.stock_speedup)),
            ("agreement", None if result.agreement is None else fixed(result.agreement)),
        ]
    )
    yield line(verdict(result), "bold green" if result.pays else "bold yellow")
    if not result.pays:
        yield warning("`edgecv quantize --precision auto` would keep fp32 here")
    for text in result.warnings:
        yield warning(text)
    yield line(
        f"mAP on {result.images} labelled scenes, calibrated on {result.calibration_images} "
        f"others; {result.baseline.samples} timed inferences each in {result.rounds} "
        f"interleaved rounds, {result.threads} threads; {result.seconds:.0f} s in all",
        "dim",
    )
    yield from measured_on(result.machine)
    yield facts(
        [
            ("models", ", ".join(result.models)),
            ("pictures", f"{len(result.pictures)}, such as {result.pictures[0]}")
            if result.pictures
            else ("pictures", None),
            ("report", result.report),
        ]
    )
    yield line(f"all of it in {result.output}", "bold green")


def _rows(result: DemoResult) -> Iterator[tuple[str, ...]]:
    for name, cell in _ROWS:
        stock = ABSENT if result.stock is None else cell(result.stock)
        yield name, cell(result.baseline), cell(result.optimized), stock


def _or_none(speedup: float | None) -> str | None:
    return None if speedup is None else fixed(speedup, 2, " x")
