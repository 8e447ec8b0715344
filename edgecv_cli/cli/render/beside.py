"""What ``edgecv benchmark`` shows of whole pictures, streams and scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import fixed, grid, line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from edgecv_cli.core.result import Interval
    from edgecv_cli.measure.latency_result import BenchRun

_STAGES = ("decode", "preprocess", "infer", "postprocess", "total")


def beside_tables(runs: Sequence[BenchRun], names: Sequence[str]) -> Iterator[RenderableType]:
    """Yield a table and how it was made for each kind of figure that was asked for."""
    rows = list(zip(runs, names, strict=True))
    yield from _whole(rows)
    yield from _streams(rows)
    yield from _scenarios(rows)


def _whole(rows: Sequence[tuple[BenchRun, str]]) -> Iterator[RenderableType]:
    found = [(run, name, run.end_to_end) for run, name in rows if run.end_to_end is not None]
    if not found:
        return
    yield grid(
        ("whole picture, p50 ms", "engine", *_STAGES, "p95", "fps"),
        [
            (
                name,
                run.engine,
                *(fixed(getattr(whole, stage).p50_ms, 2) for stage in _STAGES),
                fixed(whole.total.p95_ms, 2),
                fixed(whole.fps, 1),
            )
            for run, name, whole in found
        ],
        texts=2,
    )
    one = found[0][2]
    yield line(
        f"one picture after the other, {one.source}, at least "
        f"{min(whole.samples for _, _, whole in found)} timed each",
        "dim",
    )


def _streams(rows: Sequence[tuple[BenchRun, str]]) -> Iterator[RenderableType]:
    found = [(run, name, run.throughput) for run, name in rows if run.throughput is not None]
    if not found:
        return
    yield grid(
        ("throughput", "engine", "streams", "fps", "p50 ms", "p95 ms", "p99 ms"),
        [
            (
                name,
                run.engine,
                str(one.streams),
                fixed(one.fps, 1, _half(one.interval)),
                fixed(one.p50_ms, 2),
                fixed(one.p95_ms, 2),
                fixed(one.p99_ms, 2),
            )
            for run, name, one in found
        ],
        texts=2,
    )
    yield line(
        "images a second of all streams together; times of one inference while the others run; "
        f"±: half of the 95 % interval over at least {min(one.turns for _, _, one in found)} turns",
        "dim",
    )


def _scenarios(rows: Sequence[tuple[BenchRun, str]]) -> Iterator[RenderableType]:
    for run, name in rows:
        one = run.scenario
        if one is None:
            continue
        percentile = f"p{one.percentile:.0f}"
        many = f", {one.samples_per_query} samples each" if one.samples_per_query > 1 else ""
        if one.latency_ms is None:
            yield line(
                f"{one.scenario}: {name} on {run.engine}: {percentile} can't be stated after "
                f"{one.queries} queries; it takes {one.queries_needed} (a longer --duration, or "
                f"--samples {one.queries_needed})",
                "yellow",
            )
        else:
            yield line(
                f"{one.scenario}: {name} on {run.engine}: {percentile} is at most "
                f"{one.latency_ms:.2f} ms with {one.confidence:.0%} confidence "
                f"({one.measured_ms:.2f} ms measured, {one.queries} queries{many}, "
                f"{one.streams} in flight)"
            )


def _half(interval: Interval | None) -> str:
    return "" if interval is None else f" ±{(interval.high - interval.low) / 2:.1f}"
