"""What flows from sources through the detector into sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edgecv_cli.core.boxes import Detections, FloatArray, IntArray
from edgecv_cli.media.images import Image
from edgecv_cli.media.video import VideoInfo


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture, still or from a video.

    Attributes:
        source: the file it comes from, as the user would name it.
        index: its number within that file, from 0; always 0 for a still image.
        image: BGR uint8 [H, W, 3].
        timestamp: seconds from the start of the video, None for a still image.
        video: what the container says, None for a still image.
    """

    source: str
    index: int
    image: Image
    timestamp: float | None = None
    video: VideoInfo | None = None


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What was found in a frame.

    Attributes:
        frame: where it was found.
        detections: boxes in pixels of ``frame.image``, best first.
        class_names: by the model's class index.
        track_ids: int64 [n], the track of each box, from 1 on, and 0 where it has none (yet);
            None where nothing is tracked.
        hidden: float32 [n, 4], boxes that were made unrecognisable in the frame; None where
            nothing is to be.
    """

    frame: Frame
    detections: Detections
    class_names: Sequence[str]
    track_ids: IntArray | None = None
    hidden: FloatArray | None = None

    def class_name(self, class_id: int) -> str:
        """Return a class's name, or its index in words where the model gives no name."""
        return class_name(class_id, self.class_names)

    def tracks(self) -> list[int | None]:
        """Return each box's track; None where it has none."""
        if self.track_ids is None:
            return [None] * len(self.detections)
        return [number or None for number in self.track_ids.tolist()]


def class_name(class_id: int, class_names: Sequence[str]) -> str:
    """Return a class's name, or its index in words where the model gives no name."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"


class FrameSink(Protocol):
    """Takes results one by one."""

    def write(self, result: FrameResult) -> None:
        """Take the next result."""
        ...

    def finish(self, summary: Mapping[str, Any], /) -> None:
        """All results are through: write what stands at the end."""
        ...

    def close(self) -> None:
        """Free what is held, after success and failure alike; harmless when repeated."""
        ...


class PlainSink:
    """What most sinks share: nothing stands at the end, and nothing is held."""

    def finish(self, summary: Mapping[str, Any], /) -> None:
        """Nothing stands at the end."""

    def close(self) -> None:
        """Nothing is held."""
