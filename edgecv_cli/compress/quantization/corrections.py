"""Bias correction and adaptive rounding, layer after layer in the graph's order.

What is corrected is each layer as it will be: with the layers before it quantized and corrected.
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.2, and Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.3;
correcting all layers at once makes later ones answer for errors that earlier ones no longer make.
The float and the integer graph walk side by side through levels of layers that do not feed each
other; every node runs once for each image, in float arithmetic, so that the result does not hang
on this machine's integer kernels. A correction is kept where it lowers the mean squared error of
an output channel on images that it was not fitted on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.compress.quantization.apply import apply_normalised, store_layer
from edgecv_cli.compress.quantization.equalise import equalised
from edgecv_cli.compress.quantization.moments import Patches, adapted
from edgecv_cli.compress.quantization.plan import LayerPlan, QuantizePlan
from edgecv_cli.compress.walk import OpenModel, Walk, levels_of
from edgecv_cli.core.context import Context
from edgecv_cli.graph.qdq import LayerWeights
from edgecv_cli.graph.topology import Topology

Feed = Mapping[str, NDArray[Any]]
CORRECTION_IMAGES = 64
_MOST_BYTES = 448 * 1024**2
# One image in four is not fitted on.
_HELD_OUT = 4
_DOUBT = 9.0


def correct(
    topology: Topology,
    plan: QuantizePlan,
    feeds: Iterable[Feed],
    *,
    open_model: OpenModel,
    context: Context,
    bias: bool = True,
    rounding: bool = False,
) -> QuantizePlan:
    """Return the plan with its convolutions' biases shifted and weights rounded adaptively.

    A correction of the same kind that the plan has already is replaced. Deterministic in its
    arguments and the context's seed, on one machine; the plan carries the result to others.

    Args:
        topology: the normalised float graph, not equalised.
        plan: what is quantized and how.
        feeds: what every input is fed, by name, one image at a time; no more than
            ``CORRECTION_IMAGES`` are read, fewer where their tensors would take more than
            448 MiB. With fewer than two the plan is returned as it is.
        open_model: see :func:`edgecv_cli.compress.walk.exact_opener`.
        context: cancellation is polled per image; the seed picks patches.
        bias, rounding: which corrections to make.
    """
    if not (bias or rounding):
        return plan
    job = _Job(topology, plan, open_model, context, bias=bias, rounding=rounding)
    images = [
        {name: np.array(value) for name, value in feed.items()}
        for feed in itertools.islice(feeds, job.most_images)
    ]
    if len(images) < 2:
        return plan
    return plan.model_copy(update={"layers": {**plan.layers, **job.run(images)}})


class _Job:
    """Two walks side by side, and what they have decided."""

    def __init__(
        self,
        topology: Topology,
        plan: QuantizePlan,
        open_model: OpenModel,
        context: Context,
        *,
        bias: bool,
        rounding: bool,
    ) -> None:
        self._topology = equalised(topology, plan.equalise)
        self._plan = plan
        self._context = context
        self._bias = bias
        self._rounding = rounding
        # With every clamp in place, a layer's output has its own name in both graphs.
        bare = plan.model_copy(
            update={
                "dropped": (),
                "layers": {name: self._bare(layer) for name, layer in plan.layers.items()},
            }
        )
        integer = apply_normalised(topology, bare)
        made = {node.output[0]: node for node in integer.graph.node}
        targets = {
            name
            for name, layer in self._topology.layers.items()
            if name in plan.layers and layer.op == "Conv" and made[name].op_type == "Conv"
        }
        self._levels = levels_of(self._topology, targets)
        self._data = {name: made[name].input[0] for name in targets}
        self._layers = {name: bare.layers[name] for name in targets}
        plain = {name: self._topology.layers[name].data for name in targets}
        self._float = Walk(self._topology.model, self._wanted(plain), open_model)
        self._integer = Walk(integer, self._wanted(self._data), open_model)

    @property
    def most_images(self) -> int:
        """How many images the walks have room for."""
        inputs = sum(
            self._topology.elements(value.name) or 0 for value in self._topology.model.graph.input
        )
        each = 4 * inputs + 8 * max(1, self._float.most_held(self._topology.elements))
        return int(np.clip(_MOST_BYTES // each, 2, CORRECTION_IMAGES))

    def run(self, images: Sequence[Feed]) -> dict[str, LayerPlan]:
        """Return the corrected layers."""
        self._float.start(images)
        self._integer.start(images)
        with self._context.progress.task("correct", len(self._levels), "level") as task:
            for names in self._levels:
                if self._rounding:
                    self._advance()
                    for name in names:
                        self._round(name)
                self._advance()
                if self._bias:
                    for name in names:
                        self._shift(name)
                task.advance()
        return self._layers

    def _bare(self, layer: LayerPlan) -> LayerPlan:
        replaced: dict[str, None] = {}
        if self._bias:
            replaced["bias_shift"] = None
        if self._rounding:
            replaced["rounding"] = None
        return layer.model_copy(update=replaced)

    def _wanted(self, data: Mapping[str, str]) -> list[list[str]]:
        wanted = []
        for names in self._levels:
            if self._rounding:
                wanted.append([data[name] for name in names])
            wanted.append(list(names))
        return wanted

    def _advance(self) -> None:
        self._float.advance(self._context)
        self._integer.advance(self._context)

    def _round(self, name: str) -> None:
        layer = self._topology.layers[name]
        patches = Patches(
            self._topology,
            layer,
            [held[layer.data] for held in self._float.held],
            [held[self._data[name]] for held in self._integer.held],
            seed=self._context.seed,
        )
        stored = self._store(name)
        mask = adapted(
            self._topology,
            layer,
            stored,
            patches,
            _held_out,
            bits=self._layers[name].bits,
            centred=self._bias,
        )
        if mask is None:
            return
        self._layers[name] = self._layers[name].model_copy(update={"rounding": mask})
        stored = self._store(name)
        weight = stored.weight.astype(np.float32) * stored.scales[:, None, None, None]
        self._integer.replace_operand(name, 1, weight)

    def _store(self, name: str) -> LayerWeights:
        layer = self._topology.layers[name]
        plan = self._layers[name]
        integer_bias = self._plan.bias == "int32" and name in self._plan.nodes
        scale = self._plan.grids[layer.data].scale if integer_bias else None
        return store_layer(self._topology, layer, plan, scale)

    def _shift(self, name: str) -> None:
        """Shift a layer's bias by the mean error of each channel, where that helps."""
        errors = np.stack(
            [
                (wanted[name].astype(np.float64) - seen[name]).mean(axis=(0, 2, 3))
                for wanted, seen in zip(self._float.held, self._integer.held, strict=True)
            ]
        )
        apart = np.asarray([_held_out(index, len(errors)) for index in range(len(errors))])
        shift = shrunk(errors[~apart])
        # E[(d - s)^2] < E[d^2] where s^2 < 2 s E[d]
        shift[shift * (shift - 2 * errors[apart].mean(axis=0)) >= 0] = 0
        if not shift.any():
            return
        update = {"bias_shift": tuple(float(part) for part in shift)}
        self._layers[name] = self._layers[name].model_copy(update=update)
        for held in self._integer.held:
            held[name] = held[name] + shift[:, None, None]


def shrunk(errors: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the mean error of each channel, drawn towards 0 by how unsure it is.

    The mean of a few images whose errors differ is mostly noise, and noise that is added to each
    layer adds up. What is left is m * (1 - k v / m^2), v the variance of the mean (the
    positive-part estimator of James and Stein 1961, a channel at a time), 0 within three standard
    errors.

    Args:
        errors: [images, channels], each image's mean error.
    """
    mean = errors.mean(axis=0)
    unsure = errors.var(axis=0, ddof=min(1, len(errors) - 1)) / len(errors)
    kept = 1 - _DOUBT * unsure / np.maximum(mean * mean, 1e-30)
    shift: NDArray[np.float32] = (mean * np.maximum(kept, 0)).astype(np.float32)
    return shift


def _held_out(index: int, images: int) -> bool:
    """Whether an image of so many is not fitted on."""
    return index % min(_HELD_OUT, images) == min(_HELD_OUT, images) - 1
