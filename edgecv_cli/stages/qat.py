"""Integers that were trained: the plan that they start from, their file, and whether it is true.

What quantize would do to the float detector is what training goes through: every op that the
target's engine has an integer kernel for, and the range estimator that does least harm before
any training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.evidence import gather
from edgecv_cli.compress.quantization.placement import distinct_placements
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.propose import propose
from edgecv_cli.compress.quantization.recipe import Recipe as QuantizeRecipe
from edgecv_cli.compress.quantization.recipe import spread
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.compress.training.finetune import Kept
from edgecv_cli.compress.training.located import has_candidates
from edgecv_cli.compress.training.pictures import Pictures
from edgecv_cli.compress.training.qat import Quantized, distances, finetune_quantized
from edgecv_cli.compress.training.schedule import Recipe
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ModelError
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.topology import Topology
from edgecv_cli.runtime.opening import open_runner

_ESTIMATORS = ("minmax", "mean-minmax", "mse")
_IMAGES = 128
_COMPARED = 8
_APART = 0.1


@dataclass(frozen=True)
class Trained:
    """Integers after training.

    Attributes:
        quantized: the model, its plan, and how the training went.
        estimator: of ranges, that did least harm before.
        untrained: the estimators -> distance from the teacher before training.
    """

    quantized: Quantized = field(repr=False)
    estimator: str
    untrained: dict[str, float]


def trained_integers(
    student: Artifact,
    teacher: onnx.ModelProto,
    topology: Topology,
    pictures: Pictures,
    recipe: Recipe,
    *,
    spec: DetectorSpec,
    paths: Sequence[Path],
    heads: Sequence[str],
    target: str = "cpu",
    context: Context,
    kept: Kept | None = None,
) -> Trained:
    """Quantize a float detector and train it so.

    Args:
        student: the float detector, as a file.
        teacher: normalised; what it learns from: the float original.
        topology: the student's normalised graph.
        pictures, recipe, context, kept: as :func:`edgecv_cli.compress.training.finetune.finetune`.
        spec: how the student is fed.
        paths: images to take ranges from; 128 of them, evenly spread.
        heads: tensors of both that are compared.
        target: as ``quantize --target`` names it.

    Raises:
        EdgeCVError: as ``finetune_quantized``, and as quantize where nothing can be integers.
    """
    plans = plans_for(student, topology, spec=spec, paths=paths, target=target, context=context)
    found = distances(
        teacher, topology, list(plans.values()), pictures, heads=heads, context=context
    )
    untrained = dict(zip(plans, found, strict=True))
    best = min(untrained, key=lambda name: untrained[name])
    context.progress.note(f"integers with {best} ranges: distance {untrained[best]:.4f}")
    made = finetune_quantized(
        teacher,
        topology,
        plans[best],
        pictures,
        recipe,
        heads=heads,
        context=context,
        kept=kept,
        spec=spec if has_candidates(spec) else None,
    )
    return Trained(made, best, untrained)


def plans_for(
    student: Artifact,
    topology: Topology,
    *,
    spec: DetectorSpec,
    paths: Sequence[Path],
    target: str,
    context: Context,
) -> dict[str, QuantizePlan]:
    """Return the plan that puts every op into integers, for each estimator of ranges.

    Raises:
        ModelError: nothing could be integers.
        UsageError: there are no rules for the target.
    """
    rules = resolve_target(target)
    if not distinct_placements(topology, glue=rules.glue):
        raise ModelError(
            f"'{student.path}' has no layer with stored weights that could run in 8 bits",
            remedy="run `edgecv inspect` to see what the model holds",
        )
    evidence = gather(
        student,
        topology,
        spec,
        spread(paths, _IMAGES),
        input_size=None,
        engine="onnxruntime",
        threads=None,
        context=context,
    )
    return {
        name: propose(
            topology,
            evidence.observed,
            QuantizeRecipe("all", name, bias_correction=True),
            rules,
            source=evidence.source,
            input_size=None,
        )
        for name in _ESTIMATORS
    }


def parity(made: Quantized, path: Path, pictures: Pictures, threads: int | None) -> float:
    """Return how far what ONNX Runtime makes of the saved integers is from what was trained.

    Root mean square of the difference over the spread of the output, the worst output, on up to
    eight held-out images.

    Args:
        made: the training's result.
        path: its file.
        pictures: as fed in training.
        threads: of the engine.
    """
    network = made.network()
    runner = open_runner(Artifact.open(path), "onnxruntime", threads)
    worst = 0.0
    try:
        for _, feed in zip(range(_COMPARED), pictures.held_out(), strict=False):
            trained = network(feed)
            for name, value in runner.infer(feed).items():
                wanted = np.asarray(value, np.float64)
                apart = np.sqrt(np.square(trained[name] - wanted).mean())
                worst = max(worst, float(apart / max(float(wanted.std()), 1e-12)))
    finally:
        runner.close()
    return worst


def parity_warning(value: float) -> str | None:
    """Return what to say of integers that the engine computes otherwise than they were trained."""
    if value <= _APART:
        return None
    return (
        f"what ONNX Runtime computes differs from what was trained by {value:.3f} of the outputs' "
        "spread: deep networks carry on where integers round the other way, or the target adds "
        "otherwise than this machine"
    )
