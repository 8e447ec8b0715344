"""What a probe of the preprocessing found."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgecv_cli.core.result import Interval, Part
from edgecv_cli.measure.preprocessing_choices import Key

Criterion = Literal["map", "mirror"]
CRITERIA: dict[Criterion, str] = {
    "map": "mAP50-95 against the labels",
    "mirror": "what is found again in the mirrored images (best 20, scores from 0.1, IoU >= 0.5)",
}


class ProbedSetting(Part):
    """One way to feed images, and how the model answered."""

    color: Literal["rgb", "bgr"]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: str
    values: str = Field(description="The values that pixels get, in words.")
    score: float = Field(description="By the criterion: more is better.")
    behind: Interval | None = Field(
        default=None, description="The best's score less this one's, by bootstrap over images."
    )
    differs: tuple[Key, ...] = Field(description="In what it differs from the best.")


class ProbeResult(Part):
    """Which preprocessing a model answers to best; the spec is not changed by it."""

    criterion: Criterion
    images: int
    settings: tuple[ProbedSetting, ...] = Field(description="The best, then by falling score.")
    best: ProbedSetting = Field(
        description="What was assumed, changed only where something beats it beyond the noise."
    )
    margin: float | None = Field(
        default=None, description="The best's score less that of the best other setting."
    )
    undecided: dict[Key, tuple[str, ...]] = Field(
        description="What these images can't tell from the best, by spec key."
    )
    assumed_agrees: bool | None = Field(
        default=None, description="Whether nothing beats what was assumed; absent if nothing shows."
    )
    spec_lines: str = Field(description="YAML that makes --spec say the best.")
    notes: tuple[str, ...] = ()
