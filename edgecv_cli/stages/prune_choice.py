"""What one look at a detector says of its channels, for any budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.pruning.allocate import Price, Way, allocate, by_macs, way_of
from edgecv_cli.compress.pruning.curves import Curve, Reader, curve_of, strides
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.damage import Damage
from edgecv_cli.compress.pruning.fisher import fisher
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.pruning.importance import curve_by, simple_curve
from edgecv_cli.compress.pruning.places import Places, kept_channels
from edgecv_cli.compress.pruning.readers import read_inputs
from edgecv_cli.compress.pruning.reconstruct import Fit, reconstruct
from edgecv_cli.compress.pruning.trade import Budget, Trade
from edgecv_cli.compress.walk import OpenModel, exact_opener
from edgecv_cli.config.prune import PruneConfig, Recover
from edgecv_cli.core.boxes import FloatArray
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.media.dataset import Dataset
from edgecv_cli.media.images import ImageFolder, read_image

_MOST_GRADIENTS = 64  # images
# parts of a cut that are tried besides the whole of it
_MILDER = (0.2, 0.4, 0.6, 0.8, 1.0)


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


class Choice:
    """Measures once which channels matter; every budget is then shared out by that.

    Args:
        given: what was read; it has images.
        config: ranking, cap, steps, threads.
        folder: for files in passing.
        context: progress, cancellation, seed.
    """

    def __init__(self, given: Given, config: PruneConfig, folder: Path, context: Context) -> None:
        self._given, self._config = given, config
        self._folder, self._context = folder, context

    @property
    def paths(self) -> list[Path]:
        """The images that channels are chosen and weights fitted on."""
        assert self._given.images is not None
        return list(self._given.images.paths)

    @cached_property
    def curves(self) -> list[Curve]:
        """How each group's units leave, and what that costs by the ranking that was asked for."""
        config = self._config
        if config.importance == "taylor":
            return [curve_by(one, self._fisher, cap=config.cap) for one in self._given.flow.groups]
        readers = {} if config.importance in ("l1", "l2") else self._readers
        found = []
        for group in self._given.flow.groups:
            self._context.cancel.check()
            if config.importance == "damage" or config.importance == "error":  # noqa: PLR1714 - mypy
                curve = curve_of(group, readers, step=config.round_to, cap=config.cap)
            else:
                curve = simple_curve(
                    self._given.flow, group, readers, config.importance, cap=config.cap
                )
            if curve is not None and len(curve.order):
                found.append(curve)
        return self._damage.in_damage(found, config.round_to) if self._is_measured else found

    def way(self, price: Price, until: float = 0.0) -> Way:
        """Return the steps in which channels leave, by what they are to save."""
        step = self._config.round_to
        return way_of(self._given.flow, self.curves, step=step, price=price, until=until)

    def share_out(self, share: float, price: Price | None = None) -> frozenset[int]:
        """Return the units that leave.

        Where detections are what ranks, whole cuts are held against each other by them.

        Args:
            share: the part to keep, 0..1.
            price: of what; None is multiply-accumulates.
        """
        flow, step = self._given.flow, self._config.round_to
        price = price or by_macs(flow)
        curves = self.curves
        if not self._is_measured:
            return allocate(flow, curves, share=share, step=step, price=price)[0]
        budget = Budget(price, share, step)
        with self._context.progress.task("trade", self._damage.cuts, "cut") as task:

            def loss(removed: frozenset[int]) -> float:
                self._context.cancel.check()
                task.advance()
                return self._damage.of(removed)

            return Trade(flow, curves, budget, loss, most=self._damage.cuts).best()

    def costs_of(self, removed: frozenset[int]) -> tuple[tuple[float, float], ...]:
        """Return the multiply-accumulates that stay and the loss of detections of milder cuts.

        Every group loses the same part of what it would lose in all.

        Args:
            removed: what leaves in all.

        Returns:
            Up to five pairs, each 0..1, the mildest first; none where losses are not what channels
            are ranked by.
        """
        flow = self._given.flow
        found: dict[frozenset[int], tuple[float, float]] = {}
        for part in _MILDER if self._is_measured else ():
            some = flow.survivable(self._part_of(removed, part))
            if some and some not in found:
                found[some] = flow.macs(some) / flow.macs(()), self._damage.of(some)
        return tuple(found.values())

    def _part_of(self, removed: frozenset[int], part: float) -> frozenset[int]:
        if part == 1:
            return removed
        gone, step = np.asarray(sorted(removed), np.int64), self._config.round_to
        some: set[int] = set()
        for curve in self.curves:
            count = int(np.isin(curve.order, gone).sum())
            ends = np.cumsum(strides(len(curve.group.units), count, step))
            taken = max((int(end) for end in ends if end <= part * count), default=0)
            some.update(int(unit) for unit in curve.order[:taken])
        return frozenset(some)

    @property
    def loss_images(self) -> int:
        """How many images losses of detections are taken on."""
        return self._damage.images

    def made(
        self, removed: frozenset[int], recover: Recover
    ) -> tuple[onnx.ModelProto, tuple[Fit, ...]]:
        """Take units out and fit what stays.

        Raises:
            DataError: no image can be decoded.
        """
        flow = self._given.flow
        model = cut(flow, removed)
        if recover == "none":
            return model, ()
        return reconstruct(
            flow,
            model,
            self._feed(),
            self._places(kept_channels(flow, removed)),
            open_model=self._opener(),
            context=self._context,
            recover="bias" if recover == "bias" else "reconstruct",
        )

    def damages(self, removed: frozenset[int]) -> dict[tuple[str, ...], float]:
        """Return the loss of detections of each group cut alone, by its producers."""
        if not self._is_measured:
            return {}
        found = {}
        for curve in self.curves:
            left = int(np.isin(curve.order, np.asarray(sorted(removed), np.int64)).sum())
            found[curve.group.producers] = float(curve.errors[left - 1]) if left else 0.0
        return found

    @property
    def _is_measured(self) -> bool:
        return self._config.importance == "damage"

    @cached_property
    def _readers(self) -> dict[str, Reader]:
        return read_inputs(
            self._given.flow,
            self._feed(),
            self._places({}),
            open_model=self._opener(),
            context=self._context,
        )

    @cached_property
    def _fisher(self) -> NDArray[np.float64]:
        feeds = itertools.islice(self._feed(), _MOST_GRADIENTS)
        return fisher(self._given.flow, self._given.spec, feeds, self._context)

    @cached_property
    def _damage(self) -> Damage:
        return Damage(
            self._given.flow,
            self._readers,
            self._given.spec,
            self.paths,
            folder=self._folder,
            threads=self._config.threads,
            context=self._context,
        )

    def _feed(self) -> CalibrationFeed:
        inputs = input_specs(self._given.flow.topology.model)
        return CalibrationFeed(self.paths, inputs, self._given.spec, self._context)

    def _opener(self) -> OpenModel:
        return exact_opener(self._folder, self._config.threads)

    def _places(self, kept: Mapping[str, NDArray[np.int64]]) -> Places:
        height, width = self._given.spec.input.size
        return Places(kept, (height, width), self._context.seed, self._boxes)

    @cached_property
    def _boxes(self) -> Sequence[NDArray[np.float64]]:
        return list(self._found_boxes())

    def _found_boxes(self) -> Iterator[NDArray[np.float64]]:
        """Yield what the whole network finds in each image that can be read, in input pixels."""
        predictor = open_predictor(
            self._given.artifact, self._given.spec, threads=self._config.threads
        )
        try:
            with self._context.progress.task("detect", len(self.paths), "image") as task:
                for path in self.paths:
                    self._context.cancel.check()
                    task.advance()
                    with suppress(DataError):  # the calibration feed counts and names it
                        fit = predictor.prepare(read_image(path))
                        yield _in_input(predictor.read(predictor.infer(), fit).boxes, fit)
        finally:
            predictor.close()


def _in_input(boxes: FloatArray, fit: Letterbox) -> NDArray[np.float64]:
    """Map boxes from source pixels to where they lie in the network's input."""
    (top, left), (height, width) = fit.offset, fit.content
    scale = np.asarray([width / fit.source[1], height / fit.source[0]] * 2)
    found: NDArray[np.float64] = boxes * scale + np.asarray([left, top, left, top])
    return found
