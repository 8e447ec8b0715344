"""quantize on awkward calibration images, on models that are quantized already, in every form."""

from __future__ import annotations

import cv2
import models
import numpy as np
import onnx
import pytest
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, GateNotMetError, ModelError
from edgecv_cli.stages.quantize import quantize
from edgecv_cli.stages.sensitivity import sensitivity


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=8, size=(64, 64))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "detector.onnx"
    onnx.save(models.yolov8(planted=True), path)
    return path


def settings(model, folder, data, **changes):
    return QuantizeConfig(
        **{
            "model": model,
            "output": folder / "out.onnx",
            "calibration": data,
            "data": data,
            "placement": "last",
            "estimator": "minmax",
            "bias_correction": "off",
            "equalisation": "off",
            "adaptive_rounding": "off",
            "min_speedup": 0.0,
            "speed_seconds": 0.1,
            "threads": 1,
            "max_drop": MaxDrop(30.0, "%"),
            **changes,
        }
    )


def folder_of(folder, pictures):
    folder.mkdir()
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    return folder


def test_one_image_is_enough_to_run_and_said_to_be_few(model, tmp_path, data):
    result = quantize(settings(model, tmp_path, data, images=1), Context())
    assert result.calibration.images == 1
    assert "few" in {finding.check for finding in result.audit}
    assert any("image" in text for text in result.warnings)


def test_black_images_are_refused(model, tmp_path, data):
    black = folder_of(tmp_path / "black", [np.zeros((64, 64, 3), np.uint8)] * 3)
    with pytest.raises(DataError):
        quantize(settings(model, tmp_path, data, calibration=black), Context())
    assert not (tmp_path / "out.onnx").exists()


def test_images_of_another_aspect_than_the_judged_are_said(model, tmp_path, data):
    rng = np.random.default_rng(0)
    wide = [rng.integers(0, 255, (32, 256, 3), np.uint8) for _ in range(8)]
    strange = folder_of(tmp_path / "wide", wide)
    try:
        result = quantize(settings(model, tmp_path, data, calibration=strange), Context())
    except GateNotMetError as refused:
        result = refused.result
    assert {"shape", "domain"} & {finding.check for finding in result.audit}


def test_a_quantized_model_is_taken_back_to_float_where_asked(model, tmp_path, data):
    quantize(settings(model, tmp_path, data), Context())
    first = tmp_path / "out.onnx"
    again = settings(first, tmp_path, data, output=tmp_path / "again.onnx")
    with pytest.raises(ModelError) as caught:
        quantize(again, Context())
    assert "--requantize" in caught.value.remedy

    result = quantize(again.model_copy(update={"requantize": True}), Context())

    assert result.saved is not None
    lineage = Artifact.open(tmp_path / "again.onnx").lineage
    assert lineage[-1].parents == (Artifact.open(first).content_digest,)


def test_a_drop_that_can_not_be_met_reports_the_best(model, tmp_path, data):
    never = settings(
        model, tmp_path, data, placement="all", images=1, max_drop=MaxDrop(0.0, "pt"),
        min_agreement=1.0,
    )  # fmt: skip
    with pytest.raises(GateNotMetError) as caught:
        quantize(never, Context())
    assert caught.value.result.saved is None
    assert caught.value.result.optimized.map is not None
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    "precision", ["fp16", "fp32", "int8-int16", "int8-weights", "int4-weights"]
)
def test_every_form_is_judged_and_read_back(precision, model, tmp_path, data):
    result = quantize(settings(model, tmp_path, data, precision=precision), Context())
    assert result.precision == precision
    assert result.optimized.map > 0.5
    saved = Artifact.open(tmp_path / "out.onnx")
    assert saved.detector().spec.family == "yolov8"
    if precision != "fp32":
        assert saved.size_bytes < model.stat().st_size


def test_sensitivity_saves_no_model_and_ranks_groups(model, tmp_path, data):
    result = sensitivity(settings(model, tmp_path, data, sensitivity=True), Context())
    rows = result.sensitivity.rows
    assert rows
    assert [row.damage for row in rows] == sorted((row.damage for row in rows), reverse=True)
    assert not (tmp_path / "out.onnx").exists()
