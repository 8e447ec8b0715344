"""Tracks through the frames of detect: numbers for boxes, and counts for lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgecv_cli.detector.profiles import Profile
from edgecv_cli.inference.frames import FrameResult
from edgecv_cli.inference.tracking.byte_tracker import DOUBTFUL, ByteTracker
from edgecv_cli.inference.tracking.crossing import Line, LineCounter


def tracked_profile(profile: Profile) -> Profile:
    """Let doubtful boxes pass, which continue tracks where a thing is half hidden."""
    return replace(profile, threshold=min(profile.threshold, DOUBTFUL))


class Follower:
    """Numbers the boxes of one video after the other.

    Args:
        threshold: score of a sure box, 0..1; a doubtful one stays only if it continues a track.
        lines: to count at.
        patience: frames that a track waits for its thing to come out from behind another.

    Attributes:
        counters: one for each line.
        tracks: how many there were, over all videos.

    Raises:
        MissingDependencyError: what matches tracks and boxes is not installed.
    """

    def __init__(self, *, threshold: float, lines: Sequence[Line] = (), patience: int = 30) -> None:
        self._threshold, self._patience = threshold, patience
        self._source: str | None = None
        self.counters = [LineCounter(line) for line in lines]
        self.tracks = 0
        self._tracker = self._begin()

    def follow(self, result: FrameResult) -> FrameResult:
        """Return a frame's boxes with the numbers of their tracks; frames come in their order."""
        if result.frame.source != self._source:
            self._source = result.frame.source
            self._tracker = self._begin()
            for counter in self.counters:
                counter.restart()
        before = self._tracker.numbers
        numbers = self._tracker.update(result.detections)
        self.tracks += self._tracker.numbers - before
        kept = (numbers > 0) | (result.detections.scores >= self._threshold)
        found, numbers = result.detections.take(kept), numbers[kept]
        followed = np.flatnonzero(numbers)
        seen = [
            (int(numbers[at]), int(found.class_ids[at]), tuple(found.boxes[at].tolist()))
            for at in followed
        ]
        for counter in self.counters:
            counter.update(seen)
        return replace(result, detections=found, track_ids=numbers)

    def _begin(self) -> ByteTracker:
        return ByteTracker(threshold=self._threshold, patience=self._patience)
