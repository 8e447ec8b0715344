"""Where a benchmark's rows spend their time, and what did not run as it was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EdgeCVError, InterruptedByUser
from edgecv_cli.graph.quantized import Layer, is_quantized, read_layers
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import row_labels
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.operator_child import Seen, see_operators
from edgecv_cli.measure.operator_profile import profile_of
from edgecv_cli.measure.precision_fallback import (
    find_fallback,
    precision_text,
    weighted_operators,
)
from edgecv_cli.measure.provider_fallback import elsewhere, ran_elsewhere
from edgecv_cli.stages.benchmarking.extras import Asked, Found

_FEW, _LEAST, _MOST = 2, 5, 50
_SECONDS = 2.0


@dataclass(frozen=True)
class _Job:
    """A row to look into: how long, and the layers of its file (of an ONNX file)."""

    row: BenchRow
    inferences: int
    inference_ms: float
    layers: tuple[Layer, ...]


def profile(asked: Asked) -> Found | None:
    """Profile every row with ``--profile``; look shortly into those that could fall back.

    These are rows of a file that holds quantized layers, and rows on another device than the
    processor. What goes wrong here is a warning: the times stand without it.
    """
    jobs = [_job(run, row, asked) for run, row in zip(asked.runs, asked.rows, strict=True)]
    labels = row_labels(asked.rows, short=True)
    warnings = list(_elsewhere(asked.runs, labels))
    updates: list[dict[str, Any]] = [{} for _ in jobs]
    wanted = [place for place, job in enumerate(jobs) if job is not None]
    if not wanted and not warnings:
        return None
    with asked.context.progress.task("operators", len(wanted), "model") as task:
        for place in wanted:
            asked.context.cancel.check()
            task.describe(labels[place])
            updates[place], noted = _look(jobs[place], asked)
            warnings += [f"{labels[place]}: {text}" for text in noted]
            task.advance()
    return Found(updates, tuple(warnings))


def _elsewhere(runs: Sequence[BenchRun], labels: Sequence[str]) -> Iterator[str]:
    for run, label in zip(runs, labels, strict=True):
        text = run.provider and ran_elsewhere(run.engine, run.provider)
        if text:
            yield f"{label}: {text}"


def _job(run: BenchRun, row: BenchRow, asked: Asked) -> _Job | None:
    if run.error is not None or run.p50_ms is None:
        return None
    artifact = Artifact.open(row.model)
    if asked.config.profile:
        count = round(min(_MOST, max(_LEAST, 1000 * _SECONDS / run.p50_ms)))
    elif _is_quantized(artifact) or _on_device(row.engine):
        count = _FEW
    else:
        return None
    layers = read_layers(artifact.model) if artifact.format == "onnx" else ()
    return _Job(row, count, run.p50_ms, layers)


def _is_quantized(artifact: Artifact) -> bool:
    if artifact.format == "onnx":
        return is_quantized(artifact.model)
    return "FakeQuantize" in artifact.facts().op_counts


def _on_device(engine: str) -> bool:
    return engine.partition(":")[2].partition(":")[0].lower() not in ("", "cpu")


def _look(job: _Job | None, asked: Asked) -> tuple[dict[str, Any], list[str]]:
    assert job is not None
    try:
        seen = see_operators(
            job.row,
            inferences=job.inferences,
            context=asked.context,
            inference_ms=job.inference_ms,
        )
    except InterruptedByUser:
        raise
    except EdgeCVError as error:
        return {}, [f"its operators were not looked into: {error.problem}"]
    return _update(job, seen, full=asked.config.profile), list(_warnings(job, seen))


def _update(job: _Job, seen: Seen, *, full: bool) -> dict[str, Any]:
    weighted = weighted_operators(seen.operators, job.layers)
    fallback = find_fallback(seen.operators, job.layers)
    quantized = any(layer.quantized for layer in job.layers)
    return {
        "precision": precision_text(weighted),
        "float_fallbacks": (fallback.count if fallback else 0) if quantized else None,
        "operators": profile_of(seen, weighted) if full else None,
    }


def _warnings(job: _Job, seen: Seen) -> Iterator[str]:
    fallback = find_fallback(seen.operators, job.layers)
    if fallback is not None:
        yield f"{fallback}; quantize it for this engine and machine (--target)"
    engine = job.row.engine
    told = ran_elsewhere(engine, seen.provider)  # then it is a warning already
    other = None if told else elsewhere(engine, seen.operators)
    if other is not None:
        yield other
