"""From what a quantize run measured to the result that it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.compress.quantization.audit import Finding
from edgecv_cli.compress.quantization.evidence import Evidence
from edgecv_cli.compress.quantization.judge import Judge, Seen, Verdict
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.ranking import RANKING_IMAGES
from edgecv_cli.compress.quantization.recipe import Candidate, Recipe
from edgecv_cli.compress.quantization.sensitivity import Sensitivity
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.measurement import LatencySummary
from edgecv_cli.core.result import Interval, Machine
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.latency_result import SpeedResult
from edgecv_cli.measure.operating_point import Refit
from edgecv_cli.stages.quantize_inputs import Inputs
from edgecv_cli.stages.quantize_result import (
    Calibration,
    CandidateRow,
    HowMade,
    Layers,
    QuantizeResult,
    Side,
)


@dataclass(frozen=True)
class RunFacts:
    """What a run was given and what it gathered."""

    config: QuantizeConfig
    inputs: Inputs
    evidence: Evidence | None
    judge: Judge
    findings: tuple[Finding, ...]
    refit: Refit | None
    sensitivity: Sensitivity | None
    threads: int
    machine: Machine


def build_result(
    run: RunFacts,
    candidate: Candidate,
    verdict: Verdict,
    *,
    path: Path,
    candidates: Sequence[Candidate],
    verdicts: Mapping[Recipe, str],
) -> QuantizeResult:
    """Return the result of judging ``candidate``, whose file is ``path``; nothing is saved yet."""
    speed = verdict.speed
    before, after = (speed.baseline, speed.candidate) if speed else (None, None)
    baseline = _side(run.judge.baseline, before, run.inputs.artifact.size_bytes)
    size = path.stat().st_size
    plan = candidate.plan
    return QuantizeResult(
        schema_="edgecv.quantize/1",
        machine=run.machine,
        model=str(run.config.model),
        target=plan.target,
        precision=plan.precision,
        placement=plan.placement,
        estimator=plan.estimator,
        bias_correction=plan.bias_correction,
        corrections=_corrections(plan),
        baseline=baseline,
        optimized=_side(verdict.seen, after, size),
        drop=verdict.drop.drop if verdict.drop else None,
        drop_interval=verdict.drop.points if verdict.drop else None,
        objects=accuracy.objects if (accuracy := run.judge.baseline.accuracy) else None,
        agreement=verdict.agreement,
        speedup=speed.ratio if speed else None,
        speedup_interval=_interval(speed),
        size_ratio=run.inputs.artifact.size_bytes / size,
        layers=_layers(run.inputs.topology, candidate),
        int8_macs_share=candidate.share,
        calibration=_calibration(run.evidence),
        candidates=tuple(_row(entry, verdicts) for entry in candidates),
        gates=verdict.gates,
        warnings=(*run.inputs.doubts, *(str(one) for one in run.findings), *verdict.warnings),
        audit=run.findings,
        threshold=run.refit,
        baked=run.inputs.baked,
        sensitivity=run.sensitivity,
        notes=_notes(run, len(verdicts)),
        how=_how(run, speed),
        report=None if run.config.report is None else str(run.config.report),
    )


def kept_float(result: QuantizeResult, reason: str, size: int) -> QuantizeResult:
    """Return the result of keeping fp32, with the candidate that did not pay as evidence."""
    return result.model_copy(
        update={
            "precision": "fp32",
            "placement": None,
            "estimator": None,
            "bias_correction": None,
            "corrections": (),
            "optimized": result.baseline.model_copy(update={"size_bytes": size}),
            "drop": None,
            "drop_interval": None,
            "agreement": None,
            "speedup": None,
            "speedup_interval": None,
            "size_ratio": None,
            "layers": None,
            "int8_macs_share": 0.0,
            "gates": {},
            "threshold": None,
            "notes": (*result.notes, reason),
        }
    )


def _side(seen: Seen, latency: LatencySummary | None, size: int) -> Side:
    accuracy = seen.accuracy
    return Side(
        map=accuracy.map if accuracy else None,
        map50=accuracy.map50 if accuracy else None,
        per_class=accuracy.per_class if accuracy else None,
        interval=accuracy.interval if accuracy else None,
        p50_ms=latency.p50_ms if latency else None,
        p95_ms=latency.p95_ms if latency else None,
        samples=latency.samples if latency else None,
        distribution=latency.distribution if latency else None,
        size_bytes=size,
    )


def _corrections(plan: QuantizePlan) -> tuple[str, ...]:
    """Name what a plan corrects, as it stands in it."""
    rounded = any(layer.rounding is not None for layer in plan.layers.values())
    on = {
        "equalisation": bool(plan.equalise),
        "bias correction": plan.bias_correction,
        "adaptive rounding": rounded,
    }
    return tuple(name for name, is_on in on.items() if is_on)


def _interval(speed: SpeedResult | None) -> Interval | None:
    if speed is None:
        return None
    return Interval(low=speed.low, high=speed.high, method="bootstrap over paired rounds")


def _layers(topology: Topology, candidate: Candidate) -> Layers:
    integer = sum(name in candidate.plan.layers for name in topology.layers)
    counts = {"int8": integer, "fp32": len(topology.layers) - integer}
    return Layers(by_precision=counts, reasons=candidate.plan.reasons)


def _calibration(evidence: Evidence | None) -> Calibration | None:
    if evidence is None:
        return None
    return Calibration(
        images=evidence.observed.images,
        skipped=evidence.skipped,
        seconds=evidence.seconds,
        peak_rss_bytes=evidence.peak_rss_bytes,
    )


def _row(candidate: Candidate, verdicts: Mapping[Recipe, str]) -> CandidateRow:
    recipe = candidate.recipe
    return CandidateRow(
        placement=recipe.placement,
        estimator=recipe.estimator,
        bias_correction=recipe.bias_correction,
        corrections=recipe.corrections,
        float_stem=recipe.float_stem,
        given_back=len(recipe.floats) or None,
        precision=candidate.plan.precision,
        self_map=candidate.self_map,
        speedup=candidate.speedup,
        int8_macs_share=candidate.share,
        judged=recipe in verdicts,
        verdict=verdicts.get(recipe),
    )


def _notes(run: RunFacts, judged: int) -> tuple[str, ...]:
    notes = [] if run.inputs.baked is None else [f"preprocessing {run.inputs.baked}"]
    if run.evidence is not None and run.evidence.skipped:
        notes.append(f"{len(run.evidence.skipped)} calibration images can't be decoded")
    if run.evidence is not None:
        ranked = min(RANKING_IMAGES, run.evidence.observed.images)
        notes.append(
            f"candidates were ranked on {ranked} calibration images, without labels; "
            "the figures of the gates come from the judged file"
        )
    if run.config.data is not None and judged > 1:
        notes.append(
            f"{judged} candidates were judged on --data: the figures of one that is taken after "
            "others failed are slightly optimistic"
        )
    if not run.inputs.rules.here:
        notes.append(
            f"speed was not measured: this machine is not a {run.inputs.rules.name}"
            + (
                "; 16-bit sums may saturate here that do not there, so the accuracy may differ"
                if run.inputs.rules.sums == 32
                else ""
            )
        )
    return tuple(notes)


def _how(run: RunFacts, speed: SpeedResult | None) -> HowMade:
    labelled = run.config.data is not None
    return HowMade(
        engine=run.inputs.engine,
        exact=run.inputs.exact or None,
        threads=run.threads,
        evaluation_images=run.judge.images if labelled else None,
        agreement_images=run.judge.images,
        agreement_source="--data" if labelled else "--calibration",
        speed_rounds=speed.rounds if speed else None,
        speed_source="each artifact in a child process, rounds interleaved" if speed else None,
        seed=run.config.seed,
    )
