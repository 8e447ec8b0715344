"""One run of prune: which channels leave, the weights fitted anew, and the lineage of that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, Step, dump_lineage
from edgecv_cli.compress.pruning.allocate import Way, by_macs, by_parameters, part_of
from edgecv_cli.compress.pruning.analyse import analyse
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.pruning.layer_times import layer_times
from edgecv_cli.compress.pruning.reconstruct import Fit
from edgecv_cli.compress.quantization.requantize import require_float
from edgecv_cli.compress.training.finetune import Tuned
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.shuffle import with_gathered_shuffles
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.latency import compare_speed
from edgecv_cli.measure.latency_result import SpeedResult
from edgecv_cli.stages.prune_choice import Choice, Given
from edgecv_cli.stages.prune_finetune import Begun, require_trainable, resumed, tuned
from edgecv_cli.stages.prune_speed import SpeedNotReachedError, Try, reach

# A budget is met where it is missed by no more than a step of channels is worth.
_NEAR = 0.02


@dataclass
class Looked:
    """What was measured before a cut was decided on.

    Attributes:
        costs: multiply-accumulates that stay, and loss of detections, of milder cuts.
        images: behind those losses.
        tries: multiply-accumulates that stay, and speed, of cuts that were timed.
    """

    costs: tuple[tuple[float, float], ...] = ()
    images: int | None = None
    tries: tuple[tuple[float, SpeedResult], ...] = ()


@dataclass(frozen=True)
class Smaller:
    """What came out, not judged yet.

    Attributes:
        model: the smaller network, with its spec and lineage.
        removed: units that left.
        share: multiply-accumulates that stayed, 0..1.
        damage: producers of a group to the loss of detections with it alone cut so.
        tuned: how fine-tuning went, if any.
        looked: what was measured on the way.
        seconds: time of each part.
    """

    model: onnx.ModelProto
    removed: frozenset[int]
    share: float
    fits: tuple[Fit, ...]
    damage: dict[tuple[str, ...], float]
    lineage: tuple[Step, ...]
    tuned: Tuned | None = None
    looked: Looked = field(default_factory=Looked)
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
        self._choice = Choice(given, config, folder, context)
        self._seconds: dict[str, float] = {}
        self.looked = Looked()

    def run(self) -> Smaller:
        """Return the smaller network.

        Raises:
            UsageError: the budget can't be met; it says the nearest that can.
            SpeedNotReachedError: no cut is as fast as asked; ``looked`` has what was measured.
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
            looked=self.looked,
            lineage=tuple(lineage),
            seconds=self._seconds,
        )

    def _begun(self) -> Begun:
        flow = self._given.flow
        with self._timed("choose"):
            removed = self._removed()
        with self._timed("recover"):
            model, fits = self._choice.made(removed, self._config.recover)
        share = flow.macs(removed) / max(1, flow.macs(()))
        return Begun(model, removed, share, fits, self._choice.damages(removed))

    def _removed(self) -> frozenset[int]:
        config, flow = self._config, self._given.flow
        if config.target_speedup is not None:
            return self._fast_enough(config.target_speedup)
        price, asked = by_macs(flow), config.target_flops or 1.0
        if config.target_parameters is not None:
            price, asked = by_parameters(flow), config.target_parameters
        removed = self._choice.share_out(asked, price)
        self._require_met(part_of(flow, price, removed), asked)
        self._look(removed)
        return removed

    def _fast_enough(self, target: float) -> frozenset[int]:
        config, flow = self._config, self._given.flow
        times = layer_times(
            flow,
            cap=config.cap,
            step=config.round_to,
            threads=config.threads,
            folder=self._folder,
            context=self._context,
        )
        way = self._choice.way(times)
        try:
            best, tries = reach(way, target, lambda count: self._speed(way, count))
        except SpeedNotReachedError as error:
            self._tried(way, error.tries)
            self._look(flow.survivable(way.removed(error.nearest.steps)))
            raise
        self._tried(way, tries)
        removed = flow.survivable(way.removed(best.steps))
        self._look(removed)
        return removed

    def _speed(self, way: Way, count: int) -> SpeedResult:
        flow, path = self._given.flow, self._folder / "timed.onnx"
        model = cut(flow, flow.survivable(way.removed(count)))
        path.write_bytes(serialize(with_metadata(model, {SPEC_KEY: self._given.spec.dumps()})))
        return compare_speed(
            self._given.artifact.path.absolute(),
            path,
            engine="onnxruntime",
            threads=self._config.threads,
            seconds=self._config.speed_seconds,
            context=self._context,
            spec=self._given.spec,
        )

    def _tried(self, way: Way, tries: Sequence[Try]) -> None:
        flow = self._given.flow
        parts = [flow.macs(flow.survivable(way.removed(one.steps))) for one in tries]
        whole = max(1, flow.macs(()))
        found = zip(parts, tries, strict=True)
        self.looked.tries = tuple((part / whole, one.speed) for part, one in found)

    def _look(self, removed: frozenset[int]) -> None:
        self.looked.costs = self._choice.costs_of(removed)
        self.looked.images = self._choice.loss_images if self.looked.costs else None

    def _tuned(self, begun: Begun) -> Tuned:
        given = self._given
        with self._timed("finetune"):
            return tuned(
                self._config,
                given.flow,
                given.spec,
                self._choice.paths,
                begun,
                context=self._context,
            )

    def _require_met(self, share: float, asked: float) -> None:
        if share <= asked + _NEAR:
            return
        nearest = f"{np.ceil(share * 100) / 100:.2f}"
        parameters = self._config.target_parameters is not None
        flag = "--target-parameters" if parameters else "--target-flops"
        raise UsageError(
            f"{flag} {asked:g} can't be met: with --cap {self._config.cap:g} and "
            f"--round-to {self._config.round_to}, {share:.3f} of the "
            f"{'weights' if parameters else 'multiply-accumulates'} stay",
            remedy=f"ask for {flag} {nearest}, or raise --cap; a smaller input size saves more",
        )

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

    def _tuning(self) -> dict[str, object]:
        config = self._config
        if config.recover != "finetune":
            return {}
        return {
            "steps": config.steps,
            "minutes": config.minutes,
            "rate": config.learning_rate,
            "amp": config.amp,
        }
