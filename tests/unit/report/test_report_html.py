"""Reports as HTML: one file, escaped, proportional."""

from __future__ import annotations

import base64
import re
import typing
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgecv_cli.report.blocks import (
    Bar,
    Bars,
    Block,
    Callout,
    Chain,
    Change,
    Changes,
    Curves,
    Document,
    Dot,
    Facts,
    Figure,
    Figures,
    Heading,
    Histograms,
    Images,
    Line,
    Link,
    Matrix,
    Pairs,
    Paragraph,
    Picture,
    Scatter,
    Series,
    Table,
    deeper,
)
from edgecv_cli.report.html import render

EVIL = "<script>alert('1')</script> & \"quotes\""
JPEG = b"\xff\xd8data"


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

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def picture(text: str) -> Picture:
    return Picture(JPEG, "image/jpeg", text, text)


def series(text: str, **changes: typing.Any) -> Series:
    return replace(
        Series(text, 10.0, 1.0, (1, 4, 2), (("p50", 11.5), ("p95", 12.8)), text), **changes
    )


def every_block(text: str) -> tuple[Block, ...]:
    """One of each kind, with ``text`` wherever text can stand."""
    return (
        Heading(text), Heading(text, 3), Heading(text, 4),
        Paragraph(text), Paragraph(text, muted=True),
        Callout(text, text, "bad", (text,)),
        Figures((Figure(text, text, text, "good"),)),
        Table((text, "ms"), ((text, "1"), ("b", text)), frozenset({1}), frozenset({1}), text),
        Facts(((text, text),)),
        Chain((Link(text, ((text, text),)),)),
        Bars(text, (Bar(text, 2, text), Bar("b", 1, "1", "bad"))),
        Changes(text, (text, text), (Change(text, 2, 1, text, text),), 0),
        Histograms(text, text, (series(text, marks=((text, 11.5),)),)),
        Curves(text, text, text, (Line(text, ((0, 0), (1, 2)), text),)),
        Scatter(text, text, text, (Dot(text, 1, 2, (0, 2), (1, 3), text),)),
        Matrix(text, text, (text,), (text,), ((1,),)),
        Images((picture(text),)),
        Pairs(((picture(text), picture(text)),)),
    )  # fmt: skip


def shown(*blocks: Block) -> str:
    return render(Document("title", "subtitle", blocks))


def body(*blocks: Block) -> str:
    return shown(*blocks).partition("</header>")[2].partition("</main>")[0]


def test_every_kind_of_block_is_rendered() -> None:
    assert {type(block) for block in every_block("x")} == set(typing.get_args(Block))
    for block in every_block("text"):
        assert "text" in body(block)


def test_everything_is_escaped() -> None:
    for block in (*every_block(EVIL), *every_block("'\"><img src=x onerror=y>")):
        reader = Reader(body(block))
        assert not {"script", "iframe", "object"} & set(reader.tags)
        assert not [name for name, _ in reader.attributes if name.startswith("on")]
        assert all(source.startswith("data:") for source in reader.values("src"))
    assert EVIL in Reader(shown(Images((picture(EVIL),)))).values("alt")
    assert any(EVIL in label for label in Reader(body(*every_block(EVIL))).values("aria-label"))
    reader = Reader(render(Document(EVIL, EVIL, ())))
    assert reader.text.count(EVIL) == 3
    assert "script" not in reader.tags


