"""What ``edgecv quantize`` shows: before and after, the decision, and its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    ABSENT,
    between,
    facts,
    fixed,
    grid,
    line,
    lost,
    measured_on,
    megabytes,
    percent,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.quantize_result import CandidateRow, HowMade, QuantizeResult

SHOWN_FLOAT_LAYERS = 5


def render(result: QuantizeResult) -> Iterator[RenderableType]:
    """Yield the candidates, the before/after table, how it was judged, and what was saved."""
    if len(result.candidates) > 1:
        yield _candidates(result)
    yield _before_after(result)
    yield facts(
        [
            ("recipe", _recipe(result)),
            ("drop", lost(result.drop) if result.drop else None),
            ("drop interval", between(result.drop_interval, 2)),
            ("agreement", _agreement(result)),
            ("speed-up", fixed(result.speedup, 2, " x") if result.speedup else None),
            ("speed interval", between(result.speedup_interval, 2)),
            ("in int8", _share(result)),
            ("threshold", _threshold(result)),
            ("calibration", _calibration(result)),
            *((f"gate {name}", outcome) for name, outcome in result.gates.items()),
        ]
    )
    if result.layers is not None:
        yield from _float_layers(result.layers.reasons)
    for text in result.warnings:
        yield warning(text)
    for text in result.notes:
        yield line(f"note: {text}")
    yield line(_how(result.how), "dim")
    yield from measured_on(result.machine)
    yield from _outcome(result)


def _before_after(result: QuantizeResult) -> RenderableType:
    before, after = result.baseline, result.optimized
    return grid(
        ("", "before", "after"),
        [
            ("mAP50-95", fixed(before.map), fixed(after.map if after else None)),
            ("mAP50", fixed(before.map50), fixed(after.map50 if after else None)),
            ("p50 ms", fixed(before.p50_ms, 2), fixed(after.p50_ms if after else None, 2)),
            ("p95 ms", fixed(before.p95_ms, 2), fixed(after.p95_ms if after else None, 2)),
            ("size", megabytes(before.size_bytes), megabytes(after.size_bytes if after else None)),
        ],
    )


def _candidates(result: QuantizeResult) -> RenderableType:
    columns = ("candidate", "ranges", "corrections", "self-mAP", "speed-up", "int8 MACs", "verdict")
    rows = [
        (
            _form(row),
            row.estimator,
            ", ".join(map(_short, row.corrections)) or ABSENT,
            fixed(row.self_map),
            fixed(row.speedup, 2, " x"),
            percent(row.int8_macs_share, 0),
            row.verdict or ABSENT,
        )
        for row in result.candidates
    ]
    return grid(columns, rows, texts=3)


def _form(row: CandidateRow) -> str:
    """Return which layers are float as a table has room for it."""
    stem = " - stem" if row.float_stem else ""
    return row.placement + stem + (f" - {row.given_back}" if row.given_back else "")


def _short(correction: str) -> str:
    """Return a correction's name as a table has room for it."""
    return {"bias correction": "bias", "adaptive rounding": "rounding"}.get(correction, correction)


def _recipe(result: QuantizeResult) -> str | None:
    if result.placement is None:
        return None
    parts = [f"{result.precision} for {result.target}: {result.placement}"]
    if result.estimator:
        parts.append(f"{result.estimator} ranges")
    return ", ".join([*parts, *result.corrections])


def _threshold(result: QuantizeResult) -> str | None:
    refit = result.threshold
    if refit is None:
        return None
    moved = refit.threshold != refit.original
    shown = f"{refit.original:g} -> {refit.threshold:g}" if moved else f"{refit.original:g}"
    return f"{shown} for detect ({refit.reason})"


def _agreement(result: QuantizeResult) -> str | None:
    if result.agreement is None:
        return None
    how = result.how
    source = f" of {how.agreement_source}" if how.agreement_source else ""
    images = f" on {how.agreement_images} images{source}" if how.agreement_images else ""
    return f"{result.agreement:.3f}{images} (F1 of matched detections)"


def _share(result: QuantizeResult) -> str | None:
    if result.int8_macs_share is None:
        return None
    counts = result.layers.by_precision if result.layers else {}
    layers = ", ".join(f"{count} layers {precision}" for precision, count in counts.items())
    return f"{percent(result.int8_macs_share)} of the MACs{f' ({layers})' if layers else ''}"


def _calibration(result: QuantizeResult) -> str | None:
    made = result.calibration
    if made is None:
        return None
    memory = f", peak {megabytes(made.peak_rss_bytes)}" if made.peak_rss_bytes else ""
    skipped = f", skipped: {', '.join(made.skipped)}" if made.skipped else ""
    return f"{made.images} images, {made.seconds:.1f} s{memory}{skipped}"


def _float_layers(reasons: dict[str, str]) -> Iterator[RenderableType]:
    groups: dict[str, int] = {}
    for reason in reasons.values():
        groups[reason] = groups.get(reason, 0) + 1
    ordered = sorted(groups.items(), key=lambda item: -item[1])
    for reason, count in ordered[:SHOWN_FLOAT_LAYERS]:
        yield line(f"float: {count} layer{'' if count == 1 else 's'}, {reason}")


def _how(how: HowMade) -> str:
    parts = [
        f"mAP on {how.evaluation_images} images" if how.evaluation_images else "",
        f"speed: {how.speed_source}" if how.speed_source else "",
        f"{how.speed_rounds} interleaved rounds" if how.speed_rounds else "",
        f"{how.engine}, {how.threads} threads, seed {how.seed}",
    ]
    return "; ".join(part for part in parts if part)


def _outcome(result: QuantizeResult) -> Iterator[RenderableType]:
    if result.saved is not None:
        yield line(f"saved {result.saved} ({result.precision})", "bold green")
        if result.sha256:
            yield line(f"sha256 {result.sha256}", "dim")
    else:
        yield line("nothing was saved", "bold red")
    if result.plan is not None:
        yield line(f"plan: {result.plan}")
    if result.report is not None:
        yield line(f"report: {result.report}")
    if result.rejected is not None:
        yield line(f"the best candidate was kept as {result.rejected}")
