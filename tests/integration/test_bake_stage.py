"""Models with their preprocessing inside: every command that makes one, and those that read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import yolov8
from scenes import scene, write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.baking import BakingConfig
from edgecv_cli.config.compare import CompareConfig
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.config.reshape import ReshapeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, UsageError
from edgecv_cli.graph.bake_input import baked
from edgecv_cli.inference.edge import EdgeDetector
from edgecv_cli.stages import baking
from edgecv_cli.stages.compare import compare
from edgecv_cli.stages.convert_openvino import convert_openvino
from edgecv_cli.stages.convert_trt import convert_trt
from edgecv_cli.stages.quantize import quantize
from edgecv_cli.stages.reshape import reshape

SHARED = Path(__file__).parents[2].parent / "shared"
REAL = {
    "yolov8n_640": (),
    "ssd_mobilenet_v1_300": ("Sub",),
    "nanodet_plus_m_416": ("Sub",),
    "yolox_nano_416": (),
    "fastestdet_352": (),
    "yolov6lite_s_320": (),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = write_dataset(tmp_path_factory.mktemp("data") / "set", images=4, size=(128, 128))
    return folder / "images"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "detector.onnx"
    onnx.save(yolov8(planted=True, size=(128, 128)), path)
    return path


def fed(path):
    found = Artifact.open(path).detector().spec.input
    return found.dtype, found.color, found.scale, found.mean, found.std, found.layout


PLAIN = ("uint8", "bgr", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def reshaped(model, out, **changes):
    settings = {"model": model, "output": out, "bake_preprocess": True, "speed_seconds": 0}
    return ReshapeConfig(**{**settings, **changes})


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_the_result_is_fed_bytes_and_finds_the_same(model, images, tmp_path, layout):
    out = tmp_path / "bytes.onnx"
    result = reshape(reshaped(model, out, images=images, bake_layout=layout), Context())
    assert (result.agreement, result.baked.agreement) == (1, 1)
    assert result.baked.parity.snr_db > 60
    assert fed(out) == (*PLAIN, layout)
    assert [step.stage for step in Artifact.open(out).lineage] == ["bake-preprocess"]
    picture, _, _ = scene((128, 128))
    before, after = (EdgeDetector(path).detect(picture) for path in (model, out))
    assert len(after) == len(before) > 0
    np.testing.assert_allclose(after, before, atol=1e-3)
    beside = compare(CompareConfig(a=model, b=out, images=images, limit=2), Context())
    assert beside.agreement == 1
    assert beside.tensors
    assert {stage.stage: stage.agreement for stage in beside.stages}["network"] == 1


def test_another_size_is_baked_as_well(model, images, tmp_path):
    out = tmp_path / "tall.onnx"
    result = reshape(reshaped(model, out, images=images, input_size=(160, 128)), Context())
    assert result.to_size == (160, 128)
    assert fed(out)[:5] == PLAIN
    assert [step.stage for step in Artifact.open(out).lineage] == ["bake-preprocess", "reshape"]


def test_a_quantized_model_takes_bytes_as_its_first_integers(model, images, tmp_path):
    out = tmp_path / "int8.onnx"
    result = quantize(
        QuantizeConfig(
            model=model,
            output=out,
            calibration=images,
            bake_preprocess=True,
            target="cpu-x86-vnni",
            prefer="accuracy",
            min_int8_share=0.0,
            speed_seconds=0.1,
            placement="last",
            estimator="minmax",
            equalisation="off",
            bias_correction="off",
            adaptive_rounding="off",
            min_agreement=0.5,
        ),
        Context(),
    )
    assert result.model == str(model)
    assert result.baked.left == ("Cast", "Transpose")
    assert fed(out)[:5] == PLAIN
    first = [node.op_type for node in onnx.load(out).graph.node[:2]]
    assert first == ["Transpose", "DequantizeLinear"]
    assert [s.stage for s in Artifact.open(out).lineage] == ["bake-preprocess", "quantize"]


def test_openvino_gets_a_model_of_bytes(model, images, tmp_path):
    out = tmp_path / "bytes.xml"
    result = convert_openvino(
        ConvertOpenVinoConfig(
            model=model, output=out, images=images, bake_preprocess=True, speed_seconds=0
        ),
        Context(),
    )
    assert result.agreement == 1
    assert result.baked.layout == "nhwc"
    assert fed(out)[:5] == PLAIN


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_tensorrt_finds_no_rule_broken(model, images, tmp_path, layout):
    out = tmp_path / "checked.onnx"
    result = convert_trt(
        ConvertTrtConfig(
            model=model,
            output=out,
            device="gpu",
            images=images,
            bake_preprocess=True,
            bake_layout=layout,
        ),
        Context(),
    )
    assert not result.preflight
    assert result.baked.agreement == 1
    assert fed(out) == (*PLAIN, layout)
    with pytest.raises(UsageError, match="--bake-preprocess asks for more"):
        ConvertTrtConfig(model=model, check_only=True, bake_preprocess=True)


def test_what_finds_something_else_is_not_saved(model, images, tmp_path, monkeypatch):
    def spoiled(graph, name, how, layout):
        return baked(graph, name, replace(how, scale=how.scale * 1.2), layout)

    monkeypatch.setattr(baking, "baked", spoiled)
    out = tmp_path / "spoiled.onnx"
    with pytest.raises(GateNotMetError, match="not the same: outputs are"):
        reshape(reshaped(model, out, images=images), Context())
    assert not list(tmp_path.iterdir())


def test_a_model_of_bytes_is_refused(model, tmp_path):
    out = tmp_path / "bytes.onnx"
    reshape(reshaped(model, out), Context())
    with pytest.raises(UsageError, match="takes bytes already"):
        reshape(reshaped(out, tmp_path / "again.onnx"), Context())


def test_a_layout_without_baking_is_refused():
    with pytest.raises(UsageError, match="--bake-layout is for --bake-preprocess"):
        BakingConfig(bake_layout="nhwc")


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_detectors_give_the_same(name, tmp_path):
    path = SHARED / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip("needs the real detectors and images of ../shared")
    given = Artifact.open(path)
    paths = sorted((SHARED / "data" / "validation" / "images").iterdir())[:2]
    made = baking.bake(
        BakingConfig(bake_preprocess=True),
        given,
        given.detector().spec,
        paths,
        folder=tmp_path,
        context=Context(),
    )
    assert made.said.left == ("Cast", "Transpose", *REAL[name])
    assert made.said.agreement == 1
    # a Conv after the folded scale sums in another order: 1.2e-5 where AVX-512 sums
    assert made.said.parity.relative < 5e-5
