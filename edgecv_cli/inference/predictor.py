"""One picture in, detections in its own pixels out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import SYSTEM, Clock
from edgecv_cli.core.errors import EdgeCVError
from edgecv_cli.detector.feeding import InputFeed
from edgecv_cli.detector.heads import build_decoder
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.nms import suppress
from edgecv_cli.detector.profiles import Profile, detection_profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.runtime.base import Request, Runner
from edgecv_cli.runtime.opening import open_runner


@dataclass(frozen=True)
class Timings:
    """Nanoseconds that one picture spent in each stage."""

    preprocess_ns: int
    infer_ns: int
    postprocess_ns: int


class Predictor:
    """A loaded detector with its pre- and post-processing; buffers are reused, one thread.

    Args:
        runner: the loaded network.
        spec: how it is fed and read.
        profile: thresholds.
        clock: nanoseconds.
        request: runs the network on buffers of its own, so that several predictors can share a
            runner, each in a thread of its own; None runs it through the runner.
    """

    def __init__(
        self,
        runner: Runner,
        spec: DetectorSpec,
        profile: Profile,
        *,
        clock: Clock = SYSTEM,
        request: Request | None = None,
    ) -> None:
        self.runner = runner
        self.spec = spec
        self.profile = profile
        self._clock = clock
        self._decoder = build_decoder(spec, runner.outputs)
        self._request = request
        self._feed = InputFeed(runner.inputs, spec, None if request is None else request.inputs)

    def lanes(self, count: int) -> Sequence[Predictor]:
        """Return predictors that can run side by side, a thread each, on this one's network.

        They are ``count``, or this one alone where the network leaves its input's size open.
        Closing this one closes them.

        Raises:
            EngineError: the engine has no memory for that many.
        """
        if count < 2 or not _sizes_known(self.runner):
            return (self,)
        return [
            Predictor(self.runner, self.spec, self.profile, clock=self._clock, request=request)
            for request in self.runner.requests(count)
        ]

    def predict(self, image: NDArray[np.uint8]) -> Detections:
        """Find the objects in a picture.

        Args:
            image: uint8 [H, W, 3] in BGR order, as OpenCV reads it.

        Returns:
            Detections in the picture's own pixels, best first.
        """
        return self.predict_timed(image)[0]

    def predict_timed(self, image: NDArray[np.uint8]) -> tuple[Detections, Timings]:
        """Like :meth:`predict`, with the time that each stage took."""
        started = self._clock()
        fit = self.prepare(image)
        prepared = self._clock()
        outputs = self.infer()
        inferred = self._clock()
        detections = self.read(outputs, fit)
        done = self._clock()
        return detections, Timings(prepared - started, inferred - prepared, done - inferred)

    def prepare(self, image: NDArray[np.uint8]) -> Letterbox:
        """Fill the input tensor from a picture; returns the geometry for the way back."""
        return self._feed.fill(image)

    def infer(self) -> Mapping[str, NDArray[Any]]:
        """Run the network on the prepared input tensor; the outputs hold until the next run."""
        if self._request is None:
            return self.runner.infer(self._feed.feeds)
        self._request.run()
        return self._request.outputs

    def read(
        self, outputs: Mapping[str, NDArray[Any]], fit: Letterbox, profile: Profile | None = None
    ) -> Detections:
        """Decode, suppress and map back the outputs of one picture (None: own profile).

        Of a network of a fixed batch, which is fed one picture throughout, the first is read.
        """
        profile = profile or self.profile
        found = self._decoder.candidates(
            outputs,
            threshold=profile.threshold,
            multi_label=profile.multi_label,
            limit=profile.candidates,
        )[0]
        kept = suppress(found, iou=profile.iou, limit=profile.detections)
        return Detections(fit.to_source(kept.boxes), kept.scores, kept.class_ids)

    def close(self) -> None:
        """Free the engine's memory."""
        self.runner.close()


def _sizes_known(runner: Runner) -> bool:
    sizes = [tensor.shape[1:] for tensor in runner.inputs]
    return all(size and None not in size for size in sizes)


def open_predictor(
    artifact: Artifact,
    spec: DetectorSpec,
    *,
    engine: str = "onnxruntime",
    threads: int | None = None,
    profile: Profile | None = None,
    exact: bool = False,
    model_cache: bool = False,
    streams: int = 1,
) -> Predictor:
    """Load a detector with an engine; the profile defaults to the artifact's own thresholds.

    ``exact`` runs quantize and dequantize as they are written, without integer kernels;
    ``model_cache`` keeps what the engine compiles for later starts; ``streams`` says how many
    :meth:`Predictor.lanes` are meant to run at once.

    Raises:
        EdgeCVError: as :func:`edgecv_cli.runtime.opening.open_runner`.
    """

    def opened(streams: int) -> Runner:
        return open_runner(
            artifact, engine, threads, exact=exact, model_cache=model_cache, streams=streams
        )

    runner = opened(streams)
    if streams > 1 and not _sizes_known(runner):
        runner.close()  # it will run once at a time, and may then use all threads for that
        runner = opened(1)
    try:
        return Predictor(runner, spec, profile or detection_profile(spec))
    except EdgeCVError:
        runner.close()
        raise
