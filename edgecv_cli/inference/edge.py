"""EdgeDetector: the three-line Python face of edgecv."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import DataError, UsageError
from edgecv_cli.detector.profiles import detection_profile
from edgecv_cli.inference.flow import Flow
from edgecv_cli.inference.frames import Frame
from edgecv_cli.inference.live import LiveFrames, Patience
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.inference.sources import FrameSource, open_sources
from edgecv_cli.inference.team import Looking
from edgecv_cli.inference.tiles import TiledPredictor
from edgecv_cli.media.opencv import on_calling_threads
from edgecv_cli.media.streams import live_address
from edgecv_cli.runtime.opening import ENGINES

_DEVICES = {"CPU": "onnxruntime:cpu"}
Found = tuple[float, float, float, float, float, int]


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame of a source, and what is in it.

    Attributes:
        source: where it comes from, without passwords.
        index: its number there, from 0.
        seconds: from the start of the video or of the run; None of a still image.
        image: uint8 [H, W, 3] in BGR order.
        found: ``(x1, y1, x2, y2, confidence, class_id)`` in its pixels, best first.
    """

    source: str
    index: int
    seconds: float | None
    image: NDArray[np.uint8]
    found: list[Found]


class EdgeDetector:
    """A detector from an ONNX file, ready to run on frames.

    >>> detector = EdgeDetector("model.onnx", device="CPU")       # doctest: +SKIP
    >>> for x1, y1, x2, y2, confidence, class_id in detector.detect(frame):  # doctest: +SKIP
    ...     print(detector.classes[class_id], confidence)

    Args:
        model: path of the model.
        device: ``CPU``, or an engine and device as ``--engine`` takes them.
        confidence: lowest score that counts; default: the artifact's own threshold.
        iou: overlap above which the weaker of two boxes of a class goes; default: its own.
        threads: threads the engine may use; default: one per usable core.
        spec: YAML file that overrides what the model says of itself.
        input_size: (height, width) for a model that takes any size.
        tile: (height, width) in pixels of the frame; larger frames are looked at in overlapping
            tiles of this size as well, for small objects.

    Raises:
        EdgeCVError: the model can't be read, recognised or loaded; ``problem`` and ``remedy``
            say why and what to do.
    """

    def __init__(
        self,
        model: str | Path,
        device: str = "CPU",
        *,
        confidence: float | None = None,
        iou: float | None = None,
        threads: int | None = None,
        spec: str | Path | None = None,
        input_size: tuple[int, int] | None = None,
        tile: tuple[int, int] | None = None,
    ) -> None:
        for name, value in (("confidence", confidence), ("iou", iou)):
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} is {value}", remedy=f"give a {name} between 0 and 1")
        if tile is not None and min(tile) < 1:
            raise UsageError(f"tile is {tile}", remedy="give height and width in pixels")
        engine = _engine(device)
        artifact = Artifact.open(Path(model))
        recognised = artifact.detector(None if spec is None else Path(spec), input_size=input_size)
        self.spec = recognised.spec
        profile = detection_profile(recognised.spec, conf=confidence, iou=iou)
        predictor = open_predictor(
            artifact, recognised.spec, engine=engine, threads=threads, profile=profile
        )
        self._predictor: Looking = predictor
        if tile is not None:
            self._predictor = TiledPredictor(predictor, tile, iou=profile.iou)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by class_id."""
        return self.spec.classes

    def detect(self, frame: NDArray[np.uint8]) -> list[Found]:
        """Find the objects in one frame.

        Args:
            frame: uint8 [H, W, 3] in BGR order, as ``cv2.imread`` and ``VideoCapture`` give it.

        Returns:
            ``(x1, y1, x2, y2, confidence, class_id)`` in the frame's pixels, best first.

        Raises:
            DataError: the frame has another shape or element type.
        """
        if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3:
            shape = getattr(frame, "shape", type(frame).__name__)
            raise DataError(
                f"a frame must be an array [H, W, 3], not {shape}",
                remedy="pass a colour image in BGR order, as cv2.imread gives it",
            )
        if frame.dtype != np.uint8 or 0 in frame.shape:
            raise DataError(
                f"a frame must be uint8 and not empty, not {frame.dtype} {frame.shape}",
                remedy="convert it with frame.astype('uint8') (0..255)",
            )
        return list(self._predictor.predict_timed(frame)[0])

    def stream(
        self,
        source: str | Path,
        *,
        every_frame: bool = False,
        reconnect_for: float | None = 60.0,
        note: Callable[[str], None] | None = None,
    ) -> Iterator[Seen]:
        """Find the objects in one frame after the other; frames are read ahead meanwhile.

        Leave the loop whenever you like: the source is let go, and its threads end.

        Args:
            source: image, folder, pattern or video; or a camera or stream as ``detect`` takes
                them, of which the newest frame is looked at each time.
            every_frame: of a camera or stream, whether every frame counts, however late.
            reconnect_for: seconds that a stream may give no pictures before it is given up; None
                never gives it up.
            note: told of every loss and return of a stream.

        Raises:
            DataError: the source can't be read.
        """
        address = live_address(str(source))
        frames: LiveFrames | FrameSource
        if address is None:
            frames, stop = open_sources([str(source)]), None
        else:
            patience = Patience(lost_s=reconnect_for, every_frame=every_frame)
            frames = LiveFrames([address], patience, note=note or _silent)
            stop = frames.stop
        flow = Flow(frames, [self._see], on_demand=address is not None, stop=stop)
        with on_calling_threads(), flow:
            yield from flow

    def close(self) -> None:
        """Free the engine's memory."""
        self._predictor.close()

    def _see(self, frame: Frame) -> Seen:
        found = list(self._predictor.predict_timed(frame.image)[0])
        return Seen(frame.source, frame.index, frame.timestamp, frame.image, found)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _silent(_text: str) -> None:
    """Who gave no ``note`` wants none."""


def _engine(device: str) -> str:
    """Return the engine and device that a device's short name stands for."""
    if device.upper() in _DEVICES:
        return _DEVICES[device.upper()]
    known = [engine.name for engine in ENGINES]
    if device.partition(":")[0] not in known:
        choices = ", ".join([*_DEVICES, *(f"{name}:DEVICE" for name in known)])
        raise UsageError(f"there is no device '{device}'", remedy=f"use one of: {choices}")
    return device
