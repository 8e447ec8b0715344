"""What ``evaluate`` returns."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.result import Interval, Part, Result
from edgecv_cli.measure.accuracy_difference import (
    AccuracyDifference,
)
from edgecv_cli.measure.confusion import Confused
from edgecv_cli.measure.detection_quality import OperatingPoint
from edgecv_cli.measure.latency_gates import GateOutcome
from edgecv_cli.measure.pr_curves import PrCurves


class ProfileUsed(Part):
    """Post-processing that the figures hold for."""

    score_threshold: float
    nms_iou: float
    candidates: int = Field(description="Kept before suppression, best first.")
    detections: int = Field(description="Kept after suppression.")
    multi_label: bool = Field(description="Whether one box can give several classes.")


class Against(Part):
    """Another detector on the same images with the same post-processing."""

    model: str
    sha256: str
    family: str
    map: float
    map50: float
    map75: float
    per_class: dict[str, float]
    interval: Interval | None = None
    provider: str
    difference: AccuracyDifference


class EvaluateResult(Result):
    """COCO accuracy of one detector; all figures 0..1."""

    schema_: str = Field(
        default="edgecv.evaluate/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    sha256: str
    family: str
    map: float = Field(description="Mean over classes and IoU 0.50:0.05:0.95 (pycocotools).")
    map50: float
    map75: float
    map_small: float | None = Field(
        default=None, description="Objects of up to 32 x 32 pixels; absent where there are none."
    )
    map_medium: float | None = Field(default=None, description="Up to 96 x 96.")
    map_large: float | None = Field(default=None, description="Larger ones.")
    ar100: float | None = Field(
        default=None, description="Recall at 100 detections, over classes and IoU as map is."
    )
    images: int
    objects_by_size: dict[str, int] | None = Field(
        default=None, description="Labelled objects behind map_small, map_medium and map_large."
    )
    per_class: dict[str, float] = Field(description="AP by category that occurs in the images.")
    per_class50: dict[str, float] | None = Field(default=None, description="AP at IoU 0.50.")
    per_class75: dict[str, float] | None = Field(default=None, description="AP at IoU 0.75.")
    objects: dict[str, int] = Field(
        default_factory=dict, description="Labelled objects behind each of per_class."
    )
    interval: Interval | None = Field(default=None, description="Of map, by bootstrap over images.")
    intervals: dict[str, Interval] | None = Field(
        default=None, description="Of map50, map75, map_small, ... by their names."
    )
    telling: str | None = Field(
        default=None, description="What this number of images can tell, in words."
    )
    curves: PrCurves | None = None
    operating_point: OperatingPoint | None = None
    confusion: tuple[Confused, ...] | None = Field(
        default=None,
        description="What is found as what at operating_point.threshold, the most frequent first.",
    )
    against: Against | None = Field(default=None, description="The other of --against.")
    gates: tuple[GateOutcome, ...] | None = Field(
        default=None, description="What became of each --fail-if."
    )
    unmapped: int = Field(description="Detections of classes that the data does not label.")
    profile: ProfileUsed
    engine: str
    provider: str = Field(description="What really ran, as the engine reports it.")
    threads: int
    seconds: float = Field(description="Reading, detecting and matching all images.")
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the model, oldest first."
    )
    report: str | None = Field(default=None, description="Path of the HTML report.")
