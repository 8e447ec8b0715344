"""What a cut does to the detections, group by group: the curves, in damage instead of error.

The error of the layers that read a group does not say what it costs the detector: on one network
cuts of smaller error at the heads lost more mAP. So each group is cut alone, at two ratios, its
readers fitted anew in closed form, and the detections are held against those of the whole network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.pruning.curves import Curve, Reader, strides
from edgecv_cli.compress.pruning.cut import cut
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.pruning.weights import with_biases, with_weights
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import serialize
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.detection_loss import detection_loss, loss_profile
from edgecv_cli.measure.self_map import predict_profiles

# Inference that may be spent: 2 to 3 minutes on two cores of a laptop of 2020.
_BUDGET_MACS = 1.2e12
_FEWEST, _MOST = 4, 16
# the same for looking at cuts as a whole
_WHOLE_MACS = 5e11
_FEWEST_CUTS, _MOST_CUTS = 16, 96


class Damage:
    """Measures cuts against the whole network.

    Args:
        flow: the whole network.
        readers: layer to what its inputs are like.
        spec: how its outputs are read.
        paths: images; as many of them as the time allows are used.
        folder: for files in passing.
        threads: of the engine.
        context: progress and cancellation.
    """

    def __init__(
        self,
        flow: Flow,
        readers: Mapping[str, Reader],
        spec: DetectorSpec,
        paths: Sequence[Path],
        *,
        folder: Path,
        threads: int | None,
        context: Context,
    ) -> None:
        self._flow, self._readers, self._spec = flow, readers, spec
        self._folder, self._threads, self._context = folder, threads, context
        self._paths = list(paths)
        self._whole: list[Detections] = []

    def in_damage(self, curves: Sequence[Curve], step: int) -> list[Curve]:
        """Return the curves with the measured loss of detections in the place of errors."""
        self._look_at(2 * len(curves) + 1)
        found = []
        with self._context.progress.task("damage", len(curves), "group") as task:
            for curve in curves:
                found.append(self._measured(curve, step))
                task.advance()
        return found

    @property
    def images(self) -> int:
        """How many images are looked at."""
        return len(self._paths)

    @property
    def cuts(self) -> int:
        """How many more cuts there is time to measure."""
        each = max(1, self._flow.macs(()) * len(self._paths))
        return int(np.clip(_WHOLE_MACS // each, _FEWEST_CUTS, _MOST_CUTS))

    def _look_at(self, runs: int) -> None:
        """Keep as many images as there is time for."""
        each = max(1, self._flow.macs(())) * runs
        count = int(np.clip(_BUDGET_MACS // each, _FEWEST, _MOST))
        places = np.linspace(0, len(self._paths) - 1, min(count, len(self._paths)))
        self._paths = [self._paths[int(place)] for place in places]

    def _measured(self, curve: Curve, step: int) -> Curve:
        ends = np.cumsum(strides(len(curve.group.units), len(curve.order), step))
        errors, losses = [0.0], [0.0]
        for count in sorted({int(ends[(len(ends) - 1) // 2]), int(ends[-1])}):
            errors.append(float(curve.errors[count - 1]))
            removed = self._flow.survivable([int(unit) for unit in curve.order[:count]])
            losses.append(max(losses[-1], self.of(removed)))
        return replace(curve, errors=np.interp(curve.errors, errors, losses))

    def of(self, removed: frozenset[int]) -> float:
        """Return the loss of detections without these units, 0..1.

        Every layer that reads them is fitted anew in closed form, as if all others were whole.
        """
        if not self._whole:
            self._whole = self._found(serialize(self._flow.topology.model))
        return detection_loss(self._whole, self._found(serialize(self._refitted(removed))))

    def _refitted(self, removed: frozenset[int]) -> onnx.ModelProto:
        model = with_biases(cut(self._flow, removed))
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = {node.output[0]: node for node in model.graph.node}
        gone = np.asarray(sorted(removed), np.int64)
        weights = {}
        for name, reader in self._readers.items():
            if not np.isin(reader.labels, gone).any():
                continue
            found, shift = reader.refitted(removed)
            makes = self._flow.keep(name, removed)
            stay = slice(None) if makes is None else makes
            shape = tuple(stored[nodes[name].input[1]].dims)
            bias = numpy_helper.to_array(stored[nodes[name].input[2]])
            weights[name] = (
                found[stay].reshape(shape).astype(np.float32),
                (bias + shift[stay]).astype(np.float32),
            )
        return with_weights(model, weights)

    def _found(self, data: bytes) -> list[Detections]:
        path = self._folder / "cut.onnx"
        path.write_bytes(data)
        predictor = open_predictor(Artifact.open(path), self._spec, threads=self._threads)
        quiet = Context(cancel=self._context.cancel)  # the task that is shown counts groups
        try:
            profiles = (loss_profile(self._spec),)
            return predict_profiles(predictor, self._paths, profiles, quiet, name="")[0]
        finally:
            predictor.close()
