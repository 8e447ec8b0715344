"""Boxes from parts of a picture become one a thing: against a scalar reading of the rule."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.core.boxes import Detections
from edgecv_cli.detector.merging import Parted, merge


def parted(*rows):
    """Rows of box, score, class, part, cut."""
    boxes, scores, classes, parts, cut = zip(*rows, strict=True) if rows else ((),) * 5
    return Parted(
        Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(classes, np.int64),
        ),
        np.array(parts, np.int64),
        np.array(cut, bool),
    )


def merged(*rows):
    found = merge(parted(*rows), iou=0.5, share=0.5)
    return [
        (tuple(box), round(float(score), 4), int(label))
        for box, score, label in zip(found.boxes, found.scores, found.class_ids, strict=True)
    ]


WHOLE = ((0, 0, 100, 100), 0.6, 1, 0, False)


def test_a_cut_box_joins_the_whole_one_and_hands_over_its_score():
    assert merged(WHOLE, ((60, 0, 100, 100), 0.9, 1, 1, True)) == [(WHOLE[0], 0.9, 1)]


def test_a_whole_box_inside_another_stays():
    child = ((40, 40, 60, 90), 0.9, 1, 1, False)

    assert merged(WHOLE, child) == [(child[0], 0.9, 1), (WHOLE[0], 0.6, 1)]


def test_two_cut_halves_become_one_box():
    left = ((0, 0, 60, 50), 0.7, 1, 0, True)
    right = ((20, 2, 70, 50), 0.8, 1, 1, True)

    assert merged(left, right) == [((0, 0, 70, 50), 0.8, 1)]


def test_boxes_of_one_part_or_of_two_classes_stay_apart():
    rows = (
        WHOLE,
        ((0, 0, 100, 99), 0.5, 1, 0, False),
        ((0, 0, 100, 98), 0.4, 2, 1, True),
    )

    assert [score for _, score, _ in merged(*rows)] == [0.6, 0.5, 0.4]


def test_nothing_is_merged_to_nothing():
    assert merged() == []


def scalar(rows, iou, share):
    """The rule, box by box."""
    boxes = [list(map(float, row[0])) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (rows[i][4], -np.float32(rows[i][1]), i))
    gone, kept = set(), []
    for first in order:
        if first in gone:
            continue
        group = [first]
        for other in range(len(rows)):
            if other == first or other in gone or other in [one for one, _, _ in kept]:
                continue
            if rows[other][2] != rows[first][2] or rows[other][3] == rows[first][3]:
                continue
            (a1, b1, a2, b2), (c1, d1, c2, d2) = boxes[first], boxes[other]
            inter = max(0.0, min(a2, c2) - max(a1, c1)) * max(0.0, min(b2, d2) - max(b1, d1))
            one, two = (a2 - a1) * (b2 - b1), (c2 - c1) * (d2 - d1)
            if rows[first][4] or rows[other][4]:
                same = inter > share * min(one, two)
            else:
                same = inter > iou * (one + two - inter)
            if same:
                group.append(other)
        gone.update(group)
        box = list(boxes[first])
        if rows[first][4]:
            for other in group:
                box[0], box[1] = min(box[0], boxes[other][0]), min(box[1], boxes[other][1])
                box[2], box[3] = max(box[2], boxes[other][2]), max(box[3], boxes[other][3])
        kept.append((first, box, max(np.float32(rows[one][1]) for one in group)))
    kept.sort(key=lambda entry: (-entry[2], entry[0]))
    return [(tuple(box), round(float(score), 4), rows[index][2]) for index, box, score in kept]


@st.composite
def heaps(draw):
    count = draw(st.integers(0, 14))
    rows = []
    for _ in range(count):
        x, y = draw(st.integers(0, 30)), draw(st.integers(0, 30))
        wide, tall = draw(st.integers(0, 30)), draw(st.integers(0, 30))
        score = draw(st.sampled_from([0.25, 0.5, 0.75, 0.875]))
        place = draw(st.integers(0, 3))
        rows.append(
            ((x, y, x + wide, y + tall), score, draw(st.integers(0, 1)), place, draw(st.booleans()))
        )
    return rows


@given(heaps())
def test_it_is_the_rule_box_by_box(rows):
    assert merged(*rows) == scalar(rows, 0.5, 0.5)
