"""The child's side of the end-to-end split: whole pictures, from the file to the boxes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.measure.latency_service import stay_on
from edgecv_cli.media.images import read_image

_PROBED = 3


class EndToEndService:
    """Answers ``open``, and ``turn`` with a number of pictures; times are nanoseconds.

    A picture's stages: read and decode its file, preprocess, infer, post-process.
    """

    def __init__(self) -> None:
        self._predictor: Predictor | None = None
        self._paths: Any = iter(())

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request of the parent.

        Raises:
            EdgeCVError: the model can't be loaded or run, or a picture can't be read.
            ValueError: there is no such method.
        """
        if method == "open":
            return self._open(payload)
        if method == "turn":
            self._once()  # finds the caches as another row left them
            pictures = [self._once() for _ in range(payload["pictures"])]
            return {
                "ns": [times for times, _ in pictures],
                "detections": [found for _, found in pictures],
            }
        raise ValueError(f"the end-to-end service has no method {method!r}")

    def _open(self, payload: dict[str, Any]) -> dict[str, Any]:
        stay_on(payload.get("affinity"))
        self._predictor = open_predictor(
            Artifact.open(Path(payload["model"])),
            DetectorSpec.model_validate(payload["spec"]),
            engine=payload["engine"],
            threads=payload.get("threads"),
        )
        self._paths = cycle([Path(path) for path in payload["images"]])
        probed = [sum(self._once()[0]) for _ in range(_PROBED)]
        return {"picture_ns": min(probed)}

    def _once(self) -> tuple[Sequence[int], int]:
        if self._predictor is None:
            raise EngineError("no model is open", remedy="open one before running it")
        path = next(self._paths)
        began = time.perf_counter_ns()
        image = read_image(path)
        decoded = time.perf_counter_ns() - began
        found, took = self._predictor.predict_timed(image)
        return (decoded, took.preprocess_ns, took.infer_ns, took.postprocess_ns), len(found.scores)
