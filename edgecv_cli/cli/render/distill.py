"""What ``edgecv distill`` shows: how it learned, before and after, gates."""

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

    from edgecv_cli.stages.distill_result import DistillResult, LossRow

_MOST_ROWS = 10


def render(result: DistillResult) -> Iterator[RenderableType]:
    """Yield the training, before and after, and the gates."""
    yield grid(
        ("updates", "distance on held-out images"),
        [(str(row.step), fixed(row.distance, 4)) for row in _some(result.losses)],
    )
    yield before_after(("student", "taught"), result.before, result.after)
    yield facts(
        [
            ("teacher", result.teacher),
            ("swapped", _counts(result.swapped)),
            ("multiply-accumulates", f"{100 * result.width:.1f} %" if result.width else None),
            ("kept", f"update {result.best} of {result.steps} ({result.ended})"),
            ("integers", _integers(result)),
            ("agreement", _agreement(result)),
            ("drop", lost(result.drop) if result.drop else None),
            ("drop interval", between(result.drop_interval, 2)),
            ("speed-up", f"{result.speedup:.2f} x" if result.speedup else None),
            ("speed interval", between(result.speedup_interval, 2)),
            *((f"gate {name}", outcome) for name, outcome in result.gates.items()),
        ]
    )
    for text in result.warnings:
        yield warning(text)
    yield line(_how(result), "dim")
    yield from measured_on(result.machine)
    yield line(f"saved {result.saved}" if result.saved else "nothing was saved")
    if result.rejected is not None:
        yield line(f"kept as {result.rejected}")


def _some(rows: tuple[LossRow, ...]) -> list[LossRow]:
    """Return some of many looks, evenly spread, the first and the last among them."""
    if len(rows) <= _MOST_ROWS:
        return list(rows)
    last = len(rows) - 1
    return [rows[round(place * last / (_MOST_ROWS - 1))] for place in range(_MOST_ROWS)]


def _counts(swapped: dict[str, int] | None) -> str | None:
    return ", ".join(f"{name}: {count}" for name, count in swapped.items()) if swapped else None


def _integers(result: DistillResult) -> str | None:
    row = result.integers
    if row is None:
        return None
    return (
        f"{row.target}, {row.estimator} ranges: distance {row.before:.4f} -> {row.after:.4f} after "
        f"{row.best} of {row.steps} updates ({row.ended}); ONNX Runtime within {row.parity:.4f}"
    )


def _agreement(result: DistillResult) -> str | None:
    found = result.agreement
    if found is None or found.after is None:
        return None
    before = "" if found.before is None else f"{found.before:.4f} -> "
    return f"{before}{found.after:.4f} with the teacher, on {found.images} images"


def _how(result: DistillResult) -> str:
    how = result.how
    images = f"; mAP on {how.evaluation_images} images" if how.evaluation_images else ""
    rounds = f"; {how.speed_rounds} interleaved rounds" if how.speed_rounds else ""
    learned = (
        f"learned on {result.training_images} images, {result.held_out_images} held out, in "
        f"{result.seconds:.0f} s"
    )
    return f"{learned}; {how.engine}, {how.threads} threads, seed {how.seed}{rounds}{images}"
