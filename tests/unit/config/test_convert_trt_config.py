"""Options of convert-trt that contradict each other are refused with what to type."""

from typing import get_args

import pytest

from edgecv_cli.config.convert_trt import ConvertTrtConfig, TrtDevice
from edgecv_cli.core.errors import ConfigError, UsageError
from edgecv_cli.graph.tensorrt.target import DEVICES


def config(**options):
    return ConvertTrtConfig.from_options(model="m.onnx", **options)


def test_the_devices_are_those_that_have_rules():
    assert set(get_args(TrtDevice)) == set(DEVICES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no output was named"),
        ({"check_only": True, "output": "o"}, "--output asks for more"),
        ({"check_only": True, "fix": True}, "--fix asks for more"),
        ({"check_only": True, "require": "built"}, "--require asks for more"),
        ({"output": "o", "images": "d"}, "--images is of use with --fix alone"),
        ({"output": "o", "data": "d"}, "--data is of use with --fix alone"),
        ({"output": "o", "input_size": "32x32"}, "--input-size is of use with --fix alone"),
        ({"output": "o", "fix": True, "max_drop": "1%"}, "--max-drop needs labelled images"),
        ({"output": "o", "fix": True, "min_agreement": "0.9"}, "--min-agreement needs images"),
        ({"output": "o", "calibration": "d"}, "--calibration is for --precision int8"),
        ({"check_only": True, "precision": "int8", "calibration": "d"}, "--calibration asks"),
        ({"output": "o.onnx", "compute_capability": "8.9"}, "none is built here"),
        ({"check_only": True, "compute_capability": "8.9"}, "none is built here"),
        ({"output": "o.onnx", "device": "dla", "require": "built"}, "none is built here"),
        ({"output": "o.onnx", "trt_version": "10.3", "require": "ran"}, "none is built here"),
        ({"output": "o", "workspace": 64}, "--workspace goes with an engine of classic"),
        ({"output": "o.onnx", "device": "gpu", "max_batch": 2}, "--max-batch goes with an engine"),
    ],
)
def test_contradictions_are_refused(options, words):
    with pytest.raises(UsageError, match=words) as refused:
        config(**options)
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["8", "sm89", "8.9;12.0", "8.9,,12.0"])
def test_capabilities_have_a_form(text):
    with pytest.raises(ConfigError, match="compute-capability"):
        config(output="o", compute_capability=text)


def test_capabilities_are_read_and_written():
    made = config(output="o", compute_capability=["8.9, 12.0,8.9"])
    assert made.compute_capability == ("8.9", "12.0")
    assert made.model_dump(mode="json")["compute_capability"] == "8.9,12.0"


def test_what_quantize_needs_goes_with_calibration():
    asked = {"precision": "int8", "calibration": "d", "data": "l", "input_size": "32x32"}
    assert str(config(output="o", **asked).drop_gate) == "3%"
    assert config(output="o", precision="int8", calibration="d", min_agreement="0.5")


def test_what_is_built_and_which_gates_hold():
    assert config(output="o").builds
    assert not config(output="o.onnx").builds
    assert not config(output="o", trt_version="10.3").builds
    assert config(output="o").agreement_gate == 0.9
    gated = config(output="o", fix=True, data="d")
    assert gated.agreement_gate is None
    assert str(gated.drop_gate) == "3%"
