"""Reports as HTML: one file, escaped, proportional."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from edgecv_cli.report.blocks import (
    Bar,
    Bars,
    Document,
    Figure,
    Figures,
    Heading,
    Images,
    Paragraph,
    Picture,
    Table,
)
from edgecv_cli.report.html import render

EVIL = "<script>alert('1')</script> & \"quotes\""


class Reader(HTMLParser):
    """Collects tags, attributes and text; complains of tags that do not close in order."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def everything(text: str) -> Document:
    return Document(text, text, (
        Heading(text), Heading(text, 3), Paragraph(text), Paragraph(text, muted=True),
        Figures((Figure(text, text, text, "good"),)),
        Table((text, "ms"), ((text, "1"), ("b", "2")), frozenset({1}), frozenset({1}), text),
        Bars(text, (Bar(text, 2, text), Bar("b", 1, "1", "bad"))),
        Images((Picture(b"\xff\xd8data", "image/jpeg", text, text),)),
    ))  # fmt: skip


def test_everything_is_escaped() -> None:
    reader = Reader(render(everything(EVIL)))
    assert "script" not in reader.tags
    assert sum(EVIL in text for text in reader.text) == 17
    assert ("alt", EVIL) in reader.attributes


def test_needs_nothing_but_itself() -> None:
    html = render(everything("text"))
    reader = Reader(html)
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert not re.search(r"https?://|url\(|@import", html)
    sources = [value or "" for name, value in reader.attributes if name in ("src", "href")]
    assert len(sources) == 1
    assert base64.b64decode(sources[0].removeprefix("data:image/jpeg;base64,")) == b"\xff\xd8data"
    assert "default-src 'none'" in html


def test_light_and_dark_and_narrow() -> None:
    html = render(everything("text"))
    assert "prefers-color-scheme: dark" in html
    assert ("name", "viewport") in Reader(html).attributes


def test_bars_are_proportional_to_the_longest() -> None:
    bars = Bars("ms", (Bar("a", 10, "10 ms"), Bar("b", 2.5, "2.5 ms"), Bar("c", 0, "0 ms")))
    styles = re.findall(r"--part:([\d.]+)", render(Document("", "", (bars,))))
    assert [float(value) for value in styles] == [1.0, 0.25, 0.0]
    assert "--part" not in render(Document("", "", (Bars("none", ()),))).partition("<body>")[2]


def test_numbers_are_aligned_and_rows_stand_out() -> None:
    html = render(everything("text"))
    assert html.count('class="number"') == 3
    assert html.count('class="strong"') == 1


def test_same_document_same_bytes() -> None:
    assert render(everything("größe")) == render(everything("größe"))


def test_rows_must_fit_the_header() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        Table(("a", "b"), (("1",),))


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_bars_need_a_length(value: float) -> None:
    with pytest.raises(ValueError, match="shorter than nothing"):
        Bars("ms", (Bar("a", value, ""),))
