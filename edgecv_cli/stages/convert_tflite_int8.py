"""int8 on the way to LiteRT: what edgecv knows of integers, told to LiteRT's quantizer.

The quantizer rounds to nearest and takes the extremes of all images for ranges. Here ranges are
estimated as ``quantize`` does, channels are equalised, gates are parted from values where that
lets them be, and each layer's bias makes up for the mean error of the integers before it. All of
it is in the float network that the converter is given, and in the ranges that the quantizer is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.build import Builder
from edgecv_cli.compress.quantization.corrections import CORRECTION_IMAGES, correct
from edgecv_cli.compress.quantization.evidence import Evidence, gather
from edgecv_cli.compress.quantization.gates import (
    cuts_of,
    extremes_of,
    factors_of,
    find_gated,
    parted,
    with_grids_cut,
)
from edgecv_cli.compress.quantization.handover import hand_over
from edgecv_cli.compress.quantization.recipe import Recipe, spread
from edgecv_cli.compress.quantization.targets import TargetRules
from edgecv_cli.compress.walk import exact_opener
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.files import writing
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.integer_ready import ready_for_integers
from edgecv_cli.graph.litert_bundle import Port
from edgecv_cli.graph.slopes import maxima_for_slopes
from edgecv_cli.graph.topology import Topology
from edgecv_cli.inference.calibration import CalibrationFeed
from edgecv_cli.runtime import tflite_convert
from edgecv_cli.runtime.litert_tensors import tensors_alike

RULES = TargetRules("litert", 32, here=False, signed=True, engine="litert")
"""int8 with a zero point, int32 biases, everything between layers in integers too."""
_RECIPE = Recipe("all", "mse", equalise=True)
_FREE: Mapping[str, tuple[float, float]] = {}
Array = NDArray[Any]


@dataclass(frozen=True)
class Ready:
    """A float network that is fit for the quantizer.

    Attributes:
        network: what the converter is given.
        ranges: activation tensor -> [low, high].
        notes: what was done that the user should know of.
    """

    network: onnx.ModelProto
    ranges: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]


class Readier:
    """Makes networks ready.

    Args:
        given: the model that the network is a part of.
        spec: how it is fed.
        images: to calibrate on.
        folder: for files in passing.
        threads: threads that ONNX Runtime may use; None is one per usable core.
        context: cancellation, progress and seed.
    """

    def __init__(
        self,
        given: Artifact,
        spec: DetectorSpec,
        images: Sequence[Path],
        *,
        folder: Path,
        threads: int | None,
        context: Context,
    ) -> None:
        self._given = given
        self._spec = spec
        self._images = images
        self._folder = folder
        self._threads = threads
        self._context = context

    def ready(self, network: onnx.ModelProto, *, apart: bool) -> Ready:
        """Return a network up to the raw heads with its weights on their grids, and its ranges.

        Args:
            network: normalised; it is not changed.
            apart: whether gates get layers of their own (see ``gates.py``).

        Raises:
            DataError: no image can be decoded.
        """
        cuts, twice = _FREE, 0
        if apart:
            network, cuts, twice = self._parted(network)
        topology = Topology.of(ready_for_integers(network))
        evidence = self._observed(topology, self._images)
        builder = Builder(
            evidence,
            RULES,
            self._observed,
            folder=self._folder,
            threads=self._threads,
            context=self._context,
        )
        plan = correct(
            topology,
            with_grids_cut(builder.plan(_RECIPE), cuts),
            self._feed(topology, spread(evidence.used, CORRECTION_IMAGES)),
            open_model=exact_opener(self._folder, self._threads),
            context=self._context,
        )
        handed = hand_over(topology, plan)
        network, shared = maxima_for_slopes(handed.network, apart=apart)
        known = handed.ranges
        ranges = {**known, **{name: known[of] for name, of in shared.items() if of in known}}
        copies = twice + len(shared) // 2
        said = (
            f"{copies} layers have a copy, for the gate or slope of their activation "
            "(--gates together: none, less accurate)"
        )
        return Ready(network, ranges, (said,) if copies else ())

    def _parted(
        self, network: onnx.ModelProto
    ) -> tuple[onnx.ModelProto, Mapping[str, tuple[float, float]], int]:
        """Return the network with gates apart, where its grids end, and how many have a copy."""
        topology = Topology.of(network)
        gated = find_gated(topology)
        if not gated:
            return network, _FREE, 0
        seen = extremes_of(
            topology,
            [one.layer for one in gated],
            self._feed(topology, self._images),
            open_model=exact_opener(self._folder, self._threads),
            context=self._context,
        )
        factors = factors_of(topology, gated, seen)
        twice = sum(one.gate is not None and one.layer in factors for one in gated)
        return parted(topology, gated, factors), cuts_of(topology, gated, factors), twice

    def _observed(self, topology: Topology, paths: Sequence[Path]) -> Evidence:
        return gather(
            self._given,
            topology,
            self._spec,
            paths,
            input_size=None,
            engine="onnxruntime",
            threads=self._threads,
            context=self._context,
        )

    def _feed(self, topology: Topology, paths: Sequence[Path]) -> CalibrationFeed:
        return CalibrationFeed(paths, input_specs(topology.model), self._spec, self._context)


def quantized(
    ready: Ready,
    plain: Path,
    inputs: Sequence[Port],
    feed: CalibrationFeed,
    *,
    known: Mapping[str, Array],
    feeds: Mapping[str, Array],
    threads: int,
    context: Context,
) -> tuple[Path, tuple[str, ...]]:
    """Return the int8 form of a float file, beside it, and what to say of it.

    Args:
        ready: what the file was converted from.
        plain: the float file.
        inputs: how it is fed.
        feed: of the calibration images.
        known: the network's tensors, of one picture.
        feeds: that picture.
        threads: of the interpreter.
        context: cancels it.

    Raises:
        UsageError: none of the images can be read.
        ChildFailureError, EngineError: the quantizer or the interpreter failed.
    """
    alike = tensors_alike(plain, inputs, feeds, known, threads)
    samples, made = plain.with_name("samples"), plain.with_name("int8.tflite")
    order = np.argsort(inputs[0].order)
    with writing(samples):
        samples.mkdir()
        for index, one in enumerate(feed):
            value = one[inputs[0].name].transpose(order)
            np.save(samples / f"{index:06d}.npy", np.ascontiguousarray(value, np.float32))
    if not feed.used:
        raise UsageError(
            "none of the images of --calibration can be read", remedy="name other images"
        )
    ranges = {name: ready.ranges[original] for name, original in alike.items()}
    tflite_convert.quantize_full(plain, samples, ranges, made, context)
    notes = [f"calibrated on {len(feed.used)} images of --calibration", *ready.notes]
    if feed.skipped:
        notes.append(f"{len(feed.skipped)} images can't be read, the first: {feed.skipped[0]}")
    return made, tuple(notes)
