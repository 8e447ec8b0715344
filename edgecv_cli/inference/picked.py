"""Objects cut out of pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgecv_cli.core.files import writing
from edgecv_cli.inference.frames import FrameResult, PlainSink
from edgecv_cli.inference.naming import FileNames, frame_stem
from edgecv_cli.media.images import Image

Save = Callable[[Path, Image], None]
"""Writes a BGR uint8 picture."""
_PLAIN = re.compile(r"[^\w.-]+")


class CropSink(PlainSink):
    """Each object as a picture of its own: ``crops/CLASS/NAME_nn.jpg``.

    Attributes:
        kept: pictures so far, by what they are.
    """

    def __init__(self, folder: Path, save: Save) -> None:
        self._folder, self._save = folder / "crops", save
        self._names: dict[str, FileNames] = {}
        self.kept = {"crops": 0}

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
                self.kept["crops"] += 1


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
