"""Bars, pairs of bars and histograms as HTML and inline SVG.

Shapes are SVG that stretches; all text is HTML, so that it stays readable on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgecv_cli.report.axis import Axis
from edgecv_cli.report.blocks import Bar, Bars, Change, Changes, Histograms, Series

_SVG_WIDTH, _SVG_HEIGHT = 1000, 100


def bars(block: Bars) -> str:
    """Return a bar chart; lengths are in proportion to the longest."""
    longest = max((bar.value for bar in block.bars), default=0) or 1
    rows = [_bar(bar, longest) for bar in block.bars]
    return chart("bars", block.title, _folded(rows, block.open))


def _bar(bar: Bar, longest: float) -> str:
    return (
        f'<div class="bar"><span>{escape(bar.label)}</span><div class="track">'
        f'<i class="{bar.tone}" style="--part:{bar.value / longest:.4f}"></i>'
        f"<span>{escape(bar.shown)}</span></div></div>"
    )


def changes(block: Changes) -> str:
    """Return pairs of bars, before above after; lengths are in proportion to the longest."""
    values = [value for row in block.changes for value in (row.before, row.after)]
    longest = max(values, default=0) or 1
    rows = [_change(row, longest) for row in block.changes]
    before, after = map(escape, block.sides)
    key = (
        f'<p class="key"><span><i class="before"></i>{before} (upper bar)</span>'
        f'<span><i class="after"></i>{after} (lower bar)</span></p>'
    )
    return chart("changes", block.title, key + _folded(rows, block.open))


def _change(row: Change, longest: float) -> str:
    pair = "".join(
        f'<i class="{name}" style="--part:{value / longest:.4f}"></i>'
        for name, value in (("before", row.before), ("after", row.after))
    )
    return (
        f'<div class="change"><span>{escape(row.label)}</span><div class="two">{pair}</div>'
        f'<span class="said {row.tone}">{escape(row.shown)}<small>{escape(row.detail)}</small>'
        "</span></div>"
    )


def _folded(rows: Sequence[str], count: int | None) -> str:
    first, rest = "".join(rows[:count]), rows[len(rows) if count is None else count :]
    if not rest:
        return first
    return f"{first}<details><summary>{len(rest)} more</summary>{''.join(rest)}</details>"


def histograms(block: Histograms) -> str:
    """Return histograms above one axis, each scaled to its own fullest bin."""
    if not block.series:
        return ""
    axis = _axis(block.series)
    rows = "".join(_series(series, axis, block.unit) for series in block.series)
    ticks = "".join(
        f'<span style="left:{100 * axis.place(value):.2f}%">{text}</span>'
        for value, text in axis.ticks()
    )
    ruler = f'<div class="axis" aria-hidden="true">{ticks}</div>'
    unit = f'<p class="unit">{escape(block.unit)}</p>'
    return chart("histograms", block.title, rows + ruler + unit)


def _axis(every: Sequence[Series]) -> Axis:
    ends = [series.start + series.width * len(series.counts) for series in every]
    marks = [value for series in every for _, value in series.marks]
    return Axis.over([series.start for series in every] + ends + marks)


def _series(series: Series, axis: Axis, unit: str) -> str:
    said = ", ".join(f"{name} {value:.2f} {unit}" for name, value in series.marks)
    text = ", ".join(part for part in (said, series.detail) if part)
    names = "".join(
        f'<span class="{"before" if place == 0 else "after"}" '
        f'style="left:{100 * axis.place(value):.2f}%">{escape(name)}</span>'
        for place, (name, value) in enumerate(series.marks)
    )
    lines = "".join(
        f'<path class="mark{place}" d="M{_SVG_WIDTH * axis.place(value):.1f} 0V{_SVG_HEIGHT}"/>'
        for place, (_, value) in enumerate(series.marks)
    )
    return (
        f'<div class="series"><p><b>{escape(series.label)}</b> <span>{escape(text)}</span></p>'
        f'<div class="marks" aria-hidden="true">{names}</div>'
        f'<svg viewBox="0 0 {_SVG_WIDTH} {_SVG_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(f"Histogram of {series.label}: {text}")}">'
        f'<path class="area" d="{_outline(series, axis)}"/>{lines}</svg></div>'
    )


def _outline(series: Series, axis: Axis) -> str:
    """Return the path around all bins, along the bottom and back."""
    fullest = max(series.counts)
    begin = _SVG_WIDTH * axis.place(series.start)
    steps = [f"M{begin:.1f} {_SVG_HEIGHT}"]
    for place, count in enumerate(series.counts, 1):
        right = _SVG_WIDTH * axis.place(series.start + series.width * place)
        steps.append(f"V{_SVG_HEIGHT * (1 - count / fullest):.1f}H{right:.1f}")
    return "".join(steps) + f"V{_SVG_HEIGHT}Z"


def chart(kind: str, title: str, inside: str) -> str:
    """Return a figure with its title."""
    return f'<figure class="chart {kind}"><figcaption>{escape(title)}</figcaption>{inside}</figure>'
