"""From a picture through a real engine to boxes: every family finds what is drawn."""

from __future__ import annotations

from pathlib import Path

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
from edgecv_cli.graph.inspect import read_facts
from edgecv_cli.graph.io import load_model

SIZE = (128, 160)
SHARED = Path(__file__).resolve().parents[2].parent / "shared"

PLANTED = {
    "yolov8": models.yolov8(size=SIZE, planted=True),
    "yolov8 without DFL": models.yolov8(size=SIZE, planted=True, dfl=False, activation="relu"),
    "yolov8 depthwise": models.yolov8(size=SIZE, planted=True, depthwise=True, opset=13),
    "yolox": models.yolox(size=SIZE, planted=True, opset=11),
    "yolox decoded": models.yolox(size=SIZE, planted=True, decoded=True),
    "nanodet": models.nanodet(size=SIZE, planted=True, joint=False),
    "nanodet-plus": models.nanodet_plus(size=SIZE, planted=True, opset=11),
    "picodet": models.picodet(size=SIZE, planted=True),
    "picodet without NMS": models.picodet(size=SIZE, planted=True, decoded=True),
    "yolov6-lite": models.yolov6_lite(size=SIZE, planted=True, opset=13),
    "yolov6-lite decoded": models.yolov6_lite(size=SIZE, planted=True, decoded=True),
    # its one stride of 16 wants rectangles twice as large
    "fastestdet": models.fastestdet(size=(2 * SIZE[0], 2 * SIZE[1]), planted=True),
    "ssd": models.ssd(size=SIZE, planted=True),
    "ssd softmax": models.ssd(size=SIZE, planted=True, softmax=True, xyxy=True, normalized=False),
}


def found_in(model, image) -> Detections:
    facts = read_facts(model)
    spec = recognise(facts).spec
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
    names_first = 1 if spec.background == 0 else 0
    return Detections(
        fitted.to_source(kept.boxes), kept.scores, np.asarray(kept.class_ids - names_first)
    )


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_rectangle_is_found_and_nothing_else(kind, seed):
    image, boxes, class_ids = scenes.scene(SIZE, seed, objects=3)

    found = found_in(PLANTED[kind], image)

    overlaps = iou_matrix(boxes, found.boxes)
    best = overlaps.argmax(axis=1)
    assert (overlaps.max(axis=1) > 0.75).all()
    assert found.class_ids[best].tolist() == class_ids.tolist()
    assert len(found) == len(boxes)


@pytest.mark.real
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real detectors of ../shared are absent")
@pytest.mark.parametrize(
    ("file", "family", "classes"),
    [
        ("yolox_nano_416.onnx", "yolox", "coco80"),
        ("yolov8n_640.onnx", "yolov8", "coco80"),
        ("ssd_mobilenet_v1_300.onnx", "ssd", "coco91"),
        ("nanodet_plus_m_416.onnx", "nanodet-plus", "coco80"),
        ("yolov6lite_s_320.onnx", "yolov6-lite", "coco80"),
        ("fastestdet_352.onnx", "fastestdet", "coco80"),
    ],
)
def test_real_detectors_are_recognised_without_a_spec(file, family, classes):
    found = recognise(read_facts(load_model(SHARED / "models" / file)))

    assert found.spec.family == family
    assert any(classes in line for line in found.assumed)
    assert found.confidence > 0.9
