"""From what a distill run measured to the result that it reports."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.distill import DistillConfig
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.hardware import machine
from edgecv_cli.stages.converting.gates import Outcome
from edgecv_cli.stages.converting.sides import side_of
from edgecv_cli.stages.converting.verify import Seen
from edgecv_cli.stages.distill_job import Given, Learned
from edgecv_cli.stages.distill_qat import integers_warnings
from edgecv_cli.stages.distill_result import DistillResult, LossRow, TaughtBy
from edgecv_cli.stages.quantize_result import HowMade

ENGINE = "onnxruntime"
"""What runs both sides."""


def judged_result(
    config: DistillConfig,
    given: Given,
    learned: Learned,
    converted: Artifact,
    seen: Seen,
    *,
    taught: TaughtBy | None,
    made: Sequence[Outcome],
) -> DistillResult:
    """Return before and after; nothing is saved yet."""
    runs = seen.speed.runs if seen.speed else (None, None)
    ratio = seen.speed.ratios[0] if seen.speed and seen.speed.ratios else None
    sizes = given.student.artifact.size_bytes, converted.size_bytes
    tuned = learned.tuned
    method = "bootstrap over launches and rounds"
    told = [one.warning for one in made if one.warning]
    if tuned.ended == "diverged":
        told.append("the loss was no finite number any more: the best weights before are kept")
    return DistillResult(
        model=str(config.model),
        family=given.student.spec.family,
        machine=machine(config.threads),
        teacher=str(config.images if config.control else config.teacher or config.model),
        lesson=learned.lesson,
        swapped=learned.swapped,
        width=learned.width,
        before=side_of(seen.before, runs[0], sizes[0]),
        after=side_of(seen.after, runs[1], sizes[1]),
        drop=seen.drop.drop if seen.drop else None,
        drop_interval=seen.drop.points if seen.drop else None,
        agreement=taught,
        speedup=ratio.ratio if ratio else None,
        speedup_interval=Interval(low=ratio.low, high=ratio.high, method=method) if ratio else None,
        size_ratio=sizes[0] / sizes[1],
        steps=tuned.steps,
        best=tuned.best,
        ended=tuned.ended,
        retreats=tuned.retreats,
        losses=tuple(
            LossRow(step=step, distance=value)
            for step, value in tuned.curve
            if math.isfinite(value)
        ),
        integers=learned.integers,
        training_images=learned.images[0],
        held_out_images=learned.images[1],
        seconds=learned.seconds,
        gates={one.name: one.text for one in made},
        warnings=(
            *given.warnings,
            *seen.warnings,
            *told,
            *integers_warnings(learned.integers),
        ),
        how=_how(config, seen, taught),
        provenance=learned.lineage,
        report=None if config.report is None else str(config.report),
    )


def _how(config: DistillConfig, seen: Seen, taught: TaughtBy | None) -> HowMade:
    return HowMade(
        engine=ENGINE,
        threads=config.threads or usable_cores(),
        evaluation_images=seen.before.images if seen.before else None,
        agreement_images=taught.images if taught else None,
        agreement_source=None if taught is None else "--images",
        speed_rounds=seen.speed.rounds if seen.speed else None,
        speed_source="each in a child process, rounds interleaved" if seen.speed else None,
        seed=config.seed,
    )
