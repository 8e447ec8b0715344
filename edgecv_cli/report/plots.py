"""Lines, points and counts as HTML and inline SVG.

Shapes are SVG that stretches with the page; all text is HTML, so that it stays readable on a
phone. Lines differ in dashes as well as in colour, and points are numbered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from edgecv_cli.report.axis import Axis
from edgecv_cli.report.blocks import Curves, Dot, Line, Matrix, Scatter
from edgecv_cli.report.charts import chart
from edgecv_cli.report.pareto import pareto_front

_WIDTH, _HEIGHT = 1000, 500
_KINDS = 8
_LINE_MARGIN = 0.02
_Y_TICKS = 5
_SHADES = 6


@dataclass(frozen=True)
class _Frame:
    """Two axes and their names."""

    across: Axis
    up: Axis
    x: str
    y: str

    def left(self, value: float) -> str:
        return f"left:{100 * self.across.place(value):.2f}%"

    def bottom(self, value: float) -> str:
        return f"bottom:{100 * self.up.place(value):.2f}%"

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        steps = [
            f"{_WIDTH * self.across.place(x):.1f} {_HEIGHT * (1 - self.up.place(y)):.1f}"
            for x, y in points
        ]
        return f"M{'L'.join(steps)}"

    def around(self, shapes: str, *, marks: str = "", said: str) -> str:
        """Return shapes (SVG) and marks (HTML) on the axes; ``said`` tells who sees nothing."""
        ticks = self.up.ticks(edge=0)
        below = "".join(
            f'<span style="{self.left(value)}">{text}</span>' for value, text in self.across.ticks()
        )
        beside = "".join(
            f'<span style="{self.bottom(value)}">{text}</span>' for value, text in ticks
        )
        rules = "".join(
            f'<path class="rule" d="M0 {_HEIGHT * (1 - self.up.place(value)):.1f}H{_WIDTH}"/>'
            for value, _ in ticks
        )
        return (
            f'<p class="unit left">{escape(self.y)}</p>'
            f'<div class="plot"><div class="beside" aria-hidden="true">{beside}</div>'
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(said)}">{rules}{shapes}</svg>{marks}'
            f'<div class="axis" aria-hidden="true">{below}</div></div>'
            f'<p class="unit">{escape(self.x)}</p>'
        )


def curves(block: Curves) -> str:
    """Return lines on common axes, each named below with the dashes that it is drawn in."""
    lines = [line for line in block.lines if line.points][:_KINDS]
    if not lines:
        return ""
    points = [point for line in lines for point in line.points]
    ends = block.y_range or (min(y for _, y in points), max(y for _, y in points))
    frame = _Frame(
        Axis.over([x for x, _ in points], margin=_LINE_MARGIN),
        Axis(*ends, margin=_LINE_MARGIN, ticks=_Y_TICKS),
        block.x,
        block.y,
    )
    drawn = "".join(
        f'<path class="line l{place}" d="{frame.path(line.points)}"/>'
        for place, line in enumerate(lines)
    )
    named = "".join(_line_name(place, line) for place, line in enumerate(lines))
    said = f"{block.title}: {', '.join(line.label for line in lines)}"
    return chart(
        "curves", block.title, f'{frame.around(drawn, said=said)}<ul class="names">{named}</ul>'
    )


def _line_name(place: int, line: Line) -> str:
    return (
        f'<li><svg viewBox="0 0 30 8" aria-hidden="true"><path class="line l{place}" d="M0 4H30"/>'
        f"</svg>{escape(line.label)}{_small(line.detail)}</li>"
    )


def scatter(block: Scatter) -> str:
    """Return numbered points with their intervals, and the line that joins those on the front."""
    dots = block.dots
    if not dots:
        return ""
    frame = _Frame(
        Axis.over(_ends([(dot.x, dot.x_ends) for dot in dots])),
        Axis.over(_ends([(dot.y, dot.y_ends) for dot in dots]), ticks=_Y_TICKS),
        block.x,
        block.y,
    )
    front = pareto_front([(dot.x, dot.y) for dot in dots])
    joined = frame.path([(dots[place].x, dots[place].y) for place in front])
    shapes = f'<path class="front" d="{joined}"/>' + "".join(
        f'<path class="whisker" d="{frame.path(ends)}"/>' for dot in dots for ends in _whiskers(dot)
    )
    marks = "".join(
        f'<b class="dot{" best" if place in front else ""}" '
        f'style="{frame.left(dot.x)};{frame.bottom(dot.y)}">{place + 1}</b>'
        for place, dot in enumerate(dots)
    )
    said = f"{block.title}: {len(dots)} points, {len(front)} of them beaten by no other"
    named = "".join(_dot_name(dot, best=place in front) for place, dot in enumerate(dots))
    inside = frame.around(shapes, marks=marks, said=said)
    return chart("scatter", block.title, f'{inside}<ol class="names">{named}</ol>')


def _dot_name(dot: Dot, *, best: bool) -> str:
    beaten = "" if best else "another is at least as good in both"
    detail = "; ".join(part for part in (dot.detail, beaten) if part)
    return f"<li>{escape(dot.label)}{_small(detail)}</li>"


def _small(text: str) -> str:
    return f" <small>{escape(text)}</small>" if text else ""


def _ends(values: Sequence[tuple[float, tuple[float, float] | None]]) -> list[float]:
    return [end for value, ends in values for end in (value, *(ends or ()))]


def _whiskers(dot: Dot) -> Iterator[list[tuple[float, float]]]:
    if dot.x_ends:
        yield [(end, dot.y) for end in dot.x_ends]
    if dot.y_ends:
        yield [(dot.x, end) for end in dot.y_ends]


def matrix(block: Matrix) -> str:
    """Return counts as a table whose cells are darker where there are more."""
    most = max((count for row in block.cells for count in row), default=0)
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in block.columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_matrix_cells(block, place, most)}</tr>'
        for place, name in enumerate(block.rows)
    )
    return chart(
        "matrix",
        block.title,
        f'<div class="scroll" tabindex="0"><table><thead><tr><th>{escape(block.corner)}</th>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>",
    )


def _matrix_cells(block: Matrix, row: int, most: int) -> str:
    cells = []
    for column, count in enumerate(block.cells[row]):
        shade = -(-_SHADES * count // most) if most else 0
        tone = "right" if (row, column) in block.right else "wrong"
        cells.append(f'<td class="s{shade} {tone}">{count or ""}</td>')
    return "".join(cells)
