"""reshape --nms: the graph selects boxes itself, and finds what was found without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from models import yolov8
from scenes import scene, write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.reshape import ReshapeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, UsageError
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.stages.reshape import reshape

SHARED = Path(__file__).resolve().parents[3] / "shared"
SIX = (
    "fastestdet_352",
    "ssd_mobilenet_v1_300",
    "nanodet_plus_m_416",
    "yolov6lite_s_320",
    "yolox_nano_416",
    "yolov8n_640",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=4, size=(128, 128))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "detector.onnx"
    onnx.save(yolov8(planted=True, size=(128, 128)), path)
    return path


def config(model, out, **changes):
    settings = {"model": model, "output": out, "nms": "onnx", "speed_seconds": 0}
    return ReshapeConfig(**{**settings, **changes})


def found(path, picture, engine="onnxruntime"):
    artifact = Artifact.open(path)
    predictor = open_predictor(artifact, artifact.detector().spec, engine=engine)
    try:
        return predictor.predict(picture)
    finally:
        predictor.close()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_graph_finds_the_same_boxes(model, images, tmp_path, engine):
    out = tmp_path / "nms.onnx"
    picture, _, _ = scene((128, 128), 3)

    result = reshape(config(model, out, data=images), Context())

    assert result.agreement == 1
    assert (result.nms, result.verified) == ("onnx", "ran")
    before, after = found(model, picture), found(out, picture, engine)
    assert len(before) > 0
    assert np.allclose(before.boxes, after.boxes, atol=1e-2)
    assert np.allclose(before.scores, after.scores, atol=1e-5)
    assert before.class_ids.tolist() == after.class_ids.tolist()


def test_rows_are_padded_and_the_file_tells_how_it_is_read(model, tmp_path):
    out = tmp_path / "nms.onnx"

    reshape(config(model, out, max_detections=7), Context())

    saved = Artifact.open(out)
    assert [(one.name, one.shape) for one in saved.facts().outputs] == [("detections", (1, 7, 6))]
    assert saved.detector().spec.family == "end2end"
    assert [step.stage for step in saved.lineage] == ["reshape"]
    grey = np.full((128, 128, 3), 128, np.uint8)
    assert len(found(out, grey)) == 0


def test_size_and_nms_in_one_go(model, images, tmp_path):
    out = tmp_path / "tall.onnx"

    result = reshape(config(model, out, data=images, input_size=(160, 128)), Context())

    assert result.agreement == 1
    assert Artifact.open(out).detector().spec.input.size == (160, 128)


def test_the_plugin_has_the_thresholds_and_is_not_said_to_have_run(model, images, tmp_path):
    out = tmp_path / "trt.onnx"

    result = reshape(
        config(model, out, nms="trt", nms_score=0.2, nms_iou=0.5, max_detections=50, data=images),
        Context(),
    )

    assert result.verified == "structure"
    assert "not run" in result.warnings[0]
    graph = onnx.load(out).graph
    (node,) = [one for one in graph.node if one.op_type == "EfficientNMS_TRT"]
    told = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    assert told["score_threshold"] == pytest.approx(0.2)
    assert told["iou_threshold"] == pytest.approx(0.5)
    assert (told["max_output_boxes"], told["background_class"]) == (50, -1)
    assert [one.name for one in graph.output] == [
        "num_dets", "det_boxes", "det_scores", "det_classes"
    ]  # fmt: skip
    assert Artifact.open(out).detector().spec.outputs.named("count")


def test_what_must_run_is_not_saved_as_a_plugin(model, tmp_path):
    with pytest.raises(GateNotMetError, match="require") as caught:
        reshape(config(model, tmp_path / "trt.onnx", nms="trt", require="ran"), Context())

    assert "--nms onnx" in caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_nms_of_what_selects_already_is_refused(model, tmp_path):
    out = tmp_path / "once.onnx"
    reshape(config(model, out), Context())

    with pytest.raises(UsageError, match="selects boxes itself"):
        reshape(config(out, tmp_path / "twice.onnx"), Context())


def test_nothing_to_do_is_said(model, tmp_path):
    with pytest.raises(UsageError, match="nothing is to be changed"):
        config(model, tmp_path / "a.onnx", nms=None)


@pytest.mark.real
@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="no real detectors in ../shared")
@pytest.mark.parametrize("name", SIX)
def test_a_real_detector_finds_the_same(name, tmp_path):
    out = tmp_path / "nms.onnx"
    images = SHARED / "data" / "validation" / "images"

    result = reshape(
        config(SHARED / "models" / f"{name}.onnx", out, images=images, limit=4, threads=1),
        Context(),
    )

    assert result.agreement == pytest.approx(1, abs=0.02)
    assert result.verified == "ran"
