"""From what a conversion measured to the result that it reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.accuracy import AccuracyResult
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.stages.converting.gates import Outcome
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult
from edgecv_cli.stages.converting.verify import REFERENCE, Pair, Seen
from edgecv_cli.stages.quantize_result import HowMade, QuantizeResult, Side

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
    runs = seen.speed.runs if seen.speed else (None, None)
    before, after = pair.original.size_bytes, pair.converted.size_bytes
    run = seen.execution
    return ConvertOpenVinoResult(
        machine=machine(config.threads),
        model=str(config.model),
        family=source.spec.family,
        spec=pair.stored,
        precision=source.precision,
        hint="bf16" if config.precision == "bf16" else None,
        verified=seen.verified,
        unverified=seen.unverified,
        parity=seen.parity,
        **_agreement(seen),
        baseline=_side(seen.before, runs[0], before),
        converted=_side(seen.after, runs[1], after),
        drop=seen.drop.drop if seen.drop else None,
        drop_interval=seen.drop.points if seen.drop else None,
        **_speed(seen),
        size_ratio=before / after,
        engine=config.run_as,
        provider=run.provider if run else None,
        layers=run.precision if run and run.precision != "unknown" else None,
        gates={one.name: one.text for one in made},
        warnings=(*source.warnings, *seen.warnings, *(one.warning for one in made if one.warning)),
        notes=(*notes, *_notes(pair, seen)),
        how=_how(config, pair, seen),
        provenance=tuple(lineage),
        quantized=source.quantized,
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
        report=_report(config),
    )


def _report(config: ConvertOpenVinoConfig) -> str | None:
    return None if config.report is None else str(config.report)


def _agreement(seen: Seen) -> dict[str, Any]:
    found = seen.agreement
    if found is None:
        return {}
    return {
        "agreement": found.agreement,
        "matched": found.matched,
        "missed": found.missed,
        "extra": found.extra,
    }


def _speed(seen: Seen) -> dict[str, Any]:
    if seen.speed is None or not seen.speed.ratios:
        return {}
    found = seen.speed.ratios[0]
    how = "bootstrap over launches and rounds"
    return {
        "speedup": found.ratio,
        "speedup_interval": Interval(low=found.low, high=found.high, method=how),
    }


def _side(accuracy: AccuracyResult | None, run: BenchRun | None, size: int) -> Side:
    return Side(
        map=accuracy.map if accuracy else None,
        map50=accuracy.map50 if accuracy else None,
        per_class=accuracy.per_class if accuracy else None,
        interval=accuracy.interval if accuracy else None,
        p50_ms=run.p50_ms if run else None,
        p95_ms=run.p95_ms if run else None,
        samples=run.samples if run else None,
        distribution=run.distribution if run else None,
        size_bytes=size,
    )


def _notes(pair: Pair, seen: Seen) -> tuple[str, ...]:
    if seen.verified != "ran":
        return ("the numbers are unverified: the result was not run here",)
    notes = []
    if not pair.looked_at:
        notes.append("no images were given: raw outputs were compared, detections were not")
    if pair.exact:
        notes.append("the original's integers were run as they are written, in float")
    return tuple(notes)


def _how(config: ConvertOpenVinoConfig, pair: Pair, seen: Seen) -> HowMade:
    agreed = seen.agreement
    source = None
    if agreed is not None:
        given = "--images" if config.images else "--calibration"
        source = given if pair.images else "--data"
    speed = seen.speed
    return HowMade(
        engine=f"original on {REFERENCE}, converted on {config.run_as}",
        exact=pair.exact or None,
        threads=config.threads or usable_cores(),
        evaluation_images=seen.before.images if seen.before else None,
        agreement_images=agreed.images if agreed else None,
        agreement_source=source,
        speed_rounds=speed.rounds if speed else None,
        speed_source="each in a child process, rounds interleaved" if speed else None,
        seed=config.seed,
    )
