"""How much of what one detector finds another one finds: a smooth loss, without labels.

Agreement counts detections as found or not, and mAP orders them; both move in steps, and neither
moves at all for a small change in one of a few images. This loss follows every box and every
score, so that the damage of a single group of layers shows on a dozen images.

A detection is kept as far as the other side has one of its class that lies as it does and has as
high a score: IoU x (smaller score / greater score), the best of that image. The loss is the
part that is not kept, over the detections of both sides, each weighted by how far its score
stands above a low threshold:

    loss = sum w (1 - kept) / sum w,   w = max(0, score - threshold)

What the reference found and the candidate lost counts on the one side, what only the candidate
finds on the other. The ramp makes a detection that crosses the threshold appear at weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, iou_matrix
from edgecv_cli.detector.profiles import Profile, detection_profile
from edgecv_cli.detector.spec import DetectorSpec

THRESHOLD = 0.05
"""Score from which a detection has weight; well below any that `detect` shows."""

_BELOW = 0.5  # partners are looked for down to this part of the threshold


def loss_profile(spec: DetectorSpec) -> Profile:
    """Return the profile that :func:`detection_loss` wants its detections read with."""
    return detection_profile(spec, conf=THRESHOLD * _BELOW)


def detection_loss(
    reference: Sequence[Detections],
    candidate: Sequence[Detections],
    *,
    threshold: float = THRESHOLD,
) -> float:
    """Return the loss between two detectors on the same images.

    Args:
        reference, candidate: what they find, one entry an image, in the same coordinates and
            read with :func:`loss_profile`; the two may be exchanged.
        threshold: score from which a detection has weight, 0..1.

    Returns:
        0 (nothing changed, or neither finds anything) to 1 (nothing in common).

    Raises:
        ValueError: the two do not cover the same number of images.
    """
    lost = total = 0.0
    for ours, theirs in zip(reference, candidate, strict=True):
        kept = _kept(ours, theirs)
        best = kept.max(axis=1, initial=0.0), kept.max(axis=0, initial=0.0)
        for found, part in zip((ours, theirs), best, strict=True):
            weights = np.maximum(found.scores.astype(np.float64) - threshold, 0.0)
            lost += float(weights @ (1.0 - part))
            total += float(weights.sum())
    return min(max(lost / total, 0.0), 1.0) if total else 0.0


def _kept(ours: Detections, theirs: Detections) -> NDArray[np.float64]:
    """Return IoU x score agreement of every pair of one class, else 0; float64 [n, m]."""
    a, b = (found.scores.astype(np.float64) for found in (ours, theirs))
    greater = np.maximum(a[:, None], b[None, :])
    alike = np.minimum(a[:, None], b[None, :]) / np.where(greater > 0, greater, 1.0)
    same = ours.class_ids[:, None] == theirs.class_ids[None, :]
    kept: NDArray[np.float64] = iou_matrix(ours.boxes, theirs.boxes) * alike * same
    return kept
