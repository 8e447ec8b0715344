"""Quantization-aware fine-tuning: a detector's integer form learns what its float form says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.training.dense import DenseLesson
from edgecv_cli.compress.training.distance import Distance
from edgecv_cli.compress.training.fake_quant import Rounded, rounded
from edgecv_cli.compress.training.finetune import Altered, Kept, Tuned, learn
from edgecv_cli.compress.training.lessons import Lesson, RawLesson
from edgecv_cli.compress.training.network import Network, torch_module
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.program import program_of
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.core.context import Context
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.topology import Topology

Feed = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Quantized:
    """What quantization-aware fine-tuning made.

    Attributes:
        model: the integer model, by the builder of quantize; without metadata.
        float_model: the float graph with the trained weights, which ``plan`` quantizes.
        plan: its grids are those that were learned.
        tuned: how the training went; its model is ``float_model``.
        rounding: what was trained.
    """

    model: onnx.ModelProto = field(repr=False)
    float_model: onnx.ModelProto = field(repr=False)
    plan: QuantizePlan = field(repr=False)
    tuned: Tuned
    rounding: Rounded = field(repr=False)

    def network(self) -> Callable[[Feed], dict[str, NDArray[Any]]]:
        """Return the trained network that rounds, in torch: from a feed to the outputs by name."""
        torch = torch_module()
        network = Network(self.rounding.program, trained=False)
        values = {**program_of(self.float_model).weights, **self.tuned.learned}
        with torch.no_grad():
            for name, held in network.weights.items():
                held.copy_(torch.as_tensor(np.array(values[name])))

        outputs = [value.name for value in self.rounding.topology.model.graph.output]

        def run(feed: Feed) -> dict[str, NDArray[Any]]:
            with torch.no_grad():
                made = network(feed)
            return {name: made[name].cpu().numpy() for name in outputs}

        return run


def finetune_quantized(
    teacher: onnx.ModelProto,
    topology: Topology,
    plan: QuantizePlan,
    pictures: Pictures,
    recipe: Recipe,
    *,
    heads: Sequence[str],
    context: Context,
    kept: Kept | None = None,
    scales: bool = True,
    spec: DetectorSpec | None = None,
) -> Quantized:
    """Train a float detector so that its integer form says of images what the teacher does.

    Args:
        teacher: normalised, float.
        topology: the normalised float graph that becomes integers; often the teacher's.
        plan: made for it: which nodes compute in integers, and on what grids.
        pictures, recipe, context, kept: as :func:`edgecv_cli.compress.training.finetune.finetune`.
        heads: tensors of both that are compared, in the same shapes: raw predictions.
        scales: whether the scales of activations are learned too.
        spec: how both are read; boxes and scores of candidates are then learned instead.

    Raises:
        ConfigError: the plan makes something else than int8, or is of another graph.
        EdgeCVError: as ``finetune``.
    """
    made = rounded(topology, plan, heads, scales=scales, spec=spec)
    lesson: Lesson = (
        RawLesson(teacher, heads, pictures, recipe.mode)
        if spec is None
        else DenseLesson(teacher, spec, recipe.mode)
    )
    tuned = learn(
        made.topology.model,
        lesson,
        pictures,
        recipe,
        context=context,
        kept=kept,
        altered=Altered(made.program, made.digest),
    )
    after = Topology.of(tuned.model)
    learned = made.tuned_plan(after, tuned.learned)
    return Quantized(apply_normalised(after, learned), tuned.model, learned, tuned, made)


def distances(
    teacher: onnx.ModelProto,
    topology: Topology,
    plans: Sequence[QuantizePlan],
    pictures: Pictures,
    *,
    heads: Sequence[str],
    context: Context,
) -> list[float]:
    """Return how far each plan's integers are from the teacher on the held-out images, untrained.

    Raises:
        EdgeCVError: as :func:`finetune_quantized`.
    """
    torch = torch_module()
    whole = Network(program_of(teacher, also=heads), trained=False)
    networks = [
        Network(rounded(topology, plan, heads, scales=False).program, trained=False)
        for plan in plans
    ]
    sums = [0.0] * len(plans)
    with torch.no_grad():
        taught = [whole(feed) for feed in pictures.held_out()]
        measure = Distance(torch, [{name: one[name] for name in heads} for one in taught])
        for feed, wanted in zip(pictures.held_out(), taught, strict=True):
            context.cancel.check()
            for place, network in enumerate(networks):
                sums[place] += float(measure(network(feed), wanted))
    return [one / len(taught) for one in sums]
