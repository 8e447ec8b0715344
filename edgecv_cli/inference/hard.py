"""Pictures that are worth labelling, because the detector is not sure of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgecv_cli.core.boxes import Detections, iou_matrix
from edgecv_cli.core.files import writing
from edgecv_cli.inference.exports import frame_record
from edgecv_cli.inference.frames import Frame, FrameResult, PlainSink
from edgecv_cli.inference.naming import FileNames, frame_stem
from edgecv_cli.media.images import Image
from edgecv_cli.media.video import ASSUMED_RATE

BAND = 0.15
"""How far from the threshold a score still is a doubtful one."""
_SAME = 0.5  # IoU from which on boxes of a class in neighbouring frames are one thing
_MINUTE = 60.0


class HardSink(PlainSink):
    """Pictures that the detector is not sure of, to be labelled: ``hard/NAME.jpg`` and ``.json``.

    A frame is hard if a score lies less than :data:`BAND` from the threshold, or if a thing that
    is found in the frame before and in the frame after is not found in it. Pictures are as they
    were looked at, without boxes drawn. Their JSON is a line of ``detect --json`` that also says
    why (``hard``), the threshold, and the boxes before and after which the frame lacks
    (``missed``).

    Args:
        folder: to write below.
        save: writes a BGR uint8 picture.
        threshold: the lowest score that counts, 0..1.
        rate: pictures a minute of each video at most, evenly spread, by the times of its frames;
            stills are all kept.

    Attributes:
        kept: pictures so far, by what they are.
    """

    def __init__(
        self,
        folder: Path,
        save: Callable[[Path, Image], None],
        *,
        threshold: float,
        rate: float,
    ) -> None:
        self._folder, self._save = folder / "hard", save
        self._threshold, self._apart = threshold, _MINUTE / rate
        self._names = FileNames()
        self._last: dict[str, float] = {}
        self._before: dict[str, list[FrameResult]] = {}
        self.kept = {"hard": 0}

    def write(self, result: FrameResult) -> None:
        """Save what is hard, if its turn has come: this frame, or the one before.

        Raises:
            OutputError: it can't be written.
        """
        if result.frame.video is not None:
            self._look_back(result)
        near = np.abs(result.detections.scores - self._threshold) < BAND
        if near.any():
            self._keep(result, "a score is near the threshold")

    def _look_back(self, after: FrameResult) -> None:
        before = self._before.setdefault(after.frame.source, [])
        if len(before) == 2:
            missed = _missed(before[0], before[1].detections, after)
            if missed:
                self._keep(before[1], "a thing comes and goes", missed)
            del before[0]
        before.append(after)

    def _keep(
        self, result: FrameResult, why: str, missed: list[dict[str, Any]] | None = None
    ) -> None:
        if not self._in_turn(result.frame):
            return
        with writing(Path(self._folder.name)):
            self._folder.mkdir(exist_ok=True)
        name = self._names.pick(f"{frame_stem(result.frame)}.jpg")
        self._save(self._folder / name, result.frame.image)
        record = {**frame_record(result), "hard": why, "threshold": self._threshold}
        text = json.dumps(record | ({"missed": missed} if missed else {}), allow_nan=False)
        with writing(Path(name).with_suffix(".json")):
            (self._folder / name).with_suffix(".json").write_text(text, encoding="utf-8")
        self.kept["hard"] += 1

    def _in_turn(self, frame: Frame) -> bool:
        if frame.video is None:
            return True
        now = frame.timestamp
        if now is None:
            now = frame.index / (frame.video.frame_rate or ASSUMED_RATE)
        last = self._last.get(frame.source)
        if last is not None and 0 <= now - last < self._apart:
            return False
        self._last[frame.source] = now
        return True


def _missed(before: FrameResult, between: Detections, after: FrameResult) -> list[dict[str, Any]]:
    """Return the boxes of ``after`` that were there two frames ago, and not in between."""
    then, now = before.detections, after.detections
    back = _are_there(now, then) & ~_are_there(now, between)
    return [
        {"box": [round(value, 2) for value in box], "class_id": class_id,
         "class_name": after.class_name(class_id)}
        for *box, _score, class_id in now.take(back)
    ]  # fmt: skip


def _are_there(wanted: Detections, found: Detections) -> Any:
    """Return bool [n]: whether each box has one of its class in its place."""
    same_class = wanted.class_ids[:, None] == found.class_ids[None, :]
    return (same_class & (iou_matrix(wanted.boxes, found.boxes) >= _SAME)).any(axis=1)
