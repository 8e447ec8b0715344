"""What is already applied to class scores, from what they do."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgecv_cli.detector.probing import Channels

Applied = Literal["sigmoid", "softmax", "linear", "constant"]


def applied_activation(scores: Channels, start: int = 0) -> Applied | None:
    """Return what the channels from ``start`` on show, or None if it is nothing known.

    A softmax is even whatever all of its heads say together; over one class it is always 1
    (``constant``).
    """
    kinds = {scores.kind(channel) for channel in range(start, scores.count)}
    if kinds == {"sigmoid"}:
        return "sigmoid"
    if kinds == {"linear"}:
        return "linear"
    count = scores.count - start
    parts = (part[start:] for part in (scores.rest, scores.high, scores.low))
    if count < 1 or any(np.abs(part - 1 / count).max() >= 0.01 for part in parts):
        return None
    return "softmax" if count > 1 else "constant"
