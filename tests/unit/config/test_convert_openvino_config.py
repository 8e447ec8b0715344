"""What convert-openvino takes, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.core.errors import ConfigError, UsageError


def config(**options):
    return ConvertOpenVinoConfig.from_options(**{"model": "m.onnx", "output": "m.xml", **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"output": "m.bin"}, r"--output m.bin: .* \.xml"),
        ({"keep_rejected": "kept"}, r"--keep-rejected kept: .* \.xml"),
        ({"engine": "onnxruntime"}, "can't run the result"),
        ({"engine": "openvino:cpu:bf16"}, "can't run the result"),
        ({"max_drop": "1%"}, "labelled images"),
        ({"min_agreement": 0.9}, "needs images"),
        ({"calibration": "imgs"}, "--precision int8"),
        ({"min_speedup": 2.0, "speed_seconds": 0.0}, "--speed-seconds 0"),
        ({"quantizer": "nncf"}, "--quantizer nncf"),
    ],
)
def test_a_contradiction_is_said_before_the_work(options, said):
    with pytest.raises(UsageError, match=said) as caught:
        config(**options)
    assert caught.value.remedy


@pytest.mark.parametrize("options", [{"precision": "int4"}, {"require": "seen"}, {"limit": 0}])
def test_a_value_that_is_not_offered_is_refused(options):
    with pytest.raises(ConfigError):
        config(**options)


def test_accuracy_is_gated_where_there_are_labels():
    assert config().drop_gate is None
    assert config(data="d").drop_gate == MaxDrop(1.0, "%")
    assert config(data="d", max_drop="2pt").drop_gate == MaxDrop(2.0, "pt")


@pytest.mark.parametrize(
    ("options", "run_as"),
    [
        ({}, "openvino"),
        ({"engine": "openvino:npu"}, "openvino:npu"),
        ({"precision": "bf16"}, "openvino::bf16"),
        ({"precision": "bf16", "engine": "openvino:gpu"}, "openvino:gpu:bf16"),
    ],
)
def test_bf16_is_a_way_to_run_it(options, run_as):
    assert config(**options).run_as == run_as
    assert config(**options).output == Path("m.xml")
