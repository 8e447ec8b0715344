"""Where results go. Annotated pictures are here; files for machines in ``exports``.

Sinks write below a folder that the caller publishes as a whole, so that none of them has to
clean up after itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.core.errors import OutputError
from edgecv_cli.core.files import writing
from edgecv_cli.inference.exports import CocoSink, CsvSink, JsonFileSink, YoloSink
from edgecv_cli.inference.frames import FrameResult, FrameSink, PlainSink
from edgecv_cli.inference.hard import HardSink
from edgecv_cli.inference.naming import FileNames, frame_stem
from edgecv_cli.inference.picked import CropSink
from edgecv_cli.inference.video_sink import VideoSink
from edgecv_cli.media.draw import draw
from edgecv_cli.media.images import Image
from edgecv_cli.media.opencv import opencv

Note = Callable[[str], None]


class ImageSink(PlainSink):
    """Annotated stills, named as their source; frames of videos get their number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = FileNames()

    def write(self, result: FrameResult) -> None:
        """Draw and save one picture.

        Raises:
            OutputError: it can't be written.
        """
        frame = result.frame
        suffix = ".jpg" if frame.video is not None else Path(frame.source).suffix.lower()
        path = self._folder / self._names.pick(frame_stem(frame) + (suffix or ".jpg"))
        save_image(path, drawn(result))


@dataclass(frozen=True)
class HowKept:
    """What sinks go by.

    Attributes:
        class_map: class index -> category id for ``coco``; None keeps the model's index.
        tracked: whether boxes have tracks, which ``csv`` has a column for.
        threshold: the lowest score that counts, for ``hard``.
        hard_rate: pictures that ``hard`` keeps of a minute of video at most.
        sound: whether the sound of a source may go along with its video.
    """

    class_map: Mapping[int, int] | None = None
    tracked: bool = False
    threshold: float = 0.25
    hard_rate: float = 6.0
    sound: bool = True


def open_sinks(
    kinds: Collection[str], folder: Path, *, note: Note, how: HowKept | None = None
) -> list[FrameSink]:
    """Open the sinks of the given kinds below a folder.

    Args:
        kinds: of ``image``, ``video``, ``json``, ``coco``, ``csv``, ``yolo``, ``crops``, ``hard``.
        folder: exists and is empty.
        note: told what a reader of the log should know.
        how: what they go by; None is the defaults.

    Raises:
        OutputError: the folder can't be written to.
    """
    how = how or HowKept()
    makers: dict[str, Callable[[], FrameSink]] = {
        "image": lambda: ImageSink(folder),
        "video": lambda: VideoSink(folder, note, drawn, sound=how.sound),
        "json": lambda: JsonFileSink(folder),
        "coco": lambda: CocoSink(folder, how.class_map),
        "csv": lambda: CsvSink(folder, tracked=how.tracked),
        "yolo": lambda: YoloSink(folder),
        "crops": lambda: CropSink(folder, save_image),
        "hard": lambda: HardSink(folder, save_image, threshold=how.threshold, rate=how.hard_rate),
    }
    return [make() for kind, make in makers.items() if kind in kinds]


def drawn(result: FrameResult) -> Image:
    """Return a frame's picture with its boxes, named by class and track."""
    return draw(result.frame.image, result.detections, result.class_names, tracks=result.tracks())


def save_image(path: Path, image: Image) -> None:
    """Write a BGR uint8 image in the format of the path's suffix (JPEG at quality 95).

    Raises:
        OutputError: the format is unknown or the file can't be written.
    """
    cv2 = opencv()
    encoded, data = False, None
    try:
        encoded, data = cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    except cv2.error:
        encoded = False
    if not encoded or data is None:
        raise OutputError(
            f"image {path.name} can't be encoded as {path.suffix or 'a file without suffix'}",
            remedy="save the source as JPEG or PNG first, or leave image out of --save",
        )
    with writing(Path(path.name)):  # not the scratch folder's name
        path.write_bytes(data.tobytes())
