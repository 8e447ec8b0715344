"""One run of prune: what is read, which channels leave, and the weights fitted anew."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.compress.pruning.allocate import allocate
from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.curves import Curve, Reader, curve_of
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.damage import Damage
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.pruning.importance import simple_curve
from edgecv_cli.compress.pruning.places import Places, kept_channels
from edgecv_cli.compress.pruning.readers import read_inputs
from edgecv_cli.compress.pruning.reconstruct import Fit, reconstruct
from edgecv_cli.compress.quantization.requantize import require_float
from edgecv_cli.compress.training.finetune import Tuned
from edgecv_cli.compress.walk import OpenModel, exact_opener
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, UsageError
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.shuffle import with_gathered_shuffles
from edgecv_cli.graph.topology import Topology
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.media.dataset import Dataset
from edgecv_cli.media.images import ImageFolder, read_image
from edgecv_cli.stages.prune_finetune import Begun, require_trainable, resumed, tuned

# A budget is met where it is missed by no more than a step of channels is worth.
_NEAR = 0.02


@dataclass(frozen=True)
class Given:
    """What a run was given, read.

    Attributes:
        artifact: the float model.
        spec: how it is fed and read.
        flow: which of its channels can leave.
        images: to choose and fit on; None where only groups are shown.
        data: labelled images, if any.
    """

    artifact: Artifact
    spec: DetectorSpec
    flow: Flow
    images: ImageFolder | None
    data: Dataset | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Smaller:
    """What came out, not judged yet.

    Attributes:
        model: the smaller network, with its spec and lineage.
        removed: units that left.
        share: multiply-accumulates that stayed, 0..1.
        damage: producers of a group to the loss of detections with it alone cut so.
        tuned: how fine-tuning went, if any.
        seconds: time of each part.
    """

    model: onnx.ModelProto
    removed: frozenset[int]
    share: float
    fits: tuple[Fit, ...]
    damage: dict[tuple[str, ...], float]
    lineage: tuple[Step, ...]
    tuned: Tuned | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def flow_of(artifact: Artifact, input_size: tuple[int, int] | None) -> Flow:
    """Return which channels of a float model can leave.

    Raises:
        ModelError: it is quantized, or its sizes stay open.
    """
    require_float(artifact, input_size)
    normal = normalise(artifact.model, input_size=input_size)
    return analyse(Topology.of(with_gathered_shuffles(normal)))


class PruneJob:
    """Chooses channels, takes them out and fits what stays.

    Args:
        given: what was read.
        config: the options.
        folder: for files in passing.
        context: progress, cancellation, seed.
    """

    def __init__(self, given: Given, config: PruneConfig, folder: Path, context: Context) -> None:
        self._given, self._config = given, config
        self._folder, self._context = folder, context
        self._seconds: dict[str, float] = {}
        self._boxes: Sequence[NDArray[np.float64]] = ()

    def run(self) -> Smaller:
        """Return the smaller network.

        Raises:
            UsageError: the budget can't be met; it says the nearest that can.
            DataError: no image can be decoded.
        """
        tuning = self._config.recover == "finetune"
        if tuning:
            require_trainable(self._config, self._given.flow)
        begun = resumed(self._config, self._folder) if self._config.resume else self._begun()
        made = self._tuned(begun) if tuning else None
        lineage = self._lineage(begun.removed)
        entries = {SPEC_KEY: self._given.spec.dumps(), LINEAGE_KEY: dump_lineage(lineage)}
        return Smaller(
            model=with_metadata(begun.model if made is None else made.model, entries),
            removed=begun.removed,
            share=begun.share,
            fits=begun.fits,
            damage=begun.damage,
            tuned=made,
            lineage=tuple(lineage),
            seconds=self._seconds,
        )

    def _begun(self) -> Begun:
        flow, step = self._given.flow, self._config.round_to
        with self._timed("choose"):
            self._boxes = list(self._found_boxes())
            curves = self._curves(self._places({}))
        removed, share = allocate(flow, curves, share=self._config.target_flops or 1.0, step=step)
        self._require_met(share)
        model = cut(flow, removed)
        fits: tuple[Fit, ...] = ()
        if self._config.recover != "none":
            kept = kept_channels(flow, removed)
            with self._timed("recover"):
                model, fits = reconstruct(
                    flow,
                    model,
                    self._feed(),
                    self._places(kept),
                    open_model=self._opener(),
                    context=self._context,
                    recover="bias" if self._config.recover == "bias" else "reconstruct",
                )
        return Begun(model, removed, share, fits, self._damages(curves, removed))

    def _tuned(self, begun: Begun) -> Tuned:
        given = self._given
        with self._timed("finetune"):
            return tuned(
                self._config, given.flow, given.spec, self._paths, begun, context=self._context
            )

    def _require_met(self, share: float) -> None:
        asked = self._config.target_flops or 1.0
        if share <= asked + _NEAR:
            return
        nearest = f"{np.ceil(share * 100) / 100:.2f}"
        raise UsageError(
            f"--target-flops {asked:g} can't be met: with --cap {self._config.cap:g} and "
            f"--round-to {self._config.round_to}, {share:.3f} of the multiply-accumulates stay",
            remedy=f"ask for --target-flops {nearest}, or raise --cap; a smaller input size saves "
            "more",
        )

    def _curves(self, places: Places) -> list[Curve]:
        flow, config = self._given.flow, self._config
        readers: dict[str, Reader] = {}
        if config.importance not in ("l1", "l2"):
            readers = read_inputs(
                flow,
                self._feed(),
                places,
                open_model=self._opener(),
                context=self._context,
            )
        found = []
        for group in flow.groups:
            self._context.cancel.check()
            if config.importance == "damage" or config.importance == "error":  # noqa: PLR1714 - mypy
                curve = curve_of(group, readers, step=config.round_to, cap=config.cap)
            else:
                curve = simple_curve(flow, group, readers, config.importance, cap=config.cap)
            if curve is not None and len(curve.order) >= config.round_to:
                found.append(curve)
        if config.importance != "damage":
            return found
        damage = Damage(
            flow,
            readers,
            self._given.spec,
            self._paths,
            folder=self._folder,
            threads=config.threads,
            context=self._context,
        )
        return damage.in_damage(found, config.round_to)

    def _damages(
        self, curves: list[Curve], removed: frozenset[int]
    ) -> dict[tuple[str, ...], float]:
        if self._config.importance != "damage":
            return {}
        found = {}
        for curve in curves:
            left = int(np.isin(curve.order, np.asarray(sorted(removed), np.int64)).sum())
            found[curve.group.producers] = float(curve.errors[left - 1]) if left else 0.0
        return found

    @property
    def _paths(self) -> list[Path]:
        assert self._given.images is not None
        return list(self._given.images.paths)

    def _feed(self) -> CalibrationFeed:
        inputs = input_specs(self._given.flow.topology.model)
        return CalibrationFeed(self._paths, inputs, self._given.spec, self._context)

    def _opener(self) -> OpenModel:
        return exact_opener(self._folder, self._config.threads)

    def _places(self, kept: Mapping[str, NDArray[np.int64]]) -> Places:
        height, width = self._given.spec.input.size
        return Places(kept, (height, width), self._context.seed, self._boxes)

    def _found_boxes(self) -> Iterator[NDArray[np.float64]]:
        """Yield what the whole network finds in each image that can be read, in input pixels."""
        predictor = open_predictor(
            self._given.artifact, self._given.spec, threads=self._config.threads
        )
        try:
            with self._context.progress.task("detect", len(self._paths), "image") as task:
                for path in self._paths:
                    self._context.cancel.check()
                    task.advance()
                    with suppress(DataError):  # the calibration feed counts and names it
                        fit = predictor.prepare(read_image(path))
                        yield _in_input(predictor.read(predictor.infer(), fit).boxes, fit)
        finally:
            predictor.close()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._seconds[name] = time.perf_counter() - started

    def _lineage(self, removed: frozenset[int]) -> list[Step]:
        config = self._config
        step = Step(
            stage="prune",
            config=digest_key(
                removed=sorted(removed),
                recover=config.recover,
                seed=self._context.seed,
                **self._tuning(),
            ),
            parents=(self._given.artifact.content_digest,),
            versions={"edgecv": __version__},
        )
        return [*self._given.artifact.lineage, step]

    def _tuning(self) -> dict[str, float | None]:
        config = self._config
        if config.recover != "finetune":
            return {}
        return {"steps": config.steps, "minutes": config.minutes, "rate": config.learning_rate}


def _in_input(boxes: FloatArray, fit: Letterbox) -> NDArray[np.float64]:
    """Map boxes from source pixels to where they lie in the network's input."""
    (top, left), (height, width) = fit.offset, fit.content
    scale = np.asarray([width / fit.source[1], height / fit.source[0]] * 2)
    found: NDArray[np.float64] = boxes * scale + np.asarray([left, top, left, top])
    return found
