"""What ``quantize`` reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.compress.quantization.audit import Finding
from edgecv_cli.compress.quantization.sensitivity import Sensitivity
from edgecv_cli.core.measurement import Distribution
from edgecv_cli.core.result import Drop, Interval, Part, Result
from edgecv_cli.measure.operating_point import Refit
from edgecv_cli.stages.baking_result import BakedInput


class Side(Part):
    """One of the two artifacts that are compared; both are measured in the same run."""

    map: float | None = Field(default=None, description="COCO mAP50-95 on --data.")
    map50: float | None = None
    per_class: dict[str, float] | None = Field(default=None, description="AP by category.")
    interval: Interval | None = Field(default=None, description="Bootstrap over images of map.")
    p50_ms: float | None = None
    p95_ms: float | None = None
    samples: int | None = Field(default=None, description="Inferences that were timed.")
    distribution: Distribution | None = None
    size_bytes: int


class Layers(Part):
    """Which layers run in integers, and why the others do not."""

    by_precision: dict[str, int]
    reasons: dict[str, str] = Field(description="Float layer (its output tensor) -> why.")


class Calibration(Part):
    """What the ranges were taken from, and what that cost."""

    images: int
    skipped: tuple[str, ...] = Field(default=(), description="Images that can't be decoded.")
    seconds: float
    peak_rss_bytes: int | None = None


class CandidateRow(Part):
    """One candidate of the search, judged on calibration images without labels.

    ``self_map`` takes the original's detections as the truth: 1 is no difference.
    """

    placement: str
    estimator: str
    bias_correction: bool
    corrections: tuple[str, ...] = ()
    float_stem: bool = Field(
        default=False, description="Whether the layers that read the picture are float, for speed."
    )
    given_back: int | None = Field(
        default=None, description="Layers that were given back to float on top of the placement."
    )
    precision: str = "int8"
    self_map: float | None = None
    speedup: float | None = Field(default=None, description="Short measurement, for ranking only.")
    int8_macs_share: float
    judged: bool = Field(default=False, description="Whether it was taken to the gates.")
    verdict: str | None = None


class HowMade(Part):
    """How the figures were made."""

    engine: str
    exact: bool | None = Field(
        default=None,
        description="Integers were run as written, in float: the target's kernels are not here.",
    )
    threads: int
    evaluation_images: int | None = Field(default=None, description="Labelled images of --data.")
    agreement_images: int | None = None
    agreement_source: str | None = None
    speed_rounds: int | None = None
    speed_source: str | None = None
    seed: int


class QuantizeResult(Result):
    """Before and after, the decision, and the evidence for it."""

    model: str
    target: str
    precision: str = Field(description="What was saved, or would have been: int8 or fp32.")
    placement: str | None = None
    estimator: str | None = None
    bias_correction: bool | None = None
    corrections: tuple[str, ...] = Field(
        default=(), description="Equalisation, bias correction, adaptive rounding: what is on."
    )
    baseline: Side
    optimized: Side | None = None
    drop: Drop | None = None
    drop_interval: Interval | None = Field(
        default=None, description="Of the drop in points, paired bootstrap over images."
    )
    objects: dict[str, int] | None = Field(
        default=None, description="Labelled objects of each category in --data."
    )
    agreement: float | None = None
    speedup: float | None = Field(default=None, description="time(baseline) / time(optimized).")
    speedup_interval: Interval | None = None
    size_ratio: float | None = Field(default=None, description="size(baseline) / size(optimized).")
    layers: Layers | None = None
    int8_macs_share: float | None = Field(
        default=None, description="Share of multiply-accumulates in layers that run in integers."
    )
    baked: BakedInput | None = Field(
        default=None, description="How preprocessing was put into the graph, where it was."
    )
    calibration: Calibration | None = None
    audit: tuple[Finding, ...] = Field(
        default=(), description="Doubts about the calibration images, each with its remedy."
    )
    threshold: Refit | None = Field(
        default=None, description="The score threshold that the artifact detects with, and why."
    )
    sensitivity: Sensitivity | None = Field(
        default=None, description="What each group of layers costs; only where it was asked for."
    )
    candidates: tuple[CandidateRow, ...] = ()
    gates: dict[str, str] = Field(
        default_factory=dict, description="Gate -> what was asked, what came out."
    )
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    how: HowMade
    saved: str | None = Field(default=None, description="Path of the artifact; null if refused.")
    sha256: str | None = None
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the saved file, oldest first."
    )
    report: str | None = Field(default=None, description="Path of the HTML report.")
    plan: str | None = Field(default=None, description="Where the plan was saved.")
    rejected: str | None = Field(default=None, description="Where the best candidate was kept.")

    def to_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; ``saved`` is null when nothing was."""
        return {**super().to_json(), "saved": self.saved}
