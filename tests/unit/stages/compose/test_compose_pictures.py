"""Pictures of two sides: which images, what is said of them, how many bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgecv_cli.core.boxes import Detections
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.report.blocks import Pairs, Paragraph
from edgecv_cli.stages.compose.labels import labels_of
from edgecv_cli.stages.compose.pictures import Pictured, evenly, pair_blocks

CLASSES = ("cat", "dog")
BOX = (10, 10, 60, 60)


def found(*rows: tuple[float, int]) -> Detections:
    """Objects side by side: score and class of each."""
    boxes = [(x + 70 * n, y, X + 70 * n, Y) for n, (x, y, X, Y) in enumerate([BOX] * len(rows))]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([score for score, _ in rows], np.float32),
        np.array([index for _, index in rows], np.int64),
    )


def images(folder, count, size=(80, 240)):
    paths = [folder / f"{n}.png" for n in range(count)]
    for n, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((*size, 3), 20 * n, np.uint8))
    return paths


def pairs_of(blocks):
    text, pairs = blocks
    assert isinstance(text, Paragraph)
    assert isinstance(pairs, Pairs)
    return text.text, pairs.pairs


def test_those_that_part_most_come_first_and_that_is_said(tmp_path):
    two = found((0.9, 0), (0.8, 1))
    before = Pictured("fp32", [two] * 8)
    after = Pictured("int8", [two, two, two, found(), two, two, found((0.9, 0)), two])

    text, pairs = pairs_of(pair_blocks(images(tmp_path, 8), before, after, CLASSES, 0.25))

    assert [left.caption[:5] for left, _ in pairs[:2]] == ["3.png", "6.png"]
    assert len(pairs) == 4
    assert "first 2 are those where the two part most" in text
    assert pairs[0][0].caption == "3.png, fp32: 2 objects"
    assert pairs[0][1].caption == "3.png, int8: 0 objects (2 missed)"
    assert pairs[1][1].caption == "6.png, int8: 1 object (1 missed)"


def test_where_nothing_parts_the_images_are_spread(tmp_path):
    sides = [found((0.9, 0))] * 8
    blocks = pair_blocks(
        images(tmp_path, 8), Pictured("a", sides), Pictured("b", sides), CLASSES, 0.25
    )
    text, pairs = pairs_of(blocks)
    assert [left.caption[:5] for left, _ in pairs] == ["0.png", "2.png", "4.png", "6.png"]
    assert "part in none of the 8" in text


def test_images_that_show_something_are_preferred(tmp_path):
    sides = [found(), found((0.9, 0)), found(), found((0.9, 1)), found(), found()]
    blocks = pair_blocks(
        images(tmp_path, 6), Pictured("a", sides), Pictured("b", sides), CLASSES, 0.25
    )
    assert [left.caption[:5] for left, _ in pairs_of(blocks)[1]] == ["1.png", "3.png"]


def test_only_what_reaches_the_threshold_is_drawn_and_described(tmp_path):
    before, after = found((0.9, 0), (0.9, 0), (0.1, 1)), found((0.9, 1), (0.1, 0))
    blocks = pair_blocks(
        images(tmp_path, 1), Pictured("a", [before]), Pictured("b", [after]), CLASSES, 0.25
    )
    left, right = pairs_of(blocks)[1][0]
    assert left.alt == "0.png with the boxes of a: 2 cat"
    assert right.alt == "0.png with the boxes of b: 1 dog"
    assert right.caption == "0.png, b: 1 object (2 missed, 1 extra)"


def test_boxes_move_with_the_image_when_it_shrinks(tmp_path):
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.zeros((1000, 2000, 3), np.uint8))
    box = Detections(
        np.array([[400, 400, 1200, 800]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
    )
    none = Pictured("b", [Detections.empty()])
    blocks = pair_blocks([path], Pictured("a", [box], scored=False), none, CLASSES, 0.25)
    drawn = cv2.imdecode(np.frombuffer(pairs_of(blocks)[1][0][0].data, np.uint8), 1)
    assert drawn.shape == (320, 640, 3)
    lit = np.argwhere(drawn[140:].max(axis=2) > 100)  # below the label
    assert lit[:, 1].min() == pytest.approx(400 * 0.32, abs=4)
    assert lit[:, 1].max() == pytest.approx(1200 * 0.32, abs=4)
    assert lit[:, 0].max() + 140 == pytest.approx(800 * 0.32, abs=4)


def test_the_worst_image_stays_small(tmp_path):
    path = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    sides = Pictured("a", [found((0.9, 0))])
    left, right = pairs_of(pair_blocks([path], sides, sides, CLASSES, 0.25))[1][0]
    assert len(left.data) <= 160_000
    assert left.data == right.data
    assert left.data.startswith(b"\xff\xd8")


def test_evenly_spreads_and_never_repeats():
    assert evenly(range(10), 4) == [0, 2, 5, 7]
    assert evenly([1, 2], 4) == [1, 2]


def test_labels_get_the_models_numbers_and_strangers_their_own(tmp_path):
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    images(folder / "images", 1)
    (folder / "instances.json").write_text(
        '{"images": [{"id": 1, "file_name": "0.png", "width": 240, "height": 80}],'
        '"categories": [{"id": 4, "name": "dog"}, {"id": 9, "name": "cat"},'
        ' {"id": 12, "name": "owl"}], "annotations": ['
        '{"id": 1, "image_id": 1, "category_id": 4, "bbox": [1, 2, 3, 4], "area": 12},'
        '{"id": 2, "image_id": 1, "category_id": 12, "bbox": [5, 6, 7, 8], "area": 56},'
        '{"id": 3, "image_id": 1, "category_id": 9, "bbox": [0, 0, 9, 9], "area": 81,'
        ' "iscrowd": 1}]}'
    )
    dataset = open_dataset(folder)
    labels, names = labels_of(dataset.items, dataset, CLASSES)
    assert names == ("cat", "dog", "owl")
    assert labels[0].class_ids.tolist() == [1, 2]
    assert labels[0].boxes.tolist() == [[1, 2, 4, 6], [5, 6, 12, 14]]
