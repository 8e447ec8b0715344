"""What a conversion shows: how far it was verified, before and after, gates, and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecv_cli.cli.render.tables import (
    before_after,
    between,
    facts,
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

    from edgecv_cli.measure.parity import Parity
    from edgecv_cli.stages.converting.result import ConversionResult


def render(result: ConversionResult) -> Iterator[RenderableType]:
    """Yield what was compared, the gates, and what was saved."""
    yield before_after(("original", "converted"), result.baseline, result.converted)
    yield facts(
        [
            ("verified", _verified(result)),
            ("outputs", _parity(result.parity)),
            ("agreement", _agreement(result)),
            ("drop", lost(result.drop) if result.drop else None),
            ("drop interval", between(result.drop_interval, 2)),
            ("speed-up", _speedup(result)),
            ("speed interval", between(result.speedup_interval, 2)),
            ("layers", result.layers),
            *((f"gate {name}", outcome) for name, outcome in result.gates.items()),
        ]
    )
    for text in result.warnings:
        yield warning(text)
    for text in result.notes:
        yield line(f"note: {text}")
    how = result.how
    rounds = f"; {how.speed_rounds} interleaved rounds" if how.speed_rounds else ""
    yield line(f"{how.engine}, {how.threads} threads, seed {how.seed}{rounds}", "dim")
    yield from measured_on(result.machine)
    yield from _outcome(result)


def _verified(result: ConversionResult) -> str | None:
    if result.verified is None:
        return None
    why = result.unverified or result.provider
    return f"{result.verified} ({why})" if why else result.verified


def _parity(found: Parity | None) -> str | None:
    if found is None:
        return None
    if found.problem is not None:
        return found.problem
    if found.snr_db is None:
        return f"the same to the last bit, on {found.pictures} {found.source}"
    largest = "" if found.max_abs is None else f", largest difference {found.max_abs:.3g}"
    relative = "" if found.relative is None else f" ({percent(found.relative, 3)})"
    return f"SNR {found.snr_db:.1f} dB{largest}{relative}, on {found.pictures} {found.source}"


def _agreement(result: ConversionResult) -> str | None:
    if result.agreement is None:
        return None
    images = f"on {result.how.agreement_images} images of {result.how.agreement_source}"
    counts = f"{result.matched} matched, {result.missed} missed, {result.extra} extra"
    return f"{result.agreement:.4f} {images} ({counts})"


def _speedup(result: ConversionResult) -> str | None:
    return f"{result.speedup:.2f} x against ONNX Runtime" if result.speedup else None


def _outcome(result: ConversionResult) -> Iterator[RenderableType]:
    if result.saved is None:
        yield line("nothing was saved", "bold red")
    else:
        yield line(f"saved {result.saved} ({result.precision})", "bold green")
    for file in result.files:
        name = file.path or file.part
        yield line(f"{name} {megabytes(file.size_bytes)} sha256 {file.sha256}", "dim")
    if result.report is not None:
        yield line(f"report: {result.report}")
    if result.rejected is not None:
        yield line(f"the refused result was kept as {result.rejected}")
