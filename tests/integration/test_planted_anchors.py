"""From a picture through a real engine to boxes: detectors with anchors, and of faces."""

from __future__ import annotations

import models
import numpy as np
import onnxruntime
import pytest
import scenes

from edgecv_cli.core.boxes import Detections, iou_matrix
from edgecv_cli.detector.heads import build_decoder
from edgecv_cli.detector.letterbox import Letterbox
from edgecv_cli.detector.nms import suppress
from edgecv_cli.detector.recognise import recognise
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import read_facts

SIZE = (128, 160)

COLOURS = {
    "yolov5": models.yolov5(size=SIZE, planted=True),
    "yolov5 multiplied": models.yolov5(size=SIZE, planted=True, multiplied=True, normalized=True),
    "yolov5 raw": models.yolov5_raw(size=SIZE, planted=True),
    "yolov5 raw maps": models.yolov5_raw(size=SIZE, planted=True, axes="b,ac,h,w", activated=True),
}
# a cell of stride 16 sees rectangles twice as large
LARGE = {
    "yolo-fastestv2": models.yolo_fastestv2(size=SIZE, planted=True, batch=False),
    "yolo-fastestv2 apart": models.yolo_fastestv2(size=SIZE, planted=True, apart=True),
}
FACES = {
    "ultraface": models.retina(SIZE, ultraface=True, decoded=True, planted=True),
    "ultraface raw": models.retina(SIZE, ultraface=True, softmax=False, planted=True),
    "retinaface": models.retina(SIZE, planted=True),
    "retinaface decoded": models.retina(SIZE, decoded=True, planted=True),
    "yunet": models.yunet(SIZE, planted=True),
}


def found_in(model, image, **told) -> Detections:
    facts = read_facts(model)
    spec = DetectorSpec.loads(recognise(facts, override=told).spec.dumps())
    fitted = Letterbox.fit(image.shape[:2], spec.input)
    feed = np.empty((1, 3, *spec.input.size), np.float32)
    fitted.apply(image, feed[0])
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, {spec.input.name: feed}), strict=True))
    decoder = build_decoder(spec, facts.outputs)
    (candidates,) = decoder.candidates(outputs, threshold=0.5, multi_label=False, limit=3000)
    kept = suppress(candidates, iou=0.3, limit=100)
    first = 1 if spec.background == 0 else 0
    return Detections(fitted.to_source(kept.boxes), kept.scores, np.asarray(kept.class_ids - first))


def assert_drawn(found, boxes, class_ids):
    overlaps = iou_matrix(boxes, found.boxes)
    assert (overlaps.max(axis=1) > 0.75).all()
    assert found.class_ids[overlaps.argmax(axis=1)].tolist() == class_ids.tolist()
    assert len(found) == len(boxes)


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_rectangle_is_found_and_nothing_else(kind, seed):
    image, boxes, class_ids = scenes.scene(SIZE, seed, objects=3)
    told = {"anchors": "yolov5"} if "raw" in kind else {}

    assert_drawn(found_in(COLOURS[kind], image, **told), boxes, class_ids)


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_large_rectangles_are_found_with_shared_scores(kind, seed):
    image, boxes, class_ids = scenes.scene((64, 80), seed, objects=2)

    assert_drawn(found_in(LARGE[kind], image), boxes, class_ids)


@pytest.mark.parametrize("kind", FACES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_face_is_found_and_nothing_else(kind, seed):
    image, boxes, class_ids = scenes.scene(SIZE, seed, nc=1, objects=3)

    assert_drawn(found_in(FACES[kind], image), boxes, class_ids)
