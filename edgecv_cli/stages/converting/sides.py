"""One of two artifacts that were compared, as results show it."""

from __future__ import annotations

from edgecv_cli.measure.accuracy import AccuracyResult
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.stages.quantize_result import Side


def side_of(accuracy: AccuracyResult | None, run: BenchRun | None, size: int) -> Side:
    """Return what was measured of one side; what was not measured is absent."""
    return Side(
        map=accuracy.map if accuracy else None,
        map50=accuracy.map50 if accuracy else None,
        per_class=accuracy.per_class if accuracy else None,
        interval=accuracy.interval if accuracy else None,
        p50_ms=run.p50_ms if run else None,
        p95_ms=run.p95_ms if run else None,
        samples=run.samples if run else None,
        distribution=run.distribution if run else None,
        size_bytes=size,
    )
