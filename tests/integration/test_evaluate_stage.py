"""Evaluating a detector on labelled images, from file to figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from models import classifier, ssd, yolov8, yolox
from scenes import CLASS_NAMES, write_dataset

from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ConfigError,
    DataError,
    GateNotMetError,
    InterruptedByUser,
    ModelError,
    UnrecognisedError,
    UsageError,
)
from edgecv_cli.stages.evaluate import evaluate

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=8, size=(64, 64))


def saved(tmp_path, model):
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("build", [yolov8, yolox, ssd], ids=["yolov8", "yolox", "ssd"])
def test_a_detector_that_sees_the_objects_scores_high(build, data, tmp_path):
    model = saved(tmp_path, build(planted=True))

    result = evaluate(EvaluateConfig(model=model, data=data, threads=1), Context())

    assert result.map50 > 0.8
    assert result.map50 >= result.map
    assert result.images == 8
    assert set(result.per_class) <= set(CLASS_NAMES)
    assert result.interval.low <= result.map <= result.interval.high


def test_the_json_says_what_was_measured_and_how(data, tmp_path):
    model = saved(tmp_path, yolov8(planted=True))

    printed = evaluate(EvaluateConfig(model=model, data=data, threads=1), Context()).to_json()

    assert printed["schema"] == "edgecv.evaluate/1"
    assert {"map", "map50", "map75", "images", "per_class", "interval", "machine"} <= set(printed)
    assert printed["interval"]["resamples"] == 1000
    assert printed["profile"] == {
        "score_threshold": 0.01,
        "nms_iou": 0.65,
        "candidates": 3000,
        "detections": 100,
        "multi_label": True,
    }
    assert (printed["engine"], printed["threads"]) == ("onnxruntime", 1)
    assert printed["provider"] == "CPUExecutionProvider"
    assert printed["machine"]["fingerprint"]
    assert printed["seconds"] > 0
    json.dumps(printed)


def test_fewer_images_and_other_thresholds_are_taken_and_said(data, tmp_path):
    model = saved(tmp_path, yolov8(planted=True))
    config = EvaluateConfig(model=model, data=data, limit=3, conf=0.99, iou=0.4, threads=1)

    result = evaluate(config, Context())

    assert result.images == 3
    assert (result.profile.score_threshold, result.profile.nms_iou) == (0.99, 0.4)


def test_the_figures_do_not_depend_on_the_run(data, tmp_path):
    config = EvaluateConfig(model=saved(tmp_path, yolov8(planted=True)), data=data, threads=1)

    first, again = evaluate(config, Context()), evaluate(config, Context())

    assert (first.map, first.per_class, first.interval) == (
        again.map,
        again.per_class,
        again.interval,
    )


def test_a_classifier_is_not_evaluated(data, tmp_path):
    with pytest.raises(UnrecognisedError):
        evaluate(EvaluateConfig(model=saved(tmp_path, classifier()), data=data), Context())


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda data: (data / "instances.json").unlink(), DataError),
        (lambda data: (data / "instances.json").write_text("{"), DataError),
        (lambda data: shutil.rmtree(data / "images"), DataError),
        (lambda data: next((data / "images").iterdir()).write_bytes(b"no picture"), DataError),
    ],
    ids=["no annotations", "broken annotations", "no images", "broken image"],
)
def test_data_that_can_not_be_used_is_named(damage, error, data, tmp_path):
    copy = shutil.copytree(data, tmp_path / "copy")
    damage(copy)
    config = EvaluateConfig(model=saved(tmp_path, yolov8(planted=True)), data=copy, threads=1)

    with pytest.raises(error) as caught:
        evaluate(config, Context())
    assert str(copy) in caught.value.problem
    assert caught.value.remedy


def test_a_model_that_is_not_there_is_named(data, tmp_path):
    with pytest.raises(ModelError, match="absent"):
        evaluate(EvaluateConfig(model=tmp_path / "absent.onnx", data=data), Context())


def test_an_engine_that_is_not_known_is_refused(data, tmp_path):
    model = saved(tmp_path, yolov8())
    with pytest.raises(UsageError, match="abacus"):
        evaluate(EvaluateConfig(model=model, data=data, engine="abacus"), Context())


def test_ctrl_c_ends_between_images(data, tmp_path):
    context = Context()
    context.cancel.set()
    config = EvaluateConfig(model=saved(tmp_path, yolov8(planted=True)), data=data, threads=1)

    with pytest.raises(InterruptedByUser):
        evaluate(config, context)


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"conf": 1.0}, {"iou": 0}, {"threads": 0}, {"engine": ""}]
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        EvaluateConfig.from_options(model="m.onnx", data="d", **options)


def test_the_model_against_itself_is_not_distinguishable(data, tmp_path):
    model = saved(tmp_path, yolov8(planted=True))
    config = EvaluateConfig(model=model, data=data, against=model, threads=1)

    result = evaluate(config, Context())

    difference = result.against.difference
    assert result.against.map == result.map
    assert (difference.points, difference.p_value) == (0, 1)
    assert difference.text.startswith("not distinguishable at 8 images (difference +0.00 points")


def test_a_blind_model_is_worse_and_the_files_say_so(data, tmp_path):
    model = saved(tmp_path, yolov8(planted=True))
    (tmp_path / "blind").mkdir()
    blind = saved(tmp_path / "blind", yolov8())
    places = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "md")}
    config = EvaluateConfig(model=model, data=data, against=blind, threads=1, **places)

    result = evaluate(config, Context())

    assert result.against.difference.distinguishable
    assert "is better than" in result.against.difference.text
    assert "Shown:" in places["md"].read_text()
    assert places["csv"].read_text().startswith("class,objects,map,map50,map75,detections")
    assert sum(cell.count for cell in result.confusion if cell.truth) == sum(
        result.objects.values()
    )


def test_a_gate_that_is_not_met_leaves_the_files_and_the_result(data, tmp_path):
    model, table = saved(tmp_path, yolov8(planted=True)), tmp_path / "out.csv"
    options = {"model": model, "data": data, "threads": 1, "csv": table}
    config = EvaluateConfig.from_options(**options, fail_if=["map > 0.01", "map50 < 0.1"])

    with pytest.raises(GateNotMetError, match="fails by") as caught:
        evaluate(config, Context())

    assert [gate.met for gate in caught.value.result.gates] == [False, True]
    assert table.exists()


def test_a_size_that_does_not_occur_is_refused_before_the_model_runs(data, tmp_path):
    model = saved(tmp_path, yolov8(planted=True))
    config = EvaluateConfig.from_options(model=model, data=data, fail_if=["map_large < 0.1"])

    with pytest.raises(UsageError, match="large objects"):
        evaluate(config, Context())


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [("yolov8n_640", 0.448), ("yolox_nano_416", 0.348), ("ssd_mobilenet_v1_300", 0.246)],
)
def test_real_detectors_score_what_an_independent_reference_says(name, expected):
    model, data = SHARED / "models" / f"{name}.onnx", SHARED / "data" / "validation"
    if not model.exists() or not data.exists():
        pytest.skip("needs the real detectors and images of ../shared")

    result = evaluate(EvaluateConfig(model=model, data=data), Context())

    assert result.images == 100
    assert result.map == pytest.approx(expected, abs=0.003)
