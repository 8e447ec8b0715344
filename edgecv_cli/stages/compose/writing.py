"""How numbers are written in a report; what was not measured is an empty cell."""

from __future__ import annotations

from collections.abc import Iterable

from edgecv_cli.core.result import Drop, Interval
from edgecv_cli.report.blocks import Tone

MINUS = "\N{MINUS SIGN}"


def fixed(value: float | None, digits: int = 3, unit: str = "") -> str:
    """Return a measured value with its unit, or nothing where it was not measured."""
    return "" if value is None else f"{value:.{digits}f}{unit}".replace("-", MINUS)


def signed(value: float | None, digits: int = 1, unit: str = "") -> str:
    """Return a difference with its sign."""
    if value is None:
        return ""
    rounded = round(value, digits)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{digits}f}{unit}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return a fraction as per cent."""
    return "" if fraction is None else fixed(100 * fraction, digits, " %")


def megabytes(size: int | None) -> str:
    """Return a size in megabytes (10^6 bytes)."""
    return "" if size is None else f"{size / 1e6:.2f} MB"


def relative_change(before: float | None, after: float | None) -> str:
    """Return by how many per cent ``after`` is more than ``before``."""
    if before is None or after is None or before <= 0:
        return ""
    return signed(100 * (after / before - 1), 0, " %")


def between(interval: Interval | None, digits: int = 3) -> str:
    """Return an interval's ends and level."""
    if interval is None:
        return ""
    low, high = fixed(interval.low, digits), fixed(interval.high, digits)
    return f"{100 * interval.level:.0f} % interval {low} to {high}"


def speed_shown(interval: Interval) -> tuple[str, Tone]:
    """Say what an interval of speed-ups shows, and in which tone."""
    if interval.low > 1:
        return "faster", "good"
    if interval.high < 1:
        return "slower", "bad"
    return "no difference is shown", "plain"


def how(interval: Interval | None) -> str:
    """Say how an interval was made."""
    if interval is None:
        return ""
    return interval.method + (f", {interval.resamples} resamples" if interval.resamples else "")


def lost(drop: Drop) -> str:
    """Return a loss of accuracy in words; a negative one is a gain."""
    verb = "gained" if drop.points < 0 else "lost"
    return f"{verb} {abs(drop.points):.2f} points ({abs(100 * drop.relative):.1f} %)"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Return a count with its noun; ``many`` is what several are called, if not with an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or f'{noun}s'}"


def sentence(parts: Iterable[str]) -> str:
    """Join what there is to say; empty parts say nothing."""
    said = "; ".join(part for part in parts if part)
    return f"{said}." if said else ""
