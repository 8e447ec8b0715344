"""What is measured of a benchmark's rows after their latency, each only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv_cli.core.context import Context
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency_result import BenchRun

if TYPE_CHECKING:
    from edgecv_cli.config.benchmark import BenchmarkConfig
    from edgecv_cli.detector.spec import DetectorSpec
    from edgecv_cli.media.dataset import Dataset


@dataclass(frozen=True)
class Asked:
    """What an extra measurement has to go by.

    Attributes:
        rows: what was timed.
        runs: what that gave, row by row; a run with an ``error`` is to be left alone.
        config: what the user asked for.
        specs: how each model is fed and read; None for what is no known detector.
        dataset: the labelled images of ``--data``.
        context: progress, cancellation and seed.
    """

    rows: Sequence[BenchRow]
    runs: Sequence[BenchRun]
    config: BenchmarkConfig
    specs: Mapping[Path, DetectorSpec | None]
    dataset: Dataset | None
    context: Context


@dataclass(frozen=True)
class Found:
    """What an extra measurement adds.

    Attributes:
        updates: fields of :class:`BenchRun` and their values, one entry a row.
        warnings: what a reader should know before trusting them.
    """

    updates: Sequence[Mapping[str, Any]]
    warnings: tuple[str, ...] = field(default=())


Extra = Callable[[Asked], Found | None]
"""Measures something of every row; None where it was not asked for."""


def with_extras(asked: Asked, extras: Sequence[Extra]) -> tuple[tuple[BenchRun, ...], list[str]]:
    """Return the rows with what the extras add, and their warnings."""
    runs, warnings = list(asked.runs), list[str]()
    for extra in extras:
        found = extra(asked)
        if found is not None:
            pairs = zip(runs, found.updates, strict=True)
            runs = [run.model_copy(update=dict(update)) for run, update in pairs]
            warnings += found.warnings
    return tuple(runs), warnings
