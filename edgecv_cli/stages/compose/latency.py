"""The distribution of timed inferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecv_cli.core.measurement import Distribution
from edgecv_cli.report.blocks import Block, Curves, Histograms, Line, Paragraph, Series
from edgecv_cli.stages.compose.writing import plural


@dataclass(frozen=True)
class Timed:
    """One artifact's times; anything that was not measured is None."""

    label: str
    p50_ms: float | None
    p95_ms: float | None
    distribution: Distribution | None


def latency_blocks(timed: Sequence[Timed], how: str) -> list[Block]:
    """Return curves and histograms of what was timed, and how; nothing where nothing was."""
    series = tuple(
        _series(entry.label, entry.p50_ms, entry.p95_ms, entry.distribution)
        for entry in timed
        if entry.p50_ms is not None and entry.p95_ms is not None and entry.distribution
    )
    if not series:
        return []
    drawn = [entry for entry in map(_line, timed) if entry is not None]
    reading = (
        "Each histogram holds every timed inference, one after the other, of the network alone: "
        "no reading, resizing or box decoding. Its height is scaled to its own fullest bin; the "
        "solid line is the median (p50), the dashed line the 95th percentile (p95)."
    )
    several: list[Block] = []
    if len(drawn) > 1:
        percent = "% of inferences"
        several = [
            Curves("Inferences that were done within", "ms", percent, tuple(drawn), (0, 100))
        ]
    return [
        *several,
        Histograms("Time of one inference", "ms", series),
        Paragraph(f"{reading} How it was timed: {how}", muted=True),
    ]


def _line(entry: Timed) -> Line | None:
    """Return how many inferences were done by when, up to the 99th percentile."""
    times = entry.distribution
    if times is None or times.quantiles_ms is None:
        return None
    done = times.quantiles_ms
    if len(done) != 101:
        return None
    points = tuple((time, float(share)) for share, time in enumerate(done[:100]))
    return Line(
        entry.label, points, f"p50 {done[50]:.2f}, p95 {done[95]:.2f}, p99 {done[99]:.2f} ms"
    )


def _series(label: str, p50: float, p95: float, times: Distribution) -> Series:
    detail = plural(times.samples, "inference")
    if times.slower:
        detail += f", {times.slower} of them slower than shown, up to {times.max_ms:.2f} ms"
    return Series(
        label, times.from_ms, times.bin_ms, times.counts, (("p50", p50), ("p95", p95)), detail
    )
