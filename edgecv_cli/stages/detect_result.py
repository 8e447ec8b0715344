"""What a run of detect sums up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import Field

from edgecv_cli.core.measurement import percentile
from edgecv_cli.core.result import Part, Result
from edgecv_cli.inference.predictor import Timings


class SkippedSource(Part):
    """A source that gave no frames, or fewer than it promised."""

    source: str
    problem: str


class DetectSummary(Result):
    """One run of detect. Times are absent where there was no frame to time."""

    schema_: str = Field(
        default="edgecv.detect/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    sha256: str | None = None
    family: str
    frames: int
    detections: int
    skipped: tuple[SkippedSource, ...] = ()
    score_threshold: float
    nms_iou: float
    seconds: float = Field(description="From the first read to the last result written.")
    fps: float | None = Field(default=None, description="frames / seconds, end to end.")
    preprocess_p50_ms: float | None = None
    infer_p50_ms: float | None = None
    postprocess_p50_ms: float | None = None
    engine: str
    provider: str = Field(description="What really ran, as the engine reports it.")
    threads: int
    output: str | None = Field(default=None, description="Folder that holds the results.")


@dataclass
class Tally:
    """Counts what passes by, for the summary."""

    frames: int = 0
    detections: int = 0
    timings: list[Timings] = field(default_factory=list)

    def add(self, detections: int, timings: Timings) -> None:
        """Count one frame."""
        self.frames += 1
        self.detections += detections
        self.timings.append(timings)

    def p50_ms(self, stage: str) -> float | None:
        """Return the median time of ``preprocess_ns``, ``infer_ns`` or ``postprocess_ns``."""
        return _median_ms([getattr(timing, stage) for timing in self.timings])


def _median_ms(nanoseconds: Sequence[int]) -> float | None:
    return percentile(nanoseconds, 50) / 1e6 if nanoseconds else None
