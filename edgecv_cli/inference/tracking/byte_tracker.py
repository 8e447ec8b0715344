"""ByteTrack: every box is matched, sure ones first, and doubtful ones with tracks left over.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022.
Two things differ, because detectors here know many classes: a box of another class counts half as
near, so that a person and a bicycle do not change places while a car that is called a truck for a
frame goes on; and boxes of one frame are told from each other by suppression alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections, FloatArray, IntArray, iou_matrix
from edgecv_cli.core.require import require
from edgecv_cli.inference.tracking.kalman import Motion

DOUBTFUL = 0.1  # below this a box is noise
_SURER = 0.1  # a new track takes a score this much above the threshold
_OTHER_CLASS = 0.5
_LEAST_SURE, _LEAST_DOUBTFUL, _LEAST_NEW = 0.2, 0.5, 0.3  # similarity of a match
_SAME = 0.85  # two tracks over one another by this IoU are one

Index = NDArray[np.intp]


@dataclass(eq=False)
class _Track:
    motion: Motion
    state: Literal["new", "seen", "lost"]
    begun: int
    last: int
    number: int = 0
    classes: dict[int, float] = field(default_factory=dict)  # summed scores

    @property
    def class_id(self) -> int:
        return max(self.classes, key=lambda one: self.classes[one])

    def saw(self, class_id: int, score: float) -> None:
        self.classes[class_id] = self.classes.get(class_id, 0.0) + score


class ByteTracker:
    """Gives boxes of a video's frames numbers that stay.

    Args:
        threshold: score of a sure box, 0..1. Boxes from ``DOUBTFUL`` on only continue tracks.
        patience: frames that a track waits for its thing to come out from behind another.

    Attributes:
        numbers: how many were given out.

    Raises:
        MissingDependencyError: lap is not there.
    """

    def __init__(self, *, threshold: float, patience: int = 30) -> None:
        self._lap = require("lap", pip="edgecv[track]", why="following objects through a video")
        self._threshold, self._patience = threshold, patience
        self._tracks: list[_Track] = []
        self._frame = self.numbers = 0

    def update(self, found: Detections) -> IntArray:
        """Take the next frame.

        Args:
            found: its boxes, doubtful ones too.

        Returns:
            int64 [n]: the track of each box, from 1 on; 0 for a box that has none (yet).
        """
        self._frame += 1
        _move_on(self._tracks)
        numbers = np.zeros(len(found), np.int64)
        sure = np.flatnonzero(found.scores >= self._threshold)
        doubtful = np.flatnonzero((found.scores < self._threshold) & (found.scores >= DOUBTFUL))
        known = [one for one in self._tracks if one.state != "new"]
        fresh = [one for one in self._tracks if one.state == "new"]

        left, sure = self._continue(known, found, sure, numbers, _LEAST_SURE, weighed=True)
        seen = [one for one in left if one.state == "seen"]
        gone, _ = self._continue(seen, found, doubtful, numbers, _LEAST_DOUBTFUL, weighed=False)
        unmet, sure = self._continue(fresh, found, sure, numbers, _LEAST_NEW, weighed=True)
        for track in gone:
            track.state = "lost"
        for track in unmet:
            self._tracks.remove(track)
        for place in sure[found.scores[sure] >= min(self._threshold + _SURER, 1.0)]:
            numbers[place] = self._begin(found, int(place))
        self._forget()
        return numbers

    def _continue(
        self,
        tracks: list[_Track],
        found: Detections,
        places: Index,
        numbers: IntArray,
        least: float,
        *,
        weighed: bool,
    ) -> tuple[list[_Track], Index]:
        """Match tracks with boxes; returns tracks and places that are left over."""
        if not tracks or not len(places):
            return tracks, places
        near = _similarity(tracks, found.take(places))
        if weighed:
            near = near * found.scores[places]
        _, taken, _ = self._lap.lapjv(1 - near, extend_cost=True, cost_limit=1 - least)
        met = [(track, int(places[at])) for track, at in zip(tracks, taken, strict=True) if at >= 0]
        self._see(met, found, numbers)
        left = [track for track, column in zip(tracks, taken, strict=True) if column < 0]
        return left, np.delete(places, taken[taken >= 0])

    def _see(self, met: list[tuple[_Track, int]], found: Detections, numbers: IntArray) -> None:
        if not met:
            return
        places = [place for _, place in met]
        motion = Motion.of([track.motion for track, _ in met]).update(found.boxes[places])
        for (track, place), moved in zip(met, motion.each(), strict=True):
            track.motion = moved
            track.saw(int(found.class_ids[place]), float(found.scores[place]))
            track.state, track.last = "seen", self._frame
            self._number(track)
            numbers[place] = track.number

    def _begin(self, found: Detections, place: int) -> int:
        track = _Track(
            Motion.begin(found.boxes[place : place + 1]), "new", self._frame, self._frame
        )
        track.saw(int(found.class_ids[place]), float(found.scores[place]))
        if self._frame == 1:  # nothing could have been seen before
            track.state = "seen"
            self._number(track)
        self._tracks.append(track)
        return track.number

    def _number(self, track: _Track) -> None:
        if not track.number:
            self.numbers += 1
            track.number = self.numbers

    def _forget(self) -> None:
        """Let go of tracks that waited too long, and of lost ones that another one continues."""
        self._tracks = [one for one in self._tracks if self._frame - one.last <= self._patience]
        seen = [one for one in self._tracks if one.state == "seen"]
        lost = [one for one in self._tracks if one.state == "lost"]
        if not seen or not lost:
            return
        over = iou_matrix(_boxes(seen), _boxes(lost)) > _SAME
        doubled = set()
        for row, column in zip(*np.nonzero(over), strict=True):
            first, second = seen[row], lost[column]
            longer = first.last - first.begun > second.last - second.begun
            doubled.add(id(second if longer else first))
        self._tracks = [one for one in self._tracks if id(one) not in doubled]


def _move_on(tracks: list[_Track]) -> None:
    """Predict where tracks are in the next frame; what is out of sight keeps its height."""
    if not tracks:
        return
    motion = Motion.of([one.motion for one in tracks])
    motion.mean[[one.state == "lost" for one in tracks], 7] = 0
    for track, moved in zip(tracks, motion.predict().each(), strict=True):
        track.motion = moved


def _boxes(tracks: list[_Track]) -> FloatArray:
    boxes: FloatArray = np.concatenate([one.motion.boxes() for one in tracks]).astype(np.float32)
    return boxes


def _similarity(tracks: list[_Track], found: Detections) -> NDArray[np.float64]:
    """Return IoU of tracks and boxes [n, m], halved where the classes differ."""
    classes = np.array([one.class_id for one in tracks])
    same = classes[:, None] == found.class_ids[None, :]
    near = iou_matrix(_boxes(tracks), found.boxes).astype(np.float64)
    return near * np.where(same, 1, _OTHER_CLASS)
