"""Boxes drawn on images of any size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fakes import found
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.media.draw import class_colour, draw

NAMES = ("person", "traffic light", "a" * 200, "größe 犬", "line\nbreak\x1b[31m")


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def coloured(image: np.ndarray, class_id: int) -> np.ndarray:
    return (image == class_colour(class_id)).all(axis=2)


def test_draws_on_a_copy_and_always_the_same() -> None:
    image = grey(120, 200)
    boxes = found((20, 40, 80, 90, 0.9, 0), (50, 30, 150, 110, 0.4, 1))
    first = draw(image, boxes, NAMES)
    assert np.array_equal(first, draw(image, boxes, NAMES))
    assert (image == 90).all()
    assert first.shape == image.shape


def test_outline_stands_where_the_box_is() -> None:
    mask = coloured(draw(grey(120, 200), found((20, 40, 80, 90, 0.9, 0)), NAMES), 0)
    assert mask[90, 20:80].all()
    assert mask[40:90, 20].all()
    assert mask[40:90, 80].all()
    assert not mask[60:80, 30:70].any()


def test_label_goes_above_and_inside_at_the_top_edge() -> None:
    above = coloured(draw(grey(120, 200), found((20, 60, 80, 90, 0.9, 0)), NAMES), 0)
    assert above[50:58, 20:60].any()
    inside = coloured(draw(grey(120, 200), found((20, 0, 80, 90, 0.9, 0)), NAMES), 0)
    assert inside[2:10, 22:60].sum() > 20


def test_label_at_the_right_edge_is_moved_left() -> None:
    mask = coloured(draw(grey(120, 200), found((190, 60, 199, 90, 0.9, 1)), NAMES), 1)
    assert mask[45:58, 100:185].sum() > 50


def test_surest_is_on_top() -> None:
    same = (20, 40, 80, 90)
    for rows in ((0.9, 0), (0.4, 1)), ((0.4, 1), (0.9, 0)):
        image = draw(grey(120, 200), found(*((*same, *row) for row in rows)), NAMES)
        assert coloured(image, 0)[90, 30:70].all()


def test_line_width_follows_the_image() -> None:
    def thickness(side: int) -> int:
        box = found((side * 0.25, side * 0.25, side * 0.75, side * 0.75, 0.9, 0))
        return int(coloured(draw(grey(side, side), box, NAMES), 0)[side // 2].sum())

    assert thickness(100) < thickness(1000) < thickness(3000)


def test_unknown_class_is_named_by_its_index() -> None:
    image = draw(grey(120, 200), found((20, 40, 80, 90, 0.9, 77)), NAMES)
    assert coloured(image, 77).any()


def test_colours_differ() -> None:
    colours = [class_colour(index) for index in range(80)]
    assert len(set(colours)) == 80
    steps = [np.abs(np.subtract(a, b)).sum() for a, b in pairwise(colours)]
    assert min(steps) > 150


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_boxes_that_are_no_numbers(value: float) -> None:
    assert draw(grey(20, 20), found((value, 0, value, 9, 0.5, 0)), NAMES).shape == (20, 20, 3)


def test_a_label_has_no_score_where_none_is_wanted() -> None:
    sure, unsure = (found((40, 60, 150, 150, score, 0)) for score in (0.99, 0.31))
    images = [draw(grey(200, 300), one, NAMES, scores=False) for one in (sure, unsure)]
    assert np.array_equal(*images)
    assert not np.array_equal(images[0], draw(grey(200, 300), sure, NAMES))


side = st.integers(1, 90)
place = st.floats(-200, 200, allow_nan=False)


@settings(deadline=None, max_examples=60)
@given(side, side, place, place, place, place, st.integers(0, 9))
def test_any_box_on_any_image(
    height: int, width: int, x1: float, y1: float, x2: float, y2: float, class_id: int
) -> None:
    """Also where no label fits: slices with negative bounds would wrap round or raise."""
    image = draw(grey(height, width), found((x1, y1, x2, y2, 0.5, class_id)), NAMES)
    assert image.shape == (height, width, 3)


def test_a_track_has_a_number_and_a_colour_of_its_own() -> None:
    image = np.zeros((120, 200, 3), np.uint8)
    two = found((60, 60, 100, 100, 0.9, 1), (120, 60, 160, 100, 0.8, 1))

    plain = draw(image, two, NAMES)
    followed = draw(image, two, NAMES, tracks=[5, None])

    assert tuple(followed[80, 60]) == class_colour(5)
    assert tuple(followed[80, 120]) == tuple(plain[80, 120]) == class_colour(1)
    assert (followed[:60] != plain[:60]).any()
