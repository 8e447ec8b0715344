"""The distribution of timed inferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgecv_cli.core.measurement import Distribution
from edgecv_cli.report.blocks import Block, Histograms, Paragraph, Series
from edgecv_cli.stages.compose.writing import plural


@dataclass(frozen=True)
class Timed:
    """One artifact's times; anything that was not measured is None."""

    label: str
    p50_ms: float | None
    p95_ms: float | None
    distribution: Distribution | None


def latency_blocks(timed: Sequence[Timed], how: str) -> list[Block]:
    """Return the histograms of what was timed, and how; nothing where nothing was."""
    series = tuple(
        _series(entry.label, entry.p50_ms, entry.p95_ms, entry.distribution)
        for entry in timed
        if entry.p50_ms is not None and entry.p95_ms is not None and entry.distribution
    )
    if not series:
        return []
    reading = (
        "Each histogram holds every timed inference, one after the other, of the network alone: "
        "no reading, resizing or box decoding. Its height is scaled to its own fullest bin; the "
        "solid line is the median (p50), the dashed line the 95th percentile (p95)."
    )
    return [
        Histograms("Time of one inference", "ms", series),
        Paragraph(f"{reading} How it was timed: {how}", muted=True),
    ]


def _series(label: str, p50: float, p95: float, times: Distribution) -> Series:
    detail = plural(times.samples, "inference")
    if times.slower:
        detail += f", {times.slower} of them slower than shown, up to {times.max_ms:.2f} ms"
    return Series(
        label, times.from_ms, times.bin_ms, times.counts, (("p50", p50), ("p95", p95)), detail
    )
