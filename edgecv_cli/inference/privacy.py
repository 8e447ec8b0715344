"""Boxes made unrecognisable, before anything is drawn, written or served.

What a detector does not find is not hidden: it looks for doubtful boxes too, a box of a video that
is not found again stays hidden for a while, and no more can be promised.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from edgecv_cli.core.boxes import Detections, FloatArray, iou_matrix
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.inference.frames import Frame, FrameResult
from edgecv_cli.media.images import Image
from edgecv_cli.media.opencv import opencv

DOUBTFUL = 0.1
"""Score from which on a box is hidden, however sure a box must be to be shown."""
_MARGIN = 0.1  # of a box's sides, on each side
_CELLS = 6  # along the longer side: too few to tell a face or a plate by
LINGERS = 10
"""Frames of a video that a box stays hidden where it was last seen."""
_SAME = 0.3  # IoU from which on a box of the next frame is taken for the same thing


def hiding_profile(profile: Profile) -> Profile:
    """Let doubtful boxes pass, which are hidden too."""
    return replace(profile, threshold=min(profile.threshold, DOUBTFUL))


class Hider:
    """Hides boxes of some classes; may be used by several threads.

    Args:
        classes: class indices.

    Attributes:
        hidden: boxes so far.
    """

    def __init__(self, classes: Collection[int]) -> None:
        self._classes = list(classes)
        self._lock = threading.Lock()
        self._lately: dict[str, list[tuple[list[float], int]]] = {}
        self.hidden = 0

    def hide(self, frame: Frame, found: Detections) -> Frame:
        """Return the frame with these classes' boxes of ``found`` hidden; itself if there is none.

        Args:
            frame: its picture is not changed.
            found: boxes in its pixels, doubtful ones among them.
        """
        return self._without(frame, self.boxes(found).tolist())

    def boxes(self, found: Detections) -> FloatArray:
        """Return the boxes [n, 4] of ``found`` that are hidden."""
        kept = np.isin(found.class_ids, self._classes) & np.isfinite(found.boxes).all(axis=1)
        return found.boxes[kept]

    def linger(self, result: FrameResult) -> FrameResult:
        """Hide what was hidden in the frames before and is not found again, where it was.

        A detector misses a thing in single frames, and one is enough to recognise it. Called in
        the order of frames, by one thread.

        Args:
            result: its ``hidden`` are the boxes that are hidden in it already.
        """
        frame, now = result.frame, result.hidden
        if frame.video is None or now is None:
            return result
        waiting = self._lately.get(frame.source, [])
        before = np.array([box for box, _ in waiting], np.float32).reshape(-1, 4)
        again = iou_matrix(before, now).max(axis=1, initial=0) >= _SAME
        missed = [one for one, found in zip(waiting, list(again), strict=True) if not found]
        self._lately[frame.source] = [(box, LINGERS) for box in now.tolist()] + [
            (box, left - 1) for box, left in missed if left > 1
        ]
        return replace(result, frame=self._without(frame, [box for box, _ in missed]))

    def _without(self, frame: Frame, boxes: list[list[float]]) -> Frame:
        if not boxes:
            return frame
        image = frame.image.copy()
        hidden = sum(_pixelate(image, box) for box in boxes)
        with self._lock:
            self.hidden += hidden
        return replace(frame, image=image)


def _pixelate(image: Image, box: list[float]) -> bool:
    """Replace a box by the means of a few cells; False where nothing of it is in the picture."""
    x1, y1, x2, y2 = box
    wide, tall = _MARGIN * (x2 - x1), _MARGIN * (y2 - y1)
    height, width = image.shape[:2]
    left, top = max(0, int(np.floor(x1 - wide))), max(0, int(np.floor(y1 - tall)))
    right, bottom = min(width, int(np.ceil(x2 + wide))), min(height, int(np.ceil(y2 + tall)))
    if right <= left or bottom <= top:
        return False
    part = image[top:bottom, left:right]
    longer = max(part.shape[:2])
    cells = [max(1, min(side, round(_CELLS * side / longer))) for side in part.shape[:2]]
    library = opencv()
    few = library.resize(part, (cells[1], cells[0]), interpolation=library.INTER_AREA)
    size = (part.shape[1], part.shape[0])
    image[top:bottom, left:right] = library.resize(
        few, size, interpolation=library.INTER_NEAREST
    ).reshape(part.shape)
    return True
