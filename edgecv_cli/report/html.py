"""A document as one HTML file: no scripts, no network, everything escaped."""

from __future__ import annotations

import base64
from html import escape
from typing import TypeAlias

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
    Images,
    Link,
    Matrix,
    Pairs,
    Paragraph,
    Picture,
    Scatter,
    Table,
)
from edgecv_cli.report.charts import bars, changes, histograms
from edgecv_cli.report.plots import curves, matrix, scatter
from edgecv_cli.report.style import CSS

# The browser itself is told to load nothing, in case an escape were ever forgotten.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
_Drawing: TypeAlias = Bars | Changes | Histograms | Curves | Scatter | Matrix

_WIDEST = 4  # columns that fit beside each other on a phone


def render(document: Document) -> str:
    """Return the document as HTML; the same document gives the same bytes."""
    body = "\n".join(_block(block) for block in document.blocks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(document.title)}</title>
<style>{CSS}</style>
</head>
<body>
<main>
<header>
<h1>{escape(document.title)}</h1>
<p class="subtitle">{escape(document.subtitle)}</p>
</header>
{body}
</main>
</body>
</html>
"""


def _block(block: Block) -> str:  # noqa: PLR0911 - one return a kind
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text, muted):
            return f"<p{_classed('muted', muted)}>{escape(text)}</p>"
        case Callout():
            return _callout(block)
        case Figures():
            return _figures(block)
        case Table():
            return _table(block)
        case Facts(facts):
            return _facts(facts)
        case Chain(links):
            return f'<ol class="chain">{"".join(map(_link, links))}</ol>'
        case _:
            return _drawn(block)


def _drawn(block: _Drawing | Images | Pairs) -> str:
    match block:
        case Images(pictures):
            return f'<div class="images">{"".join(map(_picture, pictures))}</div>'
        case Pairs(pairs):
            return "".join(f'<div class="pair">{_picture(a)}{_picture(b)}</div>' for a, b in pairs)
        case _:
            return _plotted(block)


def _plotted(block: _Drawing) -> str:
    match block:
        case Bars():
            return bars(block)
        case Changes():
            return changes(block)
        case Histograms():
            return histograms(block)
        case Curves():
            return curves(block)
        case Scatter():
            return scatter(block)
        case Matrix():
            return matrix(block)


def _callout(block: Callout) -> str:
    points = "".join(f"<li>{escape(point)}</li>" for point in block.points)
    listed = f"<ul>{points}</ul>" if points else ""
    said = f"<b>{escape(block.word)}</b> {escape(block.text)}"
    return f'<div class="callout {block.tone}">{said}{listed}</div>'


def _figures(block: Figures) -> str:
    shown = "".join(
        f'<div class="figure"><b class="{figure.tone}">{escape(figure.value)}</b>'
        f"{escape(figure.label)}<small>{escape(figure.detail)}</small></div>"
        for figure in block.figures
    )
    return f'<div class="figures">{shown}</div>'


def _table(block: Table) -> str:
    # A phone shows a wide table as cards; the roles keep it a table for a screen reader.
    stacks = _classed("stack", len(block.header) > _WIDEST)
    caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    head = "".join(
        f'<th scope="col" role="columnheader"{_classed("number", column in block.numeric)}>'
        f"{escape(title)}</th>"
        for column, title in enumerate(block.header)
    )
    rows = "".join(_row(block, index, row) for index, row in enumerate(block.rows))
    return (
        f'<div class="scroll" tabindex="0"><table role="table"{stacks}>{caption}'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{rows}</tbody></table></div>'
    )


def _row(block: Table, index: int, row: tuple[str, ...]) -> str:
    first = f'<th scope="row" role="rowheader">{escape(row[0])}</th>' if row else ""
    cells = "".join(
        f'<td role="cell" data-title="{escape(block.header[column])}"'
        f"{_classed('number', column in block.numeric)}>{escape(cell)}</td>"
        for column, cell in enumerate(row)
        if column
    )
    return f'<tr role="row"{_classed("strong", index in block.strong)}>{first}{cells}</tr>'


def _facts(facts: tuple[tuple[str, str], ...]) -> str:
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts
    )
    return f'<dl class="facts">{shown}</dl>'


def _link(link: Link) -> str:
    return f"<li><b>{escape(link.title)}</b>{_facts(link.facts) if link.facts else ''}</li>"


def _classed(name: str, holds: bool) -> str:
    return f' class="{name}"' if holds else ""


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    return (
        f'<figure><img src="data:{picture.media_type};base64,{data}" alt="{escape(picture.alt)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
