"""quantize --sensitivity: what each group of layers costs in integers; nothing is saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.compress.quantization.build import Builder
from edgecv_cli.compress.quantization.evidence import Evidence
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.recipe import Recipe
from edgecv_cli.compress.quantization.sensitivity import Probe
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.scratch import scratch
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.hardware import machine
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.compose.sensitivity import sensitivity_document
from edgecv_cli.stages.quantize_inputs import Inputs
from edgecv_cli.stages.sensitivity_result import SensitivityResult


def sensitivity(config: QuantizeConfig, context: Context) -> SensitivityResult:
    """Measure the damage of every group of layers of one plan.

    The plan is that of ``--plan``, or what ``--placement``, ``--estimator`` and the corrections
    say; ``auto`` is every layer in integers, mean ranges, and no correction.

    Raises:
        UsageError: options contradict each other, or there are no calibration images.
        ModelError, DataError, EngineError: an input can't be used.
    """
    with (
        reporting(config.report, force=config.force, inputs=[config.model]) as draft,
        scratch() as folder,
    ):
        inputs = Inputs.read(config, folder, context)
        paths = _images(inputs)
        plan = inputs.plan or _plan(config, inputs, paths, folder, context)
        probe = Probe(
            inputs.topology,
            plan,
            inputs.artifact,
            inputs.spec,
            paths,
            glue=inputs.rules.glue,
            folder=folder,
            engine=inputs.engine,
            threads=config.threads,
            exact=inputs.exact,
            context=context,
        )
        started = context.clock()
        measured = probe.run()
        result = SensitivityResult(
            model=str(config.model),
            target=plan.target,
            precision=plan.precision,
            placement=plan.placement,
            estimator=plan.estimator,
            sensitivity=measured,
            seconds=(context.clock() - started) / 1e9,
            report=None if config.report is None else str(config.report),
            warnings=inputs.doubts,
            machine=machine(config.threads),
        )
        if draft.wanted:
            draft.write(sensitivity_document(result))
        return result


def _images(inputs: Inputs) -> Sequence[Path]:
    if inputs.images is not None:
        return inputs.images.paths
    if inputs.data is None:
        raise UsageError(
            "there are no images to measure damage on",
            remedy="add --calibration DIR (a folder of images)",
        )
    return [item.path for item in inputs.data.items]


def _plan(
    config: QuantizeConfig,
    inputs: Inputs,
    paths: Sequence[Path],
    folder: Path,
    context: Context,
) -> QuantizePlan:
    def observe(topology: Topology, images: Sequence[Path]) -> Evidence:
        return inputs.observe(topology, images, threads=config.threads, context=context)

    builder = Builder(
        observe(inputs.topology, paths),
        inputs.rules,
        observe,
        folder=folder,
        threads=config.threads,
        context=context,
    )
    return builder.plan(
        Recipe(
            "all" if config.placement == "auto" else config.placement,
            "mean-minmax" if config.estimator == "auto" else config.estimator,
            bias_correction=config.bias_correction == "on",
            percentile=config.percentile,
            equalise=config.equalisation == "on",
            rounding=config.adaptive_rounding == "on",
        )
    )
