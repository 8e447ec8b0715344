"""The mAP of a benchmark's rows, by the engine that was timed."""

from __future__ import annotations

from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.prediction import evaluate_artifact
from edgecv_cli.stages.benchmarking.extras import Asked, Found


def accuracy(asked: Asked) -> Found | None:
    """Measure mAP on the labelled images of ``--data``.

    Raises:
        EdgeCVError: the images can't be read, or an engine can't run a model on them.
    """
    if asked.dataset is None:
        return None
    return Found([_map(run, row, asked) for run, row in zip(asked.runs, asked.rows, strict=True)])


def _map(run: BenchRun, row: BenchRow, asked: Asked) -> dict[str, Any]:
    spec = asked.specs[row.model]
    if run.error is not None or spec is None or asked.dataset is None:
        return {}
    found = evaluate_artifact(
        Artifact.open(row.model),
        spec,
        asked.dataset,
        asked.context,
        engine=row.engine,
        threads=row.threads,
    ).accuracy
    interval = found.interval
    return {
        "map": found.map,
        "map_low": interval.low if interval else None,
        "map_high": interval.high if interval else None,
    }
