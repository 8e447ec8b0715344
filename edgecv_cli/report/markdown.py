"""A document as GitHub Markdown, such as a job's summary; pictures and curves are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgecv_cli.report.blocks import (
    Bars,
    Block,
    Callout,
    Chain,
    Changes,
    Curves,
    Document,
    Facts,
    Figures,
    Heading,
    Histograms,
    Matrix,
    Paragraph,
    Scatter,
    Table,
)
from edgecv_cli.report.pareto import pareto_front

# Whatever a file name or a message holds must come out as text: no markup, no HTML, no table cell.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#!~$&@])")


def render(document: Document) -> str:
    """Return the document as Markdown; the same document gives the same text."""
    parts = [f"# {_text(document.title)}", _text(document.subtitle)]
    parts += [text for text in map(_block, document.blocks) if text]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:  # noqa: PLR0911 - one return a kind
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_text(text)}"
        case Paragraph(text):
            return _text(text)
        case Callout():
            return _callout(block)
        case Figures(figures):
            rows = [(one.label, one.value, one.detail) for one in figures]
            return _table(("", "", ""), rows, frozenset({1}))
        case Table():
            caption = f"{_text(block.caption)}\n\n" if block.caption else ""
            return caption + _table(block.header, block.rows, block.numeric)
        case Facts(facts):
            return _listed(facts)
        case Chain(links):
            return "\n".join(
                f"{place}. {_text(link.title)}" for place, link in enumerate(links, start=1)
            )
        case _:
            return _drawn(block)


def _drawn(block: Block) -> str:
    match block:
        case Bars(title, bars):
            return _table((title, ""), [(bar.label, bar.shown) for bar in bars], frozenset({1}))
        case Changes(title, _, changes):
            rows = [(one.label, one.shown, one.detail) for one in changes]
            return _table((title, "", ""), rows, frozenset({1}))
        case Histograms(title, unit, series):
            marked = [
                (one.label, ", ".join(f"{name} {value:.2f}" for name, value in one.marks))
                for one in series
            ]
            return _table((title, unit), marked, frozenset({1}))
        case _:
            return _plotted(block)


def _plotted(block: Block) -> str:
    match block:
        case Curves(title, _, _, lines):
            named = [(line.label, line.detail) for line in lines if line.detail]
            return _table((title, ""), named, frozenset()) if named else ""
        case Scatter(title, x, y, dots):
            front = pareto_front([(dot.x, dot.y) for dot in dots])
            rows = [
                (dot.label, f"{dot.x:.4g}", f"{dot.y:.4g}", "yes" if place in front else "")
                for place, dot in enumerate(dots)
            ]
            return _table((title, x, y, "beaten by no other"), rows, frozenset({1, 2}))
        case Matrix(title, corner, names, columns, cells):
            counts = [
                (name, *(str(count or "") for count in row))
                for name, row in zip(names, cells, strict=True)
            ]
            numeric = frozenset(range(1, len(columns) + 1))
            return f"{_text(title)}\n\n{_table((corner, *columns), counts, numeric)}"
        case _:
            return ""


def _callout(block: Callout) -> str:
    lines = [f"**{_text(block.word)}** {_text(block.text)}".rstrip()]
    lines += [f"- {_text(point)}" for point in block.points]
    return "\n".join(f"> {line}" for line in lines)


def _listed(facts: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in facts)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], numeric: frozenset[int]) -> str:
    rule = ["---:" if column in numeric else "---" for column in range(len(header))]
    lines = [_cells(header), f"| {' | '.join(rule)} |", *map(_cells, rows)]
    return "\n".join(lines)


def _cells(row: Sequence[str]) -> str:
    return f"| {' | '.join(map(_text, row))} |"


def _text(text: str) -> str:
    """Return text on one line, with everything that Markdown would read into it escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
