"""Recovery without labels: the layers that stay learn again what they made before the cut.

Layer after layer in the graph's order, the weights of each convolution are fitted by regularised
least squares: from what it reads in the cut network to what it made in the whole one (He et al.
2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3; here in order, so
that a layer also makes up for what those before it could not). The ridge draws towards the weights
as they were, and is chosen on images that were not fitted on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.compress.patches import take_patches, window_of
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.compress.pruning.least_squares import Moments, fitted
from edgecv_cli.compress.pruning.places import Places
from edgecv_cli.compress.pruning.weights import with_biases, with_weights
from edgecv_cli.compress.walk import OpenModel, Walk, levels_of
from edgecv_cli.core.context import Context
from edgecv_cli.graph.topology import Topology

Feed = Mapping[str, NDArray[Any]]
Array = NDArray[np.float64]
Recover = Literal["bias", "reconstruct"]
IMAGES = 128
_MOST_BYTES = 1536 * 1024**2
# One image in four chooses the ridge.
_HELD_OUT = 4


@dataclass(frozen=True)
class Fit:
    """How far a layer is from what it made in the whole network, on held-out images.

    Attributes:
        layer: its name.
        before, after: mean squared error over the variance, with the weights cut and fitted.
        ridge: what drew the weights towards what they were, as a share of the mean second
            moment; None where only the bias was fitted.
    """

    layer: str
    before: float
    after: float
    ridge: float | None


def reconstruct(
    flow: Flow,
    pruned: onnx.ModelProto,
    feeds: Iterable[Feed],
    places: Places,
    *,
    open_model: OpenModel,
    context: Context,
    recover: Recover = "reconstruct",
) -> tuple[onnx.ModelProto, tuple[Fit, ...]]:
    """Return the cut network with the weights of its convolutions fitted anew.

    Args:
        flow: of the whole network.
        pruned: what :func:`edgecv_cli.compress.pruning.cut.cut` made of it.
        feeds: what the input is fed, one image at a time; no more than ``IMAGES`` are read, fewer
            where their tensors would take more than 1.5 GiB.
        places: where on each image a layer's outputs are compared.
        open_model: see :func:`edgecv_cli.compress.walk.exact_opener`.
        context: cancellation is polled per image.
        recover: ``bias`` fits biases alone.
    """
    job = _Job(flow.topology, pruned, places, open_model, context, recover=recover)
    images = [
        {name: np.array(value) for name, value in feed.items()}
        for feed in itertools.islice(feeds, job.most_images)
    ]
    if len(images) < 2 or not job.targets:
        return pruned, ()
    fits = job.run(images)
    return job.result(), fits


class _Job:
    """The whole and the cut network side by side, and the weights fitted so far."""

    def __init__(
        self,
        whole: Topology,
        pruned: onnx.ModelProto,
        places: Places,
        open_model: OpenModel,
        context: Context,
        *,
        recover: Recover,
    ) -> None:
        self._whole = whole
        self._cut = Topology.of(with_biases(pruned))
        self._places = places
        self._context = context
        self._recover = recover
        self.targets = _touched(whole, self._cut)
        self._levels = levels_of(whole, self.targets)
        self._wanted = Walk(whole.model, self._levels, open_model)
        data = [[self._cut.layers[name].data for name in names] for names in self._levels]
        self._seen = Walk(self._cut.model, data, open_model)
        self._fitted: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    @property
    def most_images(self) -> int:
        """How many images the walks have room for."""
        inputs = sum(
            self._whole.elements(value.name) or 0 for value in self._whole.model.graph.input
        )
        held = self._wanted.most_held(self._whole.elements)
        each = 4 * (inputs + held + self._seen.most_held(self._cut.elements))
        return int(np.clip(_MOST_BYTES // max(1, each), 2, IMAGES))

    def run(self, images: Sequence[Feed]) -> tuple[Fit, ...]:
        """Fit all layers, in order."""
        self._wanted.start(images)
        self._seen.start(images)
        fits = []
        with self._context.progress.task("reconstruct", len(self._levels), "level") as task:
            for names in self._levels:
                self._wanted.advance(self._context)
                self._seen.advance(self._context)
                fits += [self._fit(name) for name in names]
                task.advance()
        return tuple(fits)

    def result(self) -> onnx.ModelProto:
        """Return the cut network with its new weights."""
        return with_weights(self._cut.model, self._fitted)

    def _fit(self, name: str) -> Fit:
        layer = self._cut.layers[name]
        weight = self._cut.constants.value(layer.weight)
        bias = self._cut.constants.value(layer.bias or "")
        assert weight is not None
        assert bias is not None
        kept = self._places.kept[name]
        fit, check = self._moments(name, kept)
        groups = fit.groups
        start = weight.reshape(groups, len(weight) // groups, -1).astype(np.float64)
        shifts = np.asarray(bias, np.float64).reshape(groups, -1)
        found = fitted(start, shifts, fit, check, weights=self._recover == "reconstruct")
        new = found.weights.reshape(weight.shape).astype(np.float32)
        shift = found.bias.reshape(-1).astype(np.float32)
        self._fitted[name] = (new, shift)
        self._seen.replace_operand(name, 1, new)
        self._seen.replace_operand(name, 2, shift)
        return Fit(name, check.error(start, shifts), found.error, found.ridge)

    def _moments(self, name: str, kept: NDArray[np.int64]) -> tuple[Moments, Moments]:
        """Return the moments of the images that are fitted on, and of those held out."""
        layer, node = self._cut.layers[name], self._cut.nodes[name]
        shapes = [self._cut.shapes[one] for one in (layer.data, name, layer.weight)]
        before, after, kernel = ((int(s[2] or 0), int(s[3] or 0)) for s in shapes)
        window = window_of(node, kernel, before, after)
        width = int(shapes[2][1] or 0) * kernel[0] * kernel[1]
        sums = (Moments(), Moments())
        count = len(self._seen.held)
        for index, (whole, cut) in enumerate(zip(self._wanted.held, self._seen.held, strict=True)):
            self._context.cancel.check()
            chosen = self._places.of(index, count, width, after)
            patches = take_patches(cut[layer.data], window, chosen)
            made = whole[name][0].reshape(whole[name].shape[1], -1)[kept][:, chosen]
            held_out = index % min(_HELD_OUT, count) == min(_HELD_OUT, count) - 1
            sums[held_out].add(patches, made.reshape(window.groups, -1, len(chosen)))
        return sums


def _touched(whole: Topology, cut: Topology) -> set[str]:
    """Return the convolutions that read something else than they did in the whole network."""
    changed: set[str] = set()
    found: set[str] = set()
    for name, node in cut.nodes.items():
        reads = any(tensor in changed for tensor in node.input)
        smaller = any(whole.shapes.get(o) != cut.shapes.get(o) for o in node.output)
        if reads and name in cut.layers and cut.layers[name].op == "Conv":
            found.add(name)
        if reads or smaller:
            changed.update(node.output)
    return found
