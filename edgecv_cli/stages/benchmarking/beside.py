"""Figures beside the latency of a single inference: whole pictures, streams, scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.core.result import Part
from edgecv_cli.core.scratch import scratch
from edgecv_cli.measure.end_to_end import draw_pictures, measure_end_to_end
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import row_labels
from edgecv_cli.measure.scenarios import measure_scenario
from edgecv_cli.measure.throughput import measure_throughput
from edgecv_cli.stages.benchmarking.extras import Asked, Found

Figures = Sequence[Part | EdgeCVError]


def end_to_end(asked: Asked) -> Found | None:
    """Time whole pictures with ``--end-to-end``; a row that is no known detector has no figure."""
    if not asked.config.end_to_end:
        return None

    def measured(rows: Sequence[BenchRow]) -> Figures:
        with _pictures(asked) as (images, source):
            return measure_end_to_end(
                rows, images, source=source, seconds=asked.config.duration, context=asked.context
            )

    return _found(asked, "end_to_end", measured, detectors=True)


@contextmanager
def _pictures(asked: Asked) -> Iterator[tuple[Sequence[Path], str]]:
    """Yield picture files and, in words, which they are."""
    if asked.dataset is not None:
        images = [item.path for item in asked.dataset.items]
        yield images, f"the {len(images)} images of --data"
        return
    with scratch() as folder:
        images = draw_pictures(folder, asked.context.seed)
        yield images, f"{len(images)} drawn pictures of 1280 x 720 as JPEG"


def streams(asked: Asked) -> Found | None:
    """Measure throughput with ``--streams``."""
    count = asked.config.streams
    if count is None:
        return None

    def measured(rows: Sequence[BenchRow]) -> Figures:
        return measure_throughput(
            rows, streams=count, seconds=asked.config.duration, context=asked.context
        )

    found = _found(asked, "throughput", measured)
    return Found(found.updates, (*_too_many(count, asked), *found.warnings))


def _too_many(streams: int, asked: Asked) -> tuple[str, ...]:
    fewest = min(row.threads or row.cores for row in asked.rows)
    if streams <= fewest:
        return ()
    return (
        f"{streams} streams on {fewest} thread{'s' * (fewest > 1)}: ONNX Runtime takes a thread "
        "for each all the same, with OpenVINO they wait for each other; give at least as many "
        "--threads",
    )


def scenario(asked: Asked) -> Found | None:
    """Answer queries with ``--scenario`` until its percentile can be stated."""
    name = asked.config.scenario
    if name is None:
        return None

    def measured(rows: Sequence[BenchRow]) -> Figures:
        return measure_scenario(
            rows,
            name,
            streams=asked.config.streams,
            queries=asked.config.samples,
            seconds=asked.config.duration,
            context=asked.context,
        )

    return _found(asked, "scenario", measured)


def _found(
    asked: Asked,
    field: str,
    measure: Callable[[Sequence[BenchRow]], Figures],
    *,
    detectors: bool = False,
) -> Found:
    """Measure the rows that were timed; what fails is a warning and has no figure."""
    labels = row_labels(asked.rows, short=True)
    updates: list[dict[str, Any]] = [{} for _ in asked.rows]
    warnings, places = [], []
    for place, (row, run) in enumerate(zip(asked.rows, asked.runs, strict=True)):
        if detectors and row.spec is None:
            warnings.append(f"{labels[place]}: no known detector, so there is no way to its boxes")
        elif run.error is None:
            places.append(place)
    found = measure([asked.rows[place] for place in places]) if places else ()
    for place, figure in zip(places, found, strict=True):
        if isinstance(figure, EdgeCVError):
            what = field.replace("_", " ")
            warnings.append(f"{labels[place]}: {what} was not measured: {figure.problem}")
        else:
            updates[place] = {field: figure}
    return Found(updates, tuple(warnings))
