"""The two ways of post-processing: for mAP, and for people."""

from __future__ import annotations

from dataclasses import dataclass

from edgecv_cli.core.errors import ConfigError
from edgecv_cli.detector.spec import DetectorSpec


@dataclass(frozen=True)
class Profile:
    """What happens to candidates.

    Attributes:
        threshold: lowest score, 0..1.
        iou: overlap above which the weaker of two boxes of one class goes.
        candidates: how many enter NMS; ``detections``: how many leave it.
        multi_label: whether one box may be found as several classes.
    """

    threshold: float
    iou: float
    candidates: int
    detections: int
    multi_label: bool


EVALUATION = Profile(threshold=0.01, iou=0.65, candidates=3000, detections=100, multi_label=True)


def detection_profile(
    spec: DetectorSpec, conf: float | None = None, iou: float | None = None
) -> Profile:
    """Best class per box, with the artifact's thresholds unless others are given.

    Raises:
        ConfigError: a threshold is outside 0..1.
    """
    for name, value in (("--conf", conf), ("--iou", iou)):
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name}: {value} is outside 0..1", remedy=f"give {name} 0.0 to 1.0")
    return Profile(
        threshold=spec.score_threshold if conf is None else conf,
        iou=spec.nms_iou if iou is None else iou,
        candidates=3000,
        detections=300,
        multi_label=False,
    )
