"""Lines, points and counts in a report."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.report.axis import Axis
from edgecv_cli.report.blocks import Block, Curves, Document, Dot, Line, Matrix, Scatter
from edgecv_cli.report.html import render as as_html
from edgecv_cli.report.markdown import render as as_markdown
from edgecv_cli.report.pareto import pareto_front

number = st.integers(0, 20).map(float)
points = st.lists(st.tuples(number, number), min_size=1, max_size=12)


def html(block: Block) -> str:
    return as_html(Document("t", "s", (block,)))


def markdown(block: Block) -> str:
    return as_markdown(Document("t", "s", (block,)))


def beats(one, other):
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(points)
def test_the_front_is_what_no_other_beats(given_points):
    front = {
        place
        for place, point in enumerate(given_points)
        if not any(beats(other, point) for other in given_points)
    }
    assert set(pareto_front(given_points)) == front


@given(points)
def test_the_front_goes_by_growing_time(given_points):
    across = [given_points[place][0] for place in pareto_front(given_points)]
    assert across == sorted(across)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_all_values_and_ticks_lie_on_the_axis(values):
    axis = Axis.over(values)
    assert all(0 <= axis.place(value) <= 1 for value in values)
    ticks = axis.ticks()
    assert all(0 <= axis.place(value) <= 1 for value, _ in ticks)
    assert len(ticks) <= 8


def test_points_of_a_line_stand_where_their_values_are():
    page = html(Curves("done", "ms", "%", (Line("a", ((0.0, 0.0), (10.0, 100.0))),), (0, 100)))

    path = re.search(r'class="line l0" d="M([0-9.]+) ([0-9.]+)L([0-9.]+) ([0-9.]+)"', page)
    left, bottom, right, top = map(float, path.groups())
    assert left == pytest.approx(1000 - right) == pytest.approx(20, abs=1)
    assert bottom == pytest.approx(500 - top) == pytest.approx(490, abs=1)


def test_lines_are_told_apart_and_named():
    lines = tuple(Line(f"<{n}>", ((0.0, 1.0), (1.0, 2.0)), "p50 1") for n in range(3))
    page = html(Curves("c", "x", "y", lines))

    assert [page.count(f'class="line l{place}"') for place in range(3)] == [2, 2, 2]
    assert "&lt;1&gt;" in page
    assert "<1>" not in page
    assert "p50 1" in markdown(Curves("c", "x", "y", lines))


@pytest.mark.parametrize("block", [Curves("c", "x", "y", ()), Scatter("s", "x", "y", ())])
def test_nothing_to_draw_is_not_drawn(block):
    assert "<figure" not in html(block)


def test_flat_lines_have_an_axis():
    assert "<path" in html(Curves("c", "x", "y", (Line("a", ((1.0, 5.0), (1.0, 5.0))),)))


def test_points_that_are_beaten_are_said_and_shown_otherwise():
    dots = (Dot("slow", 9, 0.4), Dot("best", 5, 0.5, (4, 6), (0.4, 0.6)), Dot("fast", 1, 0.3))
    page = html(Scatter("s", "ms", "mAP", dots))

    assert page.count('class="dot best"') == 2
    assert page.count('class="dot"') == 1
    assert page.count('class="whisker"') == 2
    assert "slow <small>another is at least as good in both" in page
    rows = [line for line in markdown(Scatter("s", "ms", "mAP", dots)).splitlines() if "|" in line]
    assert [row.split("|")[4].strip() for row in rows[2:]] == ["", "yes", "yes"]


def test_counts_are_darker_where_there_are_more():
    block = Matrix("c", "is / found", ("a", "b"), ("a", "b"), ((60, 1), (0, 30)),
                   frozenset({(0, 0), (1, 1)}))  # fmt: skip
    page = html(block)

    assert re.findall(r'<td class="(s\d \w+)">(\d*)<', page) == [
        ("s6 right", "60"), ("s1 wrong", "1"), ("s0 wrong", ""), ("s3 right", "30")
    ]  # fmt: skip
    assert "| b |  | 30 |" in markdown(block)


def test_a_matrix_without_counts_is_empty():
    assert html(Matrix("c", "x", ("a",), ("a",), ((0,),))).count("s0 wrong") == 1


def test_a_matrix_needs_a_cell_for_each_row_and_column():
    with pytest.raises(ValueError, match="2 rows of 1"):
        Matrix("c", "x", ("a", "b"), ("a",), ((1,),))
