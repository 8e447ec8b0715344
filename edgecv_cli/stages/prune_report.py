"""From what a prune run measured to the result that it reports."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.hardware import machine
from edgecv_cli.stages.converting.gates import Outcome
from edgecv_cli.stages.converting.sides import side_of
from edgecv_cli.stages.converting.verify import Seen
from edgecv_cli.stages.prune_choice import Given
from edgecv_cli.stages.prune_job import Looked, Smaller
from edgecv_cli.stages.prune_result import (
    BudgetRow,
    FitRow,
    GroupRow,
    PruneResult,
    SpeedRow,
    TuneRow,
    group_rows,
    width_rows,
)
from edgecv_cli.stages.quantize_result import HowMade


def shown_result(config: PruneConfig, given: Given) -> PruneResult:
    """Return the groups alone, with nothing cut."""
    return PruneResult(
        model=str(config.model),
        family=given.spec.family,
        macs=given.flow.macs(()),
        groups=group_rows(given.flow),
        kept=dict(given.flow.kept_because),
        warnings=given.warnings,
    )


def unreached_result(config: PruneConfig, given: Given, looked: Looked) -> PruneResult:
    """Return what was measured where no cut is as fast as was asked; nothing was made."""
    asked = config.target_speedup or 1.0
    nearest = max(speed.ratio for _, speed in looked.tries)
    return shown_result(config, given).model_copy(
        update={
            "machine": machine(config.threads),
            **_looked(looked),
            "gates": {"target_speedup": f"at least {asked:g}x: {nearest:.2f}x is the most"},
            "report": None if config.report is None else str(config.report),
        }
    )


def judged_result(
    config: PruneConfig,
    given: Given,
    smaller: Smaller,
    converted: Artifact,
    seen: Seen,
    *,
    made: Sequence[Outcome],
) -> PruneResult:
    """Return before and after; nothing is saved yet."""
    runs = seen.speed.runs if seen.speed else (None, None)
    ratio = seen.speed.ratios[0] if seen.speed and seen.speed.ratios else None
    before, after = given.artifact.size_bytes, converted.size_bytes
    parameters = [one.facts(config.input_size).parameters for one in (given.artifact, converted)]
    shown = shown_result(config, given)
    return shown.model_copy(
        update={
            "machine": machine(config.threads),
            "groups": _cut_rows(given.flow, shown.groups, smaller),
            "widths": width_rows(given.flow, smaller.removed),
            "flops_ratio": smaller.share,
            "parameters_ratio": parameters[1] / parameters[0],
            "baseline": side_of(seen.before, runs[0], before),
            "optimized": side_of(seen.after, runs[1], after),
            "drop": seen.drop.drop if seen.drop else None,
            "drop_interval": seen.drop.points if seen.drop else None,
            "agreement": seen.agreement.agreement if seen.agreement else None,
            "speedup": ratio.ratio if ratio else None,
            "speedup_interval": None
            if ratio is None
            else Interval(
                low=ratio.low, high=ratio.high, method="bootstrap over launches and rounds"
            ),
            "size_ratio": before / after,
            **_looked(smaller.looked),
            "fits": tuple(FitRow(**vars(one)) for one in smaller.fits),
            "finetune": _tuned_row(smaller),
            "seconds": smaller.seconds,
            "gates": {one.name: one.text for one in made},
            "warnings": _warnings(given, smaller, seen, made),
            "how": _how(config, given, seen),
            "provenance": smaller.lineage,
            "report": None if config.report is None else str(config.report),
        }
    )


def _looked(looked: Looked) -> dict[str, object]:
    return {
        "curve": tuple(BudgetRow(flops_ratio=a, damage=b) for a, b in looked.costs),
        "curve_images": looked.images,
        "speeds": tuple(
            SpeedRow(flops_ratio=part, speedup=one.ratio, low=one.low, high=one.high)
            for part, one in looked.tries
        ),
    }


def _warnings(
    given: Given, smaller: Smaller, seen: Seen, made: Sequence[Outcome]
) -> tuple[str, ...]:
    said = smaller.tuned.warning if smaller.tuned else None
    told = tuple(one.warning for one in made if one.warning)
    return (*given.warnings, *seen.warnings, *((said,) if said else ()), *told)


def _tuned_row(smaller: Smaller) -> TuneRow | None:
    made = smaller.tuned
    if made is None:
        return None
    return TuneRow(
        before=made.before,
        after=made.after,
        steps=made.steps,
        best=made.best,
        ended=made.ended,
        retreats=made.retreats,
        curve=tuple((step, value) for step, value in made.curve if math.isfinite(value)),
    )


def _cut_rows(flow: Flow, rows: Sequence[GroupRow], smaller: Smaller) -> tuple[GroupRow, ...]:
    return tuple(
        row.model_copy(
            update={
                "removed": sum(int(unit) in smaller.removed for unit in group.units),
                "damage": smaller.damage.get(group.producers),
            }
        )
        for row, group in zip(rows, flow.groups, strict=True)
    )


def _how(config: PruneConfig, given: Given, seen: Seen) -> HowMade:
    agreed = seen.agreement
    return HowMade(
        engine="onnxruntime",
        threads=config.threads or usable_cores(),
        evaluation_images=seen.before.images if seen.before else None,
        agreement_images=agreed.images if agreed else None,
        agreement_source=None if agreed is None else "--data" if given.data else "--calibration",
        speed_rounds=seen.speed.rounds if seen.speed else None,
        speed_source="each in a child process, rounds interleaved" if seen.speed else None,
        seed=config.seed,
    )
