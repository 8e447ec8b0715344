"""A document as Markdown: every block comes out, and hostile text stays text."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.report.blocks import (
    Bar,
    Bars,
    Callout,
    Chain,
    Change,
    Changes,
    Document,
    Facts,
    Figure,
    Figures,
    Heading,
    Histograms,
    Images,
    Link,
    Paragraph,
    Picture,
    Series,
    Table,
)
from edgecv_cli.report.markdown import render


def text_of(*blocks):
    return render(Document("title", "subtitle", blocks))


def test_every_kind_of_block_comes_out_as_text():
    shown = text_of(
        Heading("Section", 3),
        Paragraph("running text"),
        Callout("Warning:", "hot", points=("first", "second")),
        Figures((Figure("0.512", "mAP50-95", "on 100 images"),)),
        Table(("model", "p50"), (("a", "1.5"),), frozenset({1}), caption="all rows"),
        Facts((("processor", "fast"),)),
        Chain((Link("quantize"), Link("the file"))),
        Bars("AP", (Bar("cat", 0.5, "0.500"),)),
        Changes("what moved", ("before", "after"), (Change("cat", 1, 2, "1 to 2", "more"),)),
        Histograms("time", "ms", (Series("a", 1, 1, (3, 1), (("p50", 1.25),)),)),
        Images((Picture(b"\xff", "image/jpeg", "caption", "alt"),)),
    )
    assert shown.startswith("# title\n\nsubtitle\n\n### Section\n")
    for part in (
        "> **Warning:** hot\n> - first\n> - second",
        "| mAP50-95 | 0.512 | on 100 images |",
        "all rows\n\n| model | p50 |\n| --- | ---: |\n| a | 1.5 |",
        "- processor: fast",
        "1. quantize\n2. the file",
        "| cat | 0.500 |",
        "| cat | 1 to 2 | more |",
        "| a | p50 1.25 |",
    ):
        assert part in shown
    assert "caption" not in shown


@given(st.text(max_size=40))
def test_no_text_breaks_out_of_its_cell(text):
    shown = text_of(Table(("a", "b"), ((text, "end"),)))
    row = shown.rstrip("\n").split("\n")[-1]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3
    assert row.endswith("| end |")


def test_markup_and_html_are_escaped():
    shown = text_of(Paragraph("<img src=x> [a](javascript:b) `c` **d** #1 @all $x$"))
    body = shown.split("\n\n")[2]
    assert re.search(r"(?<!\\)[<>\[\]`*#@$]", body) is None
