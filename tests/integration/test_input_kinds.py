"""Float32, float16 and uint8, channels first and last, batches, second inputs: one detector."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
import scenes

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.core.boxes import iou_matrix
from edgecv_cli.core.errors import ConfigError, ModelError, UnrecognisedError
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.graph.io import with_metadata
from edgecv_cli.inference.edge import EdgeDetector
from edgecv_cli.inference.predictor import open_predictor

SIZE = (128, 160)
STRICT = Profile(threshold=0.5, iou=0.3, candidates=3000, detections=100, multi_label=False)
YOLOV8 = models.yolov8(size=SIZE, planted=True)
YOLOX = models.yolox(size=SIZE, planted=True)
SSD = models.ssd(size=SIZE, planted=True)
KINDS = {
    "yolov8 uint8 nhwc": models.fed_with(YOLOV8, "uint8", "nhwc", scale=255.0),
    "yolov8 float32 nhwc": models.fed_with(YOLOV8, "float32", "nhwc"),
    "yolov8 float16": models.halved(YOLOV8),
    "yolov8 batch 4": models.batched(YOLOV8, 4),
    "yolox uint8": models.fed_with(YOLOX, "uint8"),
    "yolox float16": models.halved(YOLOX),
    "yolox batch 2 nhwc": models.fed_with(models.batched(YOLOX, 2), "float32", "nhwc"),
    "ssd float16 input": models.fed_with(SSD, "float16"),
    "ssd batch 3": models.batched(SSD, 3),
}


def saved(model, path):
    path.write_bytes(model.SerializeToString())
    return Artifact.open(path)


def detections(artifact, image, spec=None):
    predictor = open_predictor(
        artifact, spec or artifact.detector().spec, threads=1, profile=STRICT
    )
    try:
        return predictor.predict(image)
    finally:
        predictor.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_recognised_and_finds_every_rectangle(kind, tmp_path):
    artifact = saved(KINDS[kind], tmp_path / "model.onnx")
    recognised = artifact.detector()
    image, boxes, ids = scenes.scene(SIZE, 1, objects=3)

    found = detections(artifact, image)

    assert recognised.spec.family == kind.split()[0]
    overlaps = iou_matrix(boxes, found.boxes)
    assert len(found) == len(boxes)
    assert (overlaps.max(axis=1) > 0.75).all()
    first = 1 if recognised.spec.background == 0 else 0
    assert (found.class_ids[overlaps.argmax(axis=1)] - first).tolist() == ids.tolist()
    if "uint8" in kind:
        assert any("inside the graph" in words for words in recognised.assumed)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The float32 detector's spec, a picture, and what is found in it by every resize."""
    artifact = saved(YOLOV8, tmp_path_factory.mktemp("plain") / "plain.onnx")
    spec = artifact.detector().spec
    image, boxes, _ = scenes.scene((150, 130), 3, objects=3)
    found = {}
    for resize in ("letterbox", "letterbox-topleft", "stretch"):
        changed = spec.replace(input={**spec.input.model_dump(), "resize": resize})
        found[resize] = detections(artifact, image, changed)
        assert len(found[resize]) == len(boxes)
    return spec, image, found


@pytest.mark.parametrize("resize", ["letterbox", "letterbox-topleft", "stretch"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_a_stored_spec_gives_the_same_detections(resize, dtype, layout, color, plain, tmp_path):
    spec, image, by_resize = plain
    wanted = by_resize[resize]
    scale = 255.0 if dtype != "uint8" else 1.0
    changes = {"resize": resize, "dtype": dtype, "layout": layout, "color": color,
               "scale": scale, "name": "pixels"}  # fmt: skip
    model = models.fed_with(YOLOV8, dtype, layout, scale=255.0, flipped=color == "bgr")
    stored = spec.replace(input={**spec.input.model_dump(), **changes})
    artifact = saved(with_metadata(model, {SPEC_KEY: stored.dumps()}), tmp_path / "model.onnx")

    read = artifact.detector().spec
    found = detections(artifact, image, read)

    assert read == stored
    assert found.class_ids.tolist() == wanted.class_ids.tolist()
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.3 if dtype == "float16" else 1e-2)
    np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-2)


def test_a_stored_spec_follows_the_width_of_a_float_but_not_bytes(tmp_path):
    spec = saved(YOLOV8, tmp_path / "plain.onnx").detector().spec.dumps()
    half = saved(with_metadata(models.halved(YOLOV8), {SPEC_KEY: spec}), tmp_path / "half.onnx")
    whole = models.fed_with(YOLOV8, "uint8", scale=255.0, name="images_u8")
    bytes_ = with_metadata(whole, {SPEC_KEY: spec.replace('"name":"images"', '"name":""')})

    assert half.detector().spec.input.dtype == "float16"
    with pytest.raises(ModelError, match="spec feeds float32, but the model takes images_u8"):
        saved(bytes_, tmp_path / "bytes.onnx").detector()


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_a_second_input_is_asked_for_and_then_fed(dtype, tmp_path):
    artifact = saved(models.with_size_input(YOLOX, dtype=dtype), tmp_path / "two.onnx")
    image, boxes, _ = scenes.scene(SIZE, 1, objects=3)
    told = tmp_path / "spec.yaml"

    with pytest.raises(UnrecognisedError, match="second input, sizes") as caught:
        artifact.detector()
    assert "extra_inputs: {sizes: input-hw}" in caught.value.remedy
    told.write_text("extra_inputs: {sizes: input-hw}\n")
    with EdgeDetector(artifact.path, spec=told, confidence=0.5, threads=1) as detector:
        assert len(detector.detect(image)) == len(boxes)
    told.write_text("extra_inputs: {sizes: input-wh}\n")
    with EdgeDetector(artifact.path, spec=told, confidence=0.5, threads=1) as detector:
        assert detector.detect(image) == []
    told.write_text("extra_inputs: {sizes: input-hw, scale: ones}\n")
    with pytest.raises(ConfigError, match="no input 'scale'"):
        artifact.detector(told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("input: {scale: 255.0}\n", "as they are"),
        ("input: {dtype: float32}\n", "input.dtype: the graph takes uint8"),
        ("input: {layout: nchw}\n", "input.layout: the graph takes nhwc"),
    ],
)
def test_a_spec_that_contradicts_the_input_is_refused(told, words, tmp_path):
    artifact = saved(KINDS["yolov8 uint8 nhwc"], tmp_path / "model.onnx")
    spec = tmp_path / "spec.yaml"
    spec.write_text(told)

    with pytest.raises(ConfigError, match=words):
        artifact.detector(spec)


def test_an_open_batch_is_run_with_one_image(tmp_path):
    model = models.fed_with(models.yolov8(size=SIZE, planted=True, dynamic="batch"), "uint8",
                            "nhwc", scale=255.0)  # fmt: skip
    image, boxes, _ = scenes.scene(SIZE, 0, objects=3)

    assert len(detections(saved(model, tmp_path / "model.onnx"), image)) == len(boxes)


def test_models_are_loaded_by_onnx_as_they_are():
    for model in KINDS.values():
        onnx.checker.check_model(model, full_check=True)
