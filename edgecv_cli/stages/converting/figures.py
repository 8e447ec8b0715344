"""From what a conversion measured to the fields that every converter's result has."""

from __future__ import annotations

from typing import Any

from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.accuracy import AccuracyResult
from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.stages.converting.verify import REFERENCE, Pair, Seen
from edgecv_cli.stages.quantize_result import HowMade, Side


def figures(pair: Pair, seen: Seen) -> dict[str, Any]:
    """Return fields of a ``ConversionResult``: what was verified, and how the two compare."""
    runs = seen.speed.runs if seen.speed else (None, None)
    before, after = pair.original.size_bytes, pair.converted.size_bytes
    run = seen.execution
    return {
        "family": pair.spec.family,
        "spec": pair.stored,
        "verified": seen.verified,
        "unverified": seen.unverified,
        "parity": seen.parity,
        **_agreement(seen),
        "baseline": _side(seen.before, runs[0], before),
        "converted": _side(seen.after, runs[1], after),
        "drop": seen.drop.drop if seen.drop else None,
        "drop_interval": seen.drop.points if seen.drop else None,
        **_speed(seen),
        "size_ratio": before / after,
        "provider": run.provider if run else None,
        "layers": run.precision if run and run.precision != "unknown" else None,
    }


def remarks(pair: Pair, seen: Seen) -> tuple[str, ...]:
    """Return what a reader of the figures should know of how they were made."""
    if seen.verified != "ran":
        return ("the numbers are unverified: the result was not run here",)
    notes = []
    if not pair.looked_at:
        compared = "nothing was compared" if seen.parity is None else "raw outputs were compared"
        notes.append(f"no images were given: {compared}, detections were not")
    if pair.exact:
        notes.append("the original's integers were run as they are written, in float")
    return tuple(notes)


def how_made(pair: Pair, seen: Seen, *, images: str, seed: int) -> HowMade:
    """Say how the figures were made; ``images``: the option that named the compared images."""
    agreed, speed = seen.agreement, seen.speed
    source = None
    if agreed is not None:
        source = images if pair.images else "--data"
    return HowMade(
        engine=f"original on {REFERENCE}, converted on {pair.engine}",
        exact=pair.exact or None,
        threads=pair.threads or usable_cores(),
        evaluation_images=seen.before.images if seen.before else None,
        agreement_images=agreed.images if agreed else None,
        agreement_source=source,
        speed_rounds=speed.rounds if speed else None,
        speed_source="each in a child process, rounds interleaved" if speed else None,
        seed=seed,
    )


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