def test_needs_nothing_but_itself() -> None:
    html = shown(*every_block("text"))
    reader = Reader(html)
    assert not {"script", "link", "iframe", "object", "base"} & set(reader.tags)
    assert not re.search(r"https?://|url\(|@import|@font-face", html)
    sources = reader.values("src") + reader.values("href")
    assert len(sources) == 3
    for source in sources:
        assert base64.b64decode(source.removeprefix("data:image/jpeg;base64,")) == JPEG
    policy = next(value for value in reader.values("content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_light_and_dark_and_narrow_and_printed() -> None:
    html = shown(*every_block("text"))
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert ("name", "viewport") in Reader(html).attributes


def test_bars_are_proportional_to_the_longest() -> None:
    bars = Bars("ms", (Bar("a", 10, "10 ms"), Bar("b", 2.5, "2.5 ms"), Bar("c", 0, "0 ms")))
    styles = re.findall(r"--part:([\d.]+)", body(bars))
    assert [float(value) for value in styles] == [1.0, 0.25, 0.0]
    assert "--part" not in body(Bars("none", ()))


def test_changes_share_one_scale() -> None:
    rows = (Change("a", 0.8, 0.2, ""), Change("b", 0.4, 0.6, ""))
    styles = re.findall(r"--part:([\d.]+)", body(Changes("AP", ("x", "y"), rows)))
    assert [float(value) for value in styles] == [1.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(("count", "folded"), [(None, 0), (5, 0), (3, 2), (0, 5)])
def test_what_is_beyond_the_first_is_folded_not_lost(count: int | None, folded: int) -> None:
    bars = tuple(Bar(f"class {n}", n, str(n)) for n in range(5))
    html = body(Bars("AP", bars, count))
    assert all(f"class {n}" in html for n in range(5))
    inside = html.partition("<details>")[2]
    assert inside.count('class="bar"') == folded
    assert (f"{folded} more" in html) == bool(folded)


def heights(html: str) -> list[float]:
    """How high each bin is drawn, from its path; 100 is the fullest."""
    path = re.search(r'class="area" d="([^"]+)"', html)
    assert path
    return [100 - float(value) for value in re.findall(r"V([\d.]+)H", path[1])]


def test_a_histogram_draws_its_counts() -> None:
    html = body(Histograms("t", "ms", (series("a", counts=(1, 0, 4, 2)),)))
    assert heights(html) == [25.0, 0.0, 100.0, 50.0]


def test_histograms_share_one_axis() -> None:
    first = series("a", start=10.0, marks=())
    second = series("b", start=20.0, marks=())
    html = body(Histograms("t", "ms", (first, second)))
    begins = [float(value) for value in re.findall(r'd="M([\d.]+) 100V', html)]
    assert 0 < begins[0] < begins[1] < 1000
    ticks = re.findall(r'left:([\d.]+)%">(\d+)</span>', html)
    # The bins begin at 10 and 20: an axis that is right puts these numbers there.
    places = {int(text): float(place) for place, text in ticks}
    slope = (begins[1] - begins[0]) / 10
    for value, place in places.items():
        assert 10 * place == pytest.approx(begins[0] + slope * (value - 10), abs=0.2)
    assert len(places) >= 3


def test_marks_stand_where_their_values_are() -> None:
    html = body(Histograms("t", "ms", (series("a", marks=(("p50", 10.0), ("p95", 13.0))),)))
    lines = [float(value) for value in re.findall(r'class="mark\d" d="M([\d.]+) ', html)]
    begin = float(re.findall(r'd="M([\d.]+) 100V', html)[0])
    end = float(re.findall(r"H([\d.]+)V100Z", html)[0])
    assert lines == [begin, end]
    assert "p50 10.00 ms, p95 13.00 ms" in html


@pytest.mark.parametrize("width", [1e-6, 1e6])
def test_the_narrowest_and_the_widest_histogram_have_an_axis(width: float) -> None:
    html = body(Histograms("t", "ms", (series("a", width=width, counts=(7,), marks=()),)))
    assert heights(html) == [100.0]
    assert len(re.findall(r'style="left:', html)) >= 2
    assert "nan" not in html
    assert not body(Histograms("none", "ms", ())).strip()


def test_numbers_are_aligned_and_rows_stand_out() -> None:
    html = shown(*every_block("text"))
    assert html.count('class="number"') == 3
    assert html.count('class="strong"') == 1


def test_tables_name_their_rows_and_columns() -> None:
    reader = Reader(body(Table(("", "before", "after"), (("mAP", "1", "2"), ("p50", "3", "4")))))
    assert reader.values("scope") == ["col"] * 3 + ["row"] * 2
    assert reader.values("data-title") == ["before", "after"] * 2


def test_only_a_wide_table_becomes_cards_on_a_phone() -> None:
    def table(columns: int) -> str:
        return body(Table(tuple("abcdef"[:columns]), (tuple("123456"[:columns]),)))

    assert 'class="stack"' not in table(4)
    assert 'class="stack"' in table(5)


def test_every_picture_says_what_is_on_it() -> None:
    reader = Reader(shown(*every_block("text")))
    assert reader.tags.count("img") == len(reader.values("alt")) == 3
    assert all(reader.values("alt"))


def test_same_document_same_bytes() -> None:
    assert shown(*every_block("größe")) == shown(*every_block("größe"))


def test_headings_go_deeper_and_no_further_than_four() -> None:
    blocks = deeper([Heading("a"), Paragraph("p"), Heading("b", 3), Heading("c", 4)])
    assert [block.level for block in blocks if isinstance(block, Heading)] == [3, 4, 4]
    assert blocks[1] == Paragraph("p")


def test_rows_must_fit_the_header() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        Table(("a", "b"), (("1",),))


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_bars_need_a_length(value: float) -> None:
    with pytest.raises(ValueError, match="shorter than nothing"):
        Bars("ms", (Bar("a", value, ""),))
    with pytest.raises(ValueError, match="shorter than nothing"):
        Changes("AP", ("a", "b"), (Change("c", 1, value, ""),))


@pytest.mark.parametrize("changes", [{"width": 0.0}, {"counts": ()}, {"counts": (0, 0)}])
def test_histograms_need_samples_and_a_width(changes: dict[str, typing.Any]) -> None:
    with pytest.raises(ValueError, match="needs samples"):
        series("a", **changes)
