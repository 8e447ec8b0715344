"""What is measured of a row: accuracy on both sets of images, and speed in one run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.child import Child, Limits
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.detector.profiles import EVALUATION
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.accuracy import AccuracyResult, evaluate_detections, paired_drop
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark, row_labels
from edgecv_cli.measure.prediction import predict_dataset
from edgecv_cli.media.class_map import map_classes
from peers.halves import Halves
from peers.ways import OPENVINO, Job, Way

CAP = "AVX2_VNNI"


@dataclass
class Row:
    """One way's figures; what could not be measured stays None, and ``error`` says why.

    Attributes:
        map, low, high: mAP50-95 (0..1) on the judging half, 95 % bootstrap over images.
        drop: points lost against ONNX Runtime fp32 on the same images; ``drop_low``,
            ``drop_high`` its paired interval; ``resampled`` the bootstrap's drops.
        map_all: mAP50-95 on all labelled images.
        speed: time(ONNX Runtime fp32) / time(row) of the same run, with its interval.
        capped: the same with oneDNN's kernels capped; OpenVINO rows alone.
    """

    key: str
    label: str
    engine: str
    note: str = ""
    seconds: float | None = None
    size_bytes: int | None = None
    layers: str | None = None
    map: float | None = None
    low: float | None = None
    high: float | None = None
    drop: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    map_all: float | None = None
    p50_ms: float | None = None
    speed: tuple[float, float, float] | None = None
    capped: tuple[float, float, float] | None = None
    error: str | None = None
    capped_error: str | None = None
    resampled: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def make(way: Way, job: Job, folder: Path, seconds: Mapping[str, Any]) -> tuple[Path, Row]:
    """Make a way's file, or take what an earlier run left (``seconds``: what it noted)."""
    row = Row(way.key, way.label, way.engine)
    if way.make is None:
        return job.artifact.path, row
    path = folder / f"{way.key}{way.suffix}"
    if path.is_file() and way.key in seconds:
        row.note, row.seconds = seconds[way.key]["note"], seconds[way.key]["seconds"]
        return path, row
    began = time.monotonic()
    try:
        row.note = way.make(job, path)
        row.seconds = time.monotonic() - began
    except Exception as error:
        row.error = _words(error)
    return path, row


def accuracies(rows: Sequence[tuple[Path, Row]], job: Job, halves: Halves) -> None:
    """Fill in accuracy; the first row is the baseline of every drop."""
    baseline: AccuracyResult | None = None
    for path, row in rows:
        if row.error is not None:
            continue
        try:
            judged = _accuracy(path, row, job, halves)
        except Exception as error:
            row.error = _words(error)
            continue
        baseline = baseline or judged
        lost = paired_drop(baseline, judged)
        row.drop = lost.drop.points
        if lost.points is not None:
            row.drop_low, row.drop_high = lost.points.low, lost.points.high
        row.resampled = (100 * (baseline.resampled - judged.resampled)).round(4).tolist()


def _accuracy(path: Path, row: Row, job: Job, halves: Halves) -> AccuracyResult:
    data = halves.everything
    classes = map_classes(job.spec.classes, data, background=job.spec.background)
    predictor = open_predictor(Artifact.open(path), job.spec, engine=row.engine, profile=EVALUATION)
    row.layers = predictor.runner.execution.precision
    try:
        found = predict_dataset(predictor, data, Context())
    finally:
        predictor.close()
    row.size_bytes = size_of(path)
    row.map_all = evaluate_detections(data, found, classes, resamples=0).map
    judged = evaluate_detections(halves.judge, [found[place] for place in halves.judged], classes)
    row.map = judged.map
    if judged.interval is not None:
        row.low, row.high = judged.interval.low, judged.interval.high
    return judged


def size_of(path: Path) -> int:
    """Bytes of a model, with the weights that OpenVINO keeps beside it."""
    weights = path.with_suffix(".bin")
    beside = path.suffix == ".xml" and weights.is_file()
    return path.stat().st_size + (weights.stat().st_size if beside else 0)


def speeds(
    rows: Sequence[tuple[Path, Row]], job: Job, *, seconds: float, cap: bool
) -> tuple[str, ...]:
    """Time all rows in interleaved blocks, each in its own process; returns warnings.

    ``cap`` repeats it for OpenVINO's rows, and the baseline, under ``ONEDNN_MAX_CPU_ISA``.
    """
    usable = [(path, row) for path, row in rows if row.error is None]
    told = _time(usable, job, seconds, capped=False)
    if cap:
        few = [usable[0], *(one for one in usable if one[1].engine.startswith(OPENVINO))]
        told += tuple(f"{CAP}: {text}" for text in _time(few, job, seconds, capped=True))
    return told


def _time(
    rows: Sequence[tuple[Path, Row]], job: Job, seconds: float, *, capped: bool
) -> tuple[str, ...]:
    asked = [BenchRow(path, row.engine, job.threads, job.spec) for path, row in rows]
    result = benchmark(
        asked, duration_s=seconds, context=Context(), start=_capped if capped else None
    )
    ratios = {ratio.b: ratio for ratio in result.ratios}
    for (_, row), run, label in zip(rows, result.runs, row_labels(asked), strict=True):
        ratio = ratios.get(label)
        figure = (ratio.ratio, ratio.low, ratio.high) if ratio else None
        if capped:
            row.capped, row.capped_error = figure, run.error
        else:
            row.speed, row.p50_ms, row.error = figure, run.p50_ms, run.error
    return result.warnings


def _capped(row: BenchRow) -> Child:
    return Child(
        "latency",
        name=f"timing {row.model.name} on {row.engine} under {CAP}",
        limits=Limits(120.0),
        env={"ONEDNN_MAX_CPU_ISA": CAP},
    )


def _words(error: Exception) -> str:
    text = error.problem if isinstance(error, EdgeCVError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:200]
