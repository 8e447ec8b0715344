"""A document as one HTML file: no scripts, no network, everything escaped."""

from __future__ import annotations

import base64
from html import escape

from edgecv_cli.report.blocks import (
    Bars,
    Block,
    Document,
    Figures,
    Heading,
    Images,
    Paragraph,
    Picture,
    Table,
)
from edgecv_cli.report.style import CSS

# The browser itself is told to load nothing, in case an escape were ever forgotten.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render(document: Document) -> str:
    """Return the document as HTML; the same document gives the same bytes."""
    body = "\n".join(_block(block) for block in document.blocks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
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


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text, muted):
            return f"<p{_classed('muted', muted)}>{escape(text)}</p>"
        case Figures():
            return _figures(block)
        case Table():
            return _table(block)
        case Bars():
            return _bars(block)
        case Images(pictures):
            return f'<div class="images">{"".join(map(_picture, pictures))}</div>'


def _figures(block: Figures) -> str:
    shown = "".join(
        f'<div class="figure"><b class="{figure.tone}">{escape(figure.value)}</b>'
        f"{escape(figure.label)}<small>{escape(figure.detail)}</small></div>"
        for figure in block.figures
    )
    return f'<div class="figures">{shown}</div>'


def _table(block: Table) -> str:
    caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    head = "".join(
        f'<th scope="col"{_classed("number", column in block.numeric)}>{escape(title)}</th>'
        for column, title in enumerate(block.header)
    )
    rows = "".join(_row(block, index, row) for index, row in enumerate(block.rows))
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(block: Table, index: int, row: tuple[str, ...]) -> str:
    cells = "".join(
        f"<td{_classed('number', column in block.numeric)}>{escape(cell)}</td>"
        for column, cell in enumerate(row)
    )
    return f"<tr{_classed('strong', index in block.strong)}>{cells}</tr>"


def _classed(name: str, holds: bool) -> str:
    return f' class="{name}"' if holds else ""


def _bars(block: Bars) -> str:
    longest = max((bar.value for bar in block.bars), default=0) or 1
    shown = "".join(
        f'<div class="bar"><span>{escape(bar.label)}</span><div class="track">'
        f'<i class="{bar.tone}" style="--part:{bar.value / longest:.4f}"></i>'
        f"<span>{escape(bar.shown)}</span></div></div>"
        for bar in block.bars
    )
    return f'<section class="bars"><h3>{escape(block.title)}</h3>{shown}</section>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode("ascii")
    return (
        f'<figure><img src="data:{picture.media_type};base64,{data}" alt="{escape(picture.alt)}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
