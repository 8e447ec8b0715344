"""One picture in, detections in its own pixels out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import models
import numpy as np
import pytest
import scenes

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.boxes import iou_matrix
from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.detector.profiles import EVALUATION, Profile, detection_profile
from edgecv_cli.inference.predictor import Predictor, open_predictor
from edgecv_cli.runtime.base import Execution
from edgecv_cli.runtime.opening import open_runner

SIZE = (128, 160)
PLANTED = {
    "yolov8": models.yolov8(size=SIZE, planted=True, ultralytics=True),
    "yolox": models.yolox(size=SIZE, planted=True),
    "ssd": models.ssd(size=SIZE, planted=True),
}
STRICT = Profile(threshold=0.5, iou=0.3, candidates=3000, detections=100, multi_label=False)


@pytest.fixture(params=PLANTED)
def predictor(request, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(PLANTED[request.param].SerializeToString())
    artifact = Artifact.open(path)
    spec = artifact.detector().spec
    predictor = open_predictor(artifact, spec, threads=1, profile=STRICT)
    yield predictor
    predictor.close()


def names_of(predictor, found):
    """Class indices without the background."""
    return found.class_ids - (1 if predictor.spec.background == 0 else 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_rectangle_is_found_in_its_own_pixels(predictor, seed):
    image, boxes, ids = scenes.scene(SIZE, seed, objects=3)

    found = predictor.predict(image)

    overlaps = iou_matrix(boxes, found.boxes)
    assert len(found) == len(boxes)
    assert (overlaps.max(axis=1) > 0.75).all()
    assert names_of(predictor, found)[overlaps.argmax(axis=1)].tolist() == ids.tolist()
    assert (np.diff(found.scores) <= 0).all()


def test_a_larger_picture_gives_boxes_in_its_pixels(predictor):
    import cv2

    image, boxes, _ = scenes.scene(SIZE, 1, objects=3)
    large = cv2.resize(image, (SIZE[1] * 2, SIZE[0] * 2), interpolation=cv2.INTER_NEAREST)

    found = predictor.predict(large)

    assert len(found) == len(boxes)
    assert (iou_matrix(boxes * 2, found.boxes).max(axis=1) > 0.7).all()


def test_pictures_of_other_shapes_leave_nothing_behind(predictor):
    wide, _, _ = scenes.scene(SIZE, 0, objects=3)
    tall = np.full((300, 40, 3), 200, np.uint8)
    alone = predictor.predict(wide)

    predictor.predict(tall)
    again = predictor.predict(wide)

    np.testing.assert_array_equal(again.boxes, alone.boxes)
    np.testing.assert_array_equal(again.scores, alone.scores)


def test_the_picture_is_left_alone(predictor):
    image, _, _ = scenes.scene(SIZE, 0)
    before = image.copy()

    predictor.predict(image)

    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (500, 1, 3), (2000, 3000, 3)])
def test_extreme_pictures_give_boxes_inside_them(predictor, shape):
    found = predictor.predict(np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    height, width = shape[:2]
    assert (found.boxes >= 0).all()
    assert (found.boxes[:, [0, 2]] <= width).all()
    assert (found.boxes[:, [1, 3]] <= height).all()
    assert np.isfinite(found.boxes).all()


def test_a_view_that_is_not_contiguous_is_the_same_picture(predictor):
    image, _, _ = scenes.scene(SIZE, 2)
    flipped = np.ascontiguousarray(image[:, ::-1])

    np.testing.assert_array_equal(
        predictor.predict(flipped[:, ::-1]).boxes, predictor.predict(image).boxes
    )


def test_a_higher_threshold_keeps_a_prefix(predictor):
    image, _, _ = scenes.scene(SIZE, 0, objects=3)
    fit = predictor.prepare(image)
    outputs = predictor.infer()

    low = predictor.read(outputs, fit, EVALUATION)
    high = predictor.read(outputs, fit, STRICT)

    assert len(low) >= len(high) > 0
    assert len(low) <= EVALUATION.detections
    assert high.scores.min() >= STRICT.threshold


def test_each_stage_has_its_time(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(PLANTED["yolox"].SerializeToString())
    artifact = Artifact.open(path)
    spec = artifact.detector().spec
    ticks = iter([100, 103, 110, 125])
    made = open_predictor(artifact, spec)
    predictor = Predictor(made.runner, spec, detection_profile(spec), clock=lambda: next(ticks))

    _, timings = predictor.predict_timed(scenes.scene(SIZE, 0)[0])

    assert (timings.preprocess_ns, timings.infer_ns, timings.postprocess_ns) == (3, 7, 15)


def test_lanes_share_a_network_and_find_the_same(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(PLANTED["yolox"].SerializeToString())
    artifact = Artifact.open(path)
    pictures = [scenes.scene(SIZE, seed)[0] for seed in range(4)]
    with closing(open_predictor(artifact, artifact.detector().spec, threads=2, streams=2)) as one:
        expected = [one.predict(picture) for picture in pictures]
        lanes = one.lanes(2)
        with ThreadPoolExecutor(2) as pool:
            found = list(
                pool.map(lambda lane: [lane.predict(picture) for picture in pictures * 3], lanes)
            )
        assert one.lanes(1) == (one,)

    assert len(lanes) == 2
    for one_lane in found:
        for detections, right in zip(one_lane, expected * 3, strict=True):
            np.testing.assert_array_equal(detections.boxes, right.boxes)
            np.testing.assert_array_equal(detections.scores, right.scores)


def test_a_network_of_any_size_has_one_lane(predictor, monkeypatch):
    inputs = (TensorSpec("images", (1, 3, None, None), "float32"),)
    monkeypatch.setattr(predictor.runner, "inputs", inputs)

    assert predictor.lanes(4) == (predictor,)


def test_a_network_of_any_size_gets_all_threads_for_its_one_inference(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(PLANTED["yolox"].SerializeToString())
    artifact = Artifact.open(path)
    given = []

    def opened(*args, streams, **options):
        given.append(streams)
        runner = open_runner(*args, streams=streams, **options)
        runner.inputs = (TensorSpec(runner.inputs[0].name, (1, 3, None, None), "float32"),)
        return runner

    monkeypatch.setattr("edgecv_cli.inference.predictor.open_runner", opened)
    with closing(open_predictor(artifact, artifact.detector().spec, threads=2, streams=2)) as one:
        assert len(one.predict(scenes.scene(SIZE, 0)[0])) > 0
    assert given == [2, 1]


class TwoInputs:
    """A runner whose inputs carry other names than the spec."""

    inputs = (
        TensorSpec("left", (1, 3, *SIZE), "float32"),
        TensorSpec("right", (1, 3, *SIZE), "float32"),
    )
    execution = Execution("fake", "1", "Fake", "cpu", "unknown")

    def __init__(self, outputs):
        self.outputs = outputs


def test_an_input_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(PLANTED["yolox"].SerializeToString())
    artifact = Artifact.open(path)
    spec = artifact.detector().spec

    with pytest.raises(EngineError, match="no input 'images'") as caught:
        Predictor(TwoInputs(artifact.facts().outputs), spec, STRICT)

    assert "--spec" in caught.value.remedy
