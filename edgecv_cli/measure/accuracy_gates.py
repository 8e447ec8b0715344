"""Conditions on what an evaluation measured; as those on a benchmark's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgecv_cli.config.fail_if import FailIf
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.detailed_accuracy import DetailedAccuracy, objects_by_size
from edgecv_cli.measure.latency_gates import GateOutcome, hold

if TYPE_CHECKING:
    from edgecv_cli.media.dataset import Dataset

_OF_SIZE = "map_"


def require_sizes(conditions: Sequence[FailIf], dataset: Dataset) -> None:
    """Refuse conditions on objects that there are none of, before anything is run.

    Raises:
        UsageError: naming the condition.
    """
    counted = objects_by_size(dataset)
    for condition in conditions:
        size = condition.metric.removeprefix(_OF_SIZE)
        if counted.get(size) == 0:
            raise UsageError(
                f"--fail-if '{condition}' needs {size} objects, and {dataset.source} has none in "
                f"these {len(dataset.items)} images",
                remedy="take the condition out, or give more images",
            )


def judge_accuracy(
    found: DetailedAccuracy,
    conditions: Sequence[FailIf],
    *,
    model: str,
    engine: str,
    strict: bool,
) -> tuple[GateOutcome, ...]:
    """Hold an evaluation's figures against every condition.

    Args:
        found: with a figure for each of the conditions.
        conditions: when it fails.
        model, engine: whose figures they are.
        strict: fail by the figures alone, whatever their intervals leave open.
    """
    figures, intervals = _figures(found), found.intervals()
    return tuple(
        hold(
            condition,
            figures[condition.metric],
            _ends(intervals, condition.metric),
            limit=condition.bound,
            model=model,
            engine=engine,
            strict=strict,
        )
        for condition in conditions
    )


def _figures(found: DetailedAccuracy) -> dict[str, float]:
    whole = found.accuracy
    return {
        "map": whole.map,
        "map50": whole.map50,
        "map75": whole.map75,
        **{f"{_OF_SIZE}{name}": size.map for name, size in found.sizes.items()},
    }


def _ends(intervals: Mapping[str, Interval], metric: str) -> tuple[float, float] | None:
    interval = intervals.get(metric)
    return None if interval is None else (interval.low, interval.high)
