"""What convert-tflite and targets take, and combinations that make no sense."""

from __future__ import annotations

import pytest

from edgecv_cli.config.convert_tflite import ConvertTfliteConfig
from edgecv_cli.config.targets import TargetsConfig
from edgecv_cli.core.errors import UsageError


def config(**options):
    return ConvertTfliteConfig(**{"model": "m.onnx", "output": "o.tflite", **options})


def test_decoding_is_outside_of_int8_alone_unless_told():
    int8 = {"precision": "int8", "calibration": "images"}
    assert not config().cut
    assert config(decode="outside").cut
    assert config(**int8).cut
    assert not config(**int8, decode="inside").cut


def test_the_accuracy_gate_depends_on_what_is_made():
    assert config().drop_gate is None
    assert str(config(data="coco").drop_gate) == "1%"
    assert str(config(data="c", precision="int8", calibration="i").drop_gate) == "1.5pt"
    assert str(config(data="coco", max_drop="0.5pt").drop_gate) == "0.5pt"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"output": "o.lite"}, "does not end in .tflite"),
        ({"keep_rejected": "o.xml"}, "does not end in .tflite"),
        ({"precision": "int8"}, "calibrate"),
        ({"calibration": "images"}, "--precision int8"),
        ({"max_drop": "1%"}, "--max-drop"),
        ({"min_agreement": 0.9}, "--min-agreement"),
        ({"min_speedup": 1.0, "speed_seconds": 0}, "--min-speedup"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(options, said):
    with pytest.raises(UsageError, match=said) as caught:
        config(**options)
    assert caught.value.remedy


def test_targets_lists_unless_told_to_install():
    assert TargetsConfig().action == "list"
    assert TargetsConfig(action="install", target="tflite", wheelhouse="wheels").target == "tflite"


@pytest.mark.parametrize(
    "options",
    [
        {"target": "tflite"},
        {"force": True},
        {"action": "install"},
        {"action": "install", "target": "openvino"},
    ],
)
def test_targets_says_what_it_installs(options):
    with pytest.raises(UsageError) as caught:
        TargetsConfig(**options)
    assert "tflite" in caught.value.remedy
