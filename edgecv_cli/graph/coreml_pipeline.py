"""A detector and Core ML's NMS behind it, as one pipeline that Vision takes for a detector.

Vision gives ``VNRecognizedObjectObservation`` for a pipeline whose last model is a
``NonMaximumSuppression`` with labels and the outputs ``confidence`` and ``coordinates``. The NMS
takes float32 or double (an app's validator refuses float16), boxes as centre and size in 0..1.
Sources: apple/coremltools, mlmodel/format/NonMaximumSuppression.proto and
mlmodel/src/Validation/NonMaximumSuppressionValidator.cpp; apple/turicreate, the names of what it
exports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

IMAGE = "image"
RAW_BOXES, RAW_SCORES = "raw_coordinates", "raw_confidence"
BOXES, SCORES = "coordinates", "confidence"
IOU, CONFIDENCE = "iouThreshold", "confidenceThreshold"
_FLOAT = 65568
_NMS_VERSION = 5  # iOS 14, the first whose NMS takes float32
_OPEN = -1


@dataclass(frozen=True)
class Nms:
    """What the NMS is to do.

    Attributes:
        iou: a box goes if its IoU with a better one of its class is above this, 0..1.
        confidence: least score, 0..1.
        labels: of the classes, in the order of the scores.
    """

    iou: float
    confidence: float
    labels: tuple[str, ...]


def pipelined(detector: Any, boxes: int, nms: Nms) -> Any:
    """Return the pipeline of a detector and an NMS.

    Args:
        detector: a ``Model`` message, an ML Program with the input ``image`` and the outputs
            ``raw_coordinates`` [boxes, 4] and ``raw_confidence`` [boxes, classes].
        boxes: how many it gives.
        nms: what stands behind it.

    Raises:
        ValueError: it has other outputs, or they are no float32.
    """
    whole = type(detector)(specificationVersion=detector.specificationVersion)
    part = whole.pipeline.models.add()
    part.CopyFrom(detector)
    part.description.ClearField("metadata")
    there = {one.name: one for one in part.description.output}
    if set(there) != {RAW_SCORES, RAW_BOXES}:
        raise ValueError(f"the detector gives {', '.join(there)}")
    suppress = whole.pipeline.models.add(specificationVersion=_NMS_VERSION)
    sizes = ((RAW_SCORES, SCORES, len(nms.labels)), (RAW_BOXES, BOXES, 4))
    for raw, name, width in sizes:
        array = there[raw].type.multiArrayType
        if array.dataType != _FLOAT:
            raise ValueError(f"the detector gives {raw} in another type than float32")
        array.shape[:] = [boxes, width]
        suppress.description.input.add().CopyFrom(there[raw])
        _describe(suppress.description.output.add(name=name), width)
        _describe(whole.description.output.add(name=name), width)
    _settle(suppress.nonMaximumSuppression, nms)
    whole.description.input.add().CopyFrom(part.description.input[0])
    for name, usual in ((IOU, nms.iou), (CONFIDENCE, nms.confidence)):
        feature = whole.description.input.add(name=name)
        feature.shortDescription = f"In place of {usual:g}."
        feature.type.doubleType.SetInParent()
        feature.type.isOptional = True
    return whole


def _describe(feature: Any, width: int) -> None:
    """Say that as many rows come as are left; a shape beside the range would be refused."""
    boxes = width == 4 and feature.name == BOXES
    feature.shortDescription = (
        "Boxes x [centre x, centre y, width, height], in 0..1 of the picture."
        if boxes
        else "Boxes x scores of the classes."
    )
    array = feature.type.multiArrayType
    array.dataType = _FLOAT
    _bounds(array.shapeRange.sizeRanges, [(0, _OPEN), (width, width)])


def _bounds(ranges: Any, wanted: Sequence[tuple[int, int]]) -> None:
    for low, high in wanted:
        ranges.add(lowerBound=low, upperBound=high)


def _settle(message: Any, nms: Nms) -> None:
    message.confidenceInputFeatureName, message.confidenceOutputFeatureName = RAW_SCORES, SCORES
    message.coordinatesInputFeatureName, message.coordinatesOutputFeatureName = RAW_BOXES, BOXES
    message.iouThresholdInputFeatureName = IOU
    message.confidenceThresholdInputFeatureName = CONFIDENCE
    message.iouThreshold, message.confidenceThreshold = nms.iou, nms.confidence
    message.pickTop.perClass = True
    message.stringClassLabels.vector.extend(nms.labels)
