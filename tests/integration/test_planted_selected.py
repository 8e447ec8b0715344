"""From a picture through a real engine to boxes: queries, and boxes selected in the graph."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
import scenes

from edgecv_cli import EdgeDetector
from edgecv_cli.core.boxes import iou_matrix

SIZE = (128, 160)
DRAWN = {
    "detr": models.detr(3, SIZE, planted=True),
    "detr softmax": models.detr(4, SIZE, planted=True, softmax=True),
    "rtdetr by height": models.selected("rtdetr", 3, SIZE, planted=True, height_first=True),
    **{kind: models.selected(kind, 3, SIZE, planted=True) for kind in models.SELECTED},
}


@pytest.mark.parametrize("kind", DRAWN)
def test_every_rectangle_is_found_and_nothing_else(kind, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(DRAWN[kind], path)

    with EdgeDetector(path, confidence=0.5, iou=0.3) as detector:
        first = 1 if detector.spec.background == 0 else 0
        for seed in range(2):
            image, boxes, class_ids = scenes.scene(SIZE, seed, objects=3)
            found = np.asarray(list(detector.detect(image)), np.float32).reshape(-1, 6)

            overlaps = iou_matrix(boxes, found[:, :4])
            best = overlaps.argmax(axis=1)
            assert (overlaps.max(axis=1) > 0.75).all()
            assert (found[best, 5] - first).tolist() == class_ids.tolist()
            assert len(found) == len(boxes)
