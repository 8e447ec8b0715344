"""Where boxes will be in the next frame: a Kalman filter of constant velocity, for many at once.

The state is centre x and y, aspect ratio (width / height) and height, and how much each changes a
frame. Noise grows with the height, as in DeepSORT (Wojke, Bewley and Paulus, "Simple Online and
Realtime Tracking with a Deep Association Metric", ICIP 2017), whose shares of it these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_PLACE, _SPEED = 1 / 20, 1 / 160  # standard deviation, as a share of the height
_ASPECT, _ASPECT_SPEED, _ASPECT_SEEN = 1e-2, 1e-5, 1e-1

_MOVE = np.eye(8)
_MOVE[:4, 4:] = np.eye(4)


@dataclass(frozen=True)
class Motion:
    """Estimates of n boxes.

    Attributes:
        mean: float64 [n, 8]: cx, cy, aspect, height, and their change a frame.
        covariance: float64 [n, 8, 8].
    """

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, parts: Sequence[Motion]) -> Motion:
        """Put estimates behind one another."""
        means, covariances = [one.mean for one in parts], [one.covariance for one in parts]
        return cls(np.concatenate(means), np.concatenate(covariances))

    def each(self) -> list[Motion]:
        """Return the estimates one by one."""
        rows = range(len(self.mean))
        return [Motion(self.mean[at : at + 1], self.covariance[at : at + 1]) for at in rows]

    @classmethod
    def begin(cls, boxes: NDArray[Any]) -> Motion:
        """Start from boxes [n, 4] (x1, y1, x2, y2), which are taken to stand still."""
        seen = _measured(boxes)
        mean = np.concatenate([seen, np.zeros_like(seen)], axis=1)
        tall = seen[:, 3]
        spread = np.stack(
            [
                *_spread(tall, 2 * _PLACE, _ASPECT),
                *_spread(tall, 10 * _SPEED, _ASPECT_SPEED),
            ],
            axis=1,
        )
        return cls(mean, _diagonal(spread))

    def predict(self) -> Motion:
        """Move on by one frame."""
        tall = self.mean[:, 3]
        spread = np.stack(
            [*_spread(tall, _PLACE, _ASPECT), *_spread(tall, _SPEED, _ASPECT_SPEED)], axis=1
        )
        return Motion(self.mean @ _MOVE.T, _MOVE @ self.covariance @ _MOVE.T + _diagonal(spread))

    def update(self, boxes: NDArray[Any]) -> Motion:
        """Take in where each box was seen: [n, 4] (x1, y1, x2, y2), one for each estimate."""
        seen = _measured(boxes)
        spread = np.stack(_spread(self.mean[:, 3], _PLACE, _ASPECT_SEEN), axis=1)
        doubt = self.covariance[:, :4, :4] + _diagonal(spread)
        gain = np.linalg.solve(doubt, self.covariance[:, :4]).transpose(0, 2, 1)
        mean = self.mean + (gain @ (seen - self.mean[:, :4])[:, :, None])[:, :, 0]
        return Motion(mean, self.covariance - gain @ doubt @ gain.transpose(0, 2, 1))

    def boxes(self) -> Array:
        """Return [n, 4] (x1, y1, x2, y2) where the boxes are thought to be."""
        cx, cy, aspect, tall = self.mean[:, :4].T
        wide = aspect * tall
        return np.stack([cx - wide / 2, cy - tall / 2, cx + wide / 2, cy + tall / 2], axis=1)


def _measured(boxes: NDArray[Any]) -> Array:
    """Return centre, aspect and height of boxes, none of them flat."""
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    wide, tall = np.maximum(x2 - x1, 1e-3), np.maximum(y2 - y1, 1e-3)
    return np.stack([(x1 + x2) / 2, (y1 + y2) / 2, wide / tall, tall], axis=1)


def _spread(tall: Array, share: float, aspect: float) -> tuple[Array, Array, Array, Array]:
    length = np.maximum(tall, 1e-3) * share
    return length, length, np.full_like(tall, aspect), length


def _diagonal(spread: Array) -> Array:
    matrices: Array = spread[:, :, None] ** 2 * np.eye(spread.shape[1])
    return matrices
