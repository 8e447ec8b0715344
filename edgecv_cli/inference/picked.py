"""Sinks that pick: objects cut out of pictures, and pictures that are worth labelling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgecv_cli.core.files import writing
from edgecv_cli.inference.exports import frame_record
from edgecv_cli.inference.frames import Frame, FrameResult, PlainSink
from edgecv_cli.inference.naming import FileNames, frame_stem
from edgecv_cli.media.images import Image

Save = Callable[[Path, Image], None]
"""Writes a BGR uint8 picture."""
BAND = 0.15
"""How far above the threshold a score still is a doubtful one."""
_MINUTE = 60.0
_PLAIN = re.compile(r"[^\w.-]+")


class CropSink(PlainSink):
    """Each object as a picture of its own: ``crops/CLASS/NAME_nn.jpg``."""

    def __init__(self, folder: Path, save: Save) -> None:
        self._folder, self._save = folder / "crops", save
        self._names: dict[str, FileNames] = {}

    def write(self, result: FrameResult) -> None:
        """Cut out and save the objects of a frame.

        Raises:
            OutputError: they can't be written.
        """
        for place, (*box, _score, class_id) in enumerate(result.detections, start=1):
            part = cut_out(result.frame.image, box)
            if part is not None:
                kind = _folder_name(result.class_name(class_id))
                names = self._names.setdefault(kind, FileNames())
                name = names.pick(f"{frame_stem(result.frame)}_{place:02d}.jpg")
                with writing(Path(kind)):
                    (self._folder / kind).mkdir(parents=True, exist_ok=True)
                self._save(self._folder / kind / name, part)


class HardSink(PlainSink):
    """Pictures that the detector is not sure of, to be labelled: ``hard/NAME.jpg`` and ``.json``.

    A frame is hard if a score lies no more than :data:`BAND` above the threshold. Pictures are as
    they were looked at, without boxes drawn; their JSON is a line of ``detect --json``.

    Args:
        folder: to write below.
        save: writes a picture.
        threshold: the lowest score that counts, 0..1.
        rate: pictures a minute of a video at most; stills are all kept.

    Attributes:
        kept: pictures so far.
    """

    def __init__(self, folder: Path, save: Save, *, threshold: float, rate: float) -> None:
        self._folder, self._save = folder / "hard", save
        self._least, self._apart = threshold, _MINUTE / rate
        self._names = FileNames()
        self._last: tuple[str, float] | None = None
        self.kept = 0

    def write(self, result: FrameResult) -> None:
        """Save a frame if it is hard and its turn has come.

        Raises:
            OutputError: it can't be written.
        """
        scores = result.detections.scores
        doubtful = (scores >= self._least) & (scores < self._least + BAND)
        if not bool(doubtful.any()) or not self._in_turn(result.frame):
            return
        with writing(Path(self._folder.name)):
            self._folder.mkdir(exist_ok=True)
        name = self._names.pick(f"{frame_stem(result.frame)}.jpg")
        self._save(self._folder / name, result.frame.image)
        text = json.dumps(frame_record(result), allow_nan=False)
        with writing(Path(name).with_suffix(".json")):
            (self._folder / name).with_suffix(".json").write_text(text, encoding="utf-8")
        self.kept += 1

    def _in_turn(self, frame: Frame) -> bool:
        if frame.timestamp is None:
            return True
        last, now = self._last, frame.timestamp
        if last is not None and last[0] == frame.source and 0 <= now - last[1] < self._apart:
            return False
        self._last = (frame.source, now)
        return True


def cut_out(image: Image, box: list[float]) -> Image | None:
    """Return the part of a picture in a box (x1, y1, x2, y2); None where there is none."""
    height, width = image.shape[:2]
    left, top = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if right <= left or bottom <= top:
        return None
    return np.ascontiguousarray(image[top:bottom, left:right])


def _folder_name(class_name: str) -> str:
    """Return a class's name as the name of a folder: names come from a model, which may lie."""
    return _PLAIN.sub("_", class_name).strip("._")[:64] or "unnamed"
