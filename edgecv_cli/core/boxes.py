"""Detections: what every decoder produces and every sink and metric reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Detections:
    """The objects found in one image.

    Attributes:
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels of whatever image the owner names
            (the network's input straight from a decoder, the source after mapping back).
        scores: float32 [n], 0..1.
        class_ids: int64 [n], the model's own class index.
    """

    boxes: FloatArray
    scores: FloatArray
    class_ids: IntArray

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.class_ids.shape != (n,):
            raise ValueError(
                f"Detections disagree: boxes {self.boxes.shape}, scores {self.scores.shape}, "
                f"class_ids {self.class_ids.shape}"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[float, float, float, float, float, int]]:
        """Yield ``(x1, y1, x2, y2, confidence, class_id)``."""
        for (x1, y1, x2, y2), score, class_id in zip(
            self.boxes.tolist(), self.scores.tolist(), self.class_ids.tolist(), strict=True
        ):
            yield x1, y1, x2, y2, score, class_id

    @classmethod
    def empty(cls) -> Detections:
        """No objects at all."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
        """Return the detections chosen by an index or mask array, in that order."""
        return Detections(self.boxes[index], self.scores[index], self.class_ids[index])


def iou_matrix(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return intersection over union of boxes a [n, 4] with boxes b [m, 4] as [n, m]."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    area_a = np.clip(a[:, 2:] - a[:, :2], 0, None).prod(axis=1)
    area_b = np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=1)
    union = area_a[:, None] + area_b[None, :] - inter
    result: FloatArray = np.where(union > 0, inter / np.where(union > 0, union, 1), 0).astype(
        np.float32
    )
    return result
