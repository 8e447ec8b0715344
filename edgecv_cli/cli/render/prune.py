"""What ``edgecv prune`` shows: groups of channels, before and after, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    before_after,
    between,
    facts,
    fixed,
    grid,
    line,
    lost,
    measured_on,
    warning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from edgecv_cli.stages.prune_result import GroupRow, PruneResult, TuneRow


def render(result: PruneResult) -> Iterator[RenderableType]:
    """Yield the groups; where something was cut, before and after as well."""
    cut = result.optimized is not None
    yield _groups(result, cut=cut)
    if not cut and result.gates:
        yield from _tried(result)
        yield line("nothing was saved")
        return
    if not cut:
        yield line(f"{len(result.kept)} layers keep all of their channels:")
        for reason, names in _by_reason(result.kept).items():
            yield line(f"  {reason}: {', '.join(names)}")
        for text in result.warnings:
            yield warning(text)
        return
    assert result.baseline is not None
    yield before_after(("original", "pruned"), result.baseline, result.optimized)
    yield facts(
        [
            ("multiply-accumulates", _ratio(result.flops_ratio)),
            ("parameters", _ratio(result.parameters_ratio)),
            ("fine-tuning", _tuning(result.finetune)),
            ("agreement", fixed(result.agreement, 4) if result.agreement is not None else None),
            ("drop", lost(result.drop) if result.drop else None),
            ("drop interval", between(result.drop_interval, 2)),
            ("speed-up", f"{result.speedup:.2f} x" if result.speedup else None),
            ("speed interval", between(result.speedup_interval, 2)),
            *((f"gate {name}", outcome) for name, outcome in result.gates.items()),
        ]
    )
    yield from _tried(result)
    for text in (*result.warnings, *result.notes):
        yield warning(text)
    yield line(_how(result), "dim")
    yield from measured_on(result.machine)
    if result.saved is not None:
        yield line(f"saved {result.saved}")
    else:
        yield line("nothing was saved")
    if result.rejected is not None:
        yield line(f"kept as {result.rejected}")
    if result.report is not None:
        yield line(f"report {result.report}")


def _tried(result: PruneResult) -> Iterator[RenderableType]:
    """Yield what milder cuts cost, and what was timed."""
    if result.curve:
        yield line(
            f"loss of detections by what is kept ({result.curve_images} calibration images, before "
            "the recovery):"
        )
        rows = [(f"{100 * row.flops_ratio:.1f} %", fixed(row.damage, 3)) for row in result.curve]
        yield grid(("kept", "loss"), rows)
    if result.speeds:
        yield grid(
            ("kept", "speed", "95 % interval"),
            [
                (
                    f"{100 * row.flops_ratio:.1f} %",
                    f"{row.speedup:.2f} x",
                    f"{row.low:.2f} to {row.high:.2f}",
                )
                for row in result.speeds
            ],
        )


def _tuning(row: TuneRow | None) -> str | None:
    if row is None:
        return None
    moved = f"distance {row.before:.4f} -> {row.after:.4f} on held-out images"
    return f"{moved}, best of {row.steps} updates at {row.best} ({row.ended})"


def _groups(result: PruneResult, *, cut: bool) -> RenderableType:
    rows = []
    for row in result.groups:
        cells = [_makers(row), str(row.units), f"{100 * row.macs_share:.1f} %"]
        if cut:
            cells += [str(row.removed or 0), fixed(row.damage, 3)]
        rows.append(tuple(cells))
    columns = ["made by", "channels", "share of MACs"]
    return grid((*columns, "removed", "damage") if cut else tuple(columns), rows)


def _makers(row: GroupRow) -> str:
    more = len(row.producers) - 1
    return row.producers[0] + (f" and {more} more" if more else "")


def _by_reason(kept: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, reason in kept.items():
        found.setdefault(reason, []).append(name)
    return found


def _ratio(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} % of the original's"


def _how(result: PruneResult) -> str:
    how = result.how
    assert how is not None
    images = f"; mAP on {how.evaluation_images} images" if how.evaluation_images else ""
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in (result.seconds or {}).items())
    rounds = f"; {how.speed_rounds} interleaved rounds" if how.speed_rounds else ""
    return f"{how.engine}, {how.threads} threads, seed {how.seed}{rounds}{images}; {spent}"
