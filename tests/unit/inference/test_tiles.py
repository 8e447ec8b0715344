"""Tiles of a picture: they cover it, and what is found comes back once and in its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.core.boxes import Detections
from edgecv_cli.inference.predictor import Timings
from edgecv_cli.inference.tiles import Tile, TiledPredictor, tiles_of

sides = st.integers(1, 400)
overlaps = st.floats(0, 0.9)


@given(st.tuples(sides, sides), st.tuples(sides, sides), overlaps)
def test_tiles_cover_the_picture_and_overlap_as_asked(picture, tile, overlap):
    tiles = tiles_of(picture, tile, overlap)

    seen = np.zeros(picture, bool)
    for one in tiles:
        assert (one.height, one.width) == (min(tile[0], picture[0]), min(tile[1], picture[1]))
        assert one.top >= 0
        assert one.left >= 0
        assert one.cut(seen).shape == (one.height, one.width)
        one.cut(seen)[...] = True
    assert seen.all()
    for axis, side in (("top", tile[0]), ("left", tile[1])):
        starts = sorted({getattr(one, axis) for one in tiles})
        steps = np.diff(starts)
        # a step is a whole number of pixels, and at least one
        assert (steps <= max(1, np.floor(side * (1 - overlap))) + 1e-9).all()
        assert steps.size == 0 or steps.max() - steps.min() <= 1


def test_a_picture_no_larger_than_a_tile_is_one():
    assert tiles_of((30, 50), (64, 50), 0.2) == [Tile(0, 0, 30, 50)]


@pytest.mark.parametrize(
    ("picture", "tile", "overlap"), [((0, 4), (2, 2), 0), ((4, 4), (0, 2), 0), ((4, 4), (2, 2), 1)]
)
def test_what_makes_no_tiles_is_refused(picture, tile, overlap):
    with pytest.raises(ValueError, match="no tiles"):
        tiles_of(picture, tile, overlap)


class Looking:
    """Finds every thing of a picture of which it sees enough: a value is a thing."""

    def __init__(self, least):
        self.least, self.seen, self.closed = least, [], False

    def predict_timed(self, image):
        self.seen.append(image.shape[:2])
        boxes, scores, classes = [], [], []
        for value in np.unique(image[image > 0]):
            rows, columns = np.nonzero(image[..., 0] == value)
            x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            if max(x2 - x1, y2 - y1) >= self.least * max(image.shape[:2]):
                boxes.append([x1, y1, x2, y2])
                scores.append(0.5 + len(rows) / image.size)
                classes.append(value % 2)
        found = Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(classes, np.int64),
        )
        return found, Timings(1, 10, 100)

    def close(self):
        self.closed = True


def drawn(things, side=200):
    picture = np.zeros((side, side, 3), np.uint8)
    for value, (x1, y1, x2, y2) in enumerate(things, 1):
        picture[y1:y2, x1:x2] = value
    return picture


@st.composite
def scattered(draw):
    """Things of up to a fifth of a tile, none over another: one in each field of a grid."""
    things = []
    for row in range(0, 200, 40):
        for column in range(0, 200, 40):
            if draw(st.booleans()):
                wide, tall = draw(st.integers(4, 12)), draw(st.integers(4, 12))
                x1 = column + draw(st.integers(0, 40 - wide))
                y1 = row + draw(st.integers(0, 40 - tall))
                things.append((x1, y1, x1 + wide, y1 + tall))
    return things


@given(scattered())
@settings(max_examples=40)
def test_small_things_are_found_once_and_in_their_place(things):
    # 5 % of the whole picture are 10 pixels, of a tile of 64 just 3.2
    found, _ = TiledPredictor(Looking(0.05), (64, 64), 0.25, iou=0.6).predict_timed(drawn(things))

    assert sorted(map(tuple, found.boxes.tolist())) == sorted(
        (float(a), float(b), float(c), float(d)) for a, b, c, d in things
    )


def test_a_thing_larger_than_a_tile_is_found_in_the_whole_picture():
    big = (20, 30, 180, 170)

    found, _ = TiledPredictor(Looking(0.05), (64, 64), 0.25, iou=0.6).predict_timed(drawn([big]))

    assert found.boxes.tolist() == [list(map(float, big))]


def test_times_are_sums_over_the_picture_and_its_tiles():
    ticks = iter([1000, 1007])
    looking = Looking(0)

    _, timings = TiledPredictor(
        looking, (150, 200), 0.2, iou=0.6, clock=lambda: next(ticks)
    ).predict_timed(drawn([]))

    assert looking.seen == [(200, 200), (150, 200), (150, 200)]
    assert timings == Timings(3, 30, 307)


def test_a_small_picture_is_looked_at_once_as_it_is():
    looking = Looking(0)
    tiled = TiledPredictor(looking, (400, 400), 0.2, iou=0.6)

    found, timings = tiled.predict_timed(drawn([(5, 6, 70, 80)]))
    tiled.close()

    assert looking.seen == [(200, 200)]
    assert found.boxes.tolist() == [[5, 6, 70, 80]]
    assert timings == Timings(1, 10, 100)
    assert looking.closed
