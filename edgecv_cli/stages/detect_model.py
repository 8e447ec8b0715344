"""The detector that detect runs: opened once, for as many inferences side by side as fit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.detector.profiles import Profile, detection_profile
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.inference.predictor import Predictor, Timings, open_predictor
from edgecv_cli.inference.privacy import hiding_profile
from edgecv_cli.inference.team import Team
from edgecv_cli.inference.tiles import TiledPredictor
from edgecv_cli.inference.tracking.following import tracked_profile
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.media.images import Image
from edgecv_cli.runtime.base import Execution

if TYPE_CHECKING:
    from edgecv_cli.config.detect import DetectConfig

_ON_PROCESSOR = frozenset({"onnxruntime", "openvino", "litert"})
_MOST_LANES = 8  # each holds a frame, the network's buffers and what it computes with


class FramePredictor(Protocol):
    """The part of a Predictor that detect needs."""

    def predict_timed(self, image: Image) -> tuple[Detections, Timings]:
        """Return what is in a BGR uint8 [H, W, 3] image, in its pixels, best first."""
        ...

    def close(self) -> None:
        """Free the engine's memory."""
        ...


@dataclass(frozen=True)
class Loaded:
    """A detector that is ready to run, and what the summary says of it.

    ``lanes`` are predictors that can run side by side; without any it is the one alone.
    """

    predictor: FramePredictor
    spec: DetectorSpec
    profile: Profile
    execution: Execution
    sha256: str | None = None
    warning: str | None = None
    lanes: Sequence[FramePredictor] = ()


def load_model(config: DetectConfig, streams: int = 1) -> Loaded:
    """Open the model that a config names, for so many inferences at once.

    Raises:
        EdgeCVError: it can't be read, recognised or loaded.
    """
    artifact = Artifact.open(config.model)
    recognised = artifact.detector(config.spec, input_size=config.input_size)
    warned = "; ".join(warnings_of(artifact, recognised)) or None
    spec = recognised.spec
    profile = detection_profile(spec, conf=config.conf, iou=config.iou)
    predictor = open_predictor(
        artifact,
        spec,
        engine=config.engine,
        threads=config.threads,
        profile=_looked_for(config, profile),
        model_cache=config.model_cache,
        streams=streams,
    )
    with ExitStack() as stack:
        stack.callback(predictor.close)
        execution = predictor.runner.execution
        lanes: Sequence[FramePredictor] = predictor.lanes(streams)
        stack.pop_all()
    first: FramePredictor = predictor
    if config.tile is not None:
        first, lanes = _tiled(predictor, lanes, config.tile, config.tile_overlap, profile.iou)
    return Loaded(first, spec, profile, execution, artifact.sha256, warned, lanes)


def _looked_for(config: DetectConfig, profile: Profile) -> Profile:
    """Return the profile that the network is read with: doubtful boxes too, where they matter."""
    if config.track:
        profile = tracked_profile(profile)
    return hiding_profile(profile) if config.blur else profile


def _tiled(
    predictor: Predictor,
    lanes: Sequence[FramePredictor],
    tile: tuple[int, int],
    overlap: float,
    iou: float,
) -> tuple[FramePredictor, Sequence[FramePredictor]]:
    """Return lanes that share the tiles of all pictures, and what closes them."""
    team = Team(lanes, predictor)
    return team, [TiledPredictor(team, tile, overlap, iou=iou) for _ in lanes]


def side_by_side(engine: str, threads: int | None, frames: int | None) -> int:
    """Return how many inferences should run at once.

    On a processor one a thread wastes the least. Beside any other device the processor prepares
    one frame while another is inferred, and more would only take the device's memory.

    Args:
        engine: as ``--engine`` has it.
        threads: that the engine may use; None is one per usable core.
        frames: how many will come at most, if that is known.
    """
    name, _, rest = engine.partition(":")
    device = rest.partition(":")[0].lower()
    on_processor = name in _ON_PROCESSOR and device in {"", "cpu"}
    wanted = min(threads or usable_cores(), _MOST_LANES) if on_processor else 2
    return min(wanted, frames or wanted)
