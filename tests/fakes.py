"""Stand-ins for parts that need a model or an engine, documented like product code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.boxes import Detections
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.runtime.base import Execution
from edgecv_cli.stages.detect_model import Loaded

CLASSES = ("gear", "bolt", "hex nut")


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Detections from rows of x1, y1, x2, y2, score, class index."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(
        table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(int)
    )


class FakePredictor:
    """Answers each image with the next of a list of detections, round and round.

    Attributes:
        shapes: shape of every image it was shown.
        closed: whether it was closed.
    """

    def __init__(self, answers: Sequence[Detections] = (), *, infer_ms: float = 4.0) -> None:
        self._answers = list(answers) or [found((2, 4, 22, 24, 0.9, 1), (0, 0, 9, 9, 0.5, 0))]
        self._timings = Timings(1_000_000, int(infer_ms * 1e6), 2_000_000)
        self.shapes: list[tuple[int, ...]] = []
        self.closed = False

    def predict_timed(self, image: NDArray[np.uint8]) -> tuple[Detections, Timings]:
        """Return the next answer; 1 ms before, 4 ms in and 2 ms after the network."""
        answer = self._answers[len(self.shapes) % len(self._answers)]
        self.shapes.append(image.shape)
        return answer, self._timings

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def loaded(predictor: FakePredictor | None = None, classes: Sequence[str] = CLASSES) -> Loaded:
    """A detector around a fake predictor, as the detect stage takes it."""
    spec = DetectorSpec(
        family="yolov8",
        input=InputSpec(),
        outputs=OutputSpec.joint("out", ("boxes", "scores"), channels_last=False),
        classes=tuple(classes),
        boxes="cxcywh",
    )  # fmt: skip
    return Loaded(
        predictor or FakePredictor(),
        spec,
        Profile(0.25, 0.65, 3000, 300, multi_label=False),
        Execution("fake", "1", "FakeProvider", "cpu", "float32"),
    )
