"""From what a conversion measured to the result that it reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.hardware import machine
from edgecv_cli.stages.converting.figures import figures, how_made, remarks
from edgecv_cli.stages.converting.gates import Outcome
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult
from edgecv_cli.stages.converting.verify import Pair, Seen
from edgecv_cli.stages.quantize_result import QuantizeResult

if TYPE_CHECKING:
    from edgecv_cli.stages.convert_openvino_job import Source


def build_result(
    config: ConvertOpenVinoConfig,
    source: Source,
    pair: Pair,
    seen: Seen,
    made: Sequence[Outcome],
    *,
    notes: Sequence[str],
    lineage: Sequence[Step],
) -> ConvertOpenVinoResult:
    """Return the result of what was verified; nothing is saved yet."""
    return ConvertOpenVinoResult(
        machine=machine(config.threads),
        model=str(config.model),
        precision=source.precision,
        hint="bf16" if config.precision == "bf16" else None,
        engine=config.run_as,
        **figures(pair, seen),
        gates={one.name: one.text for one in made},
        warnings=(*source.warnings, *seen.warnings, *(one.warning for one in made if one.warning)),
        notes=(*notes, *remarks(pair, seen)),
        how=how_made(
            pair, seen, images="--images" if config.images else "--calibration", seed=config.seed
        ),
        provenance=tuple(lineage),
        quantized=source.quantized,
        baked=source.baked,
        quantizer=source.quantizer,
        report=_report(config),
    )


def unmade_result(
    config: ConvertOpenVinoConfig, spec: DetectorSpec, refused: QuantizeResult
) -> ConvertOpenVinoResult:
    """Return the result where no int8 form met quantize's gates, so that nothing was converted."""
    return ConvertOpenVinoResult(
        machine=machine(config.threads),
        model=str(config.model),
        family=spec.family,
        precision="int8",
        baseline=refused.baseline,
        engine=config.run_as,
        gates=refused.gates,
        warnings=refused.warnings,
        notes=("no int8 form met the gates of quantize, so nothing was converted",),
        how=refused.how,
        quantized=refused,
        quantizer="edgecv",
        report=_report(config),
    )


def _report(config: ConvertOpenVinoConfig) -> str | None:
    return None if config.report is None else str(config.report)
