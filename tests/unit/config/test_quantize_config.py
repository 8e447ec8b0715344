import pytest

from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.errors import ConfigError, UsageError

GIVEN = {"model": "a.onnx", "output": "b.onnx", "calibration": "images"}


def test_defaults():
    config = QuantizeConfig.from_options(**GIVEN)
    assert (config.images, config.target, config.precision) == (128, "cpu", "int8")
    assert (config.prefer, config.agreement_gate, config.engine) == ("balanced", 0.9, None)
    assert config.drop_gate is None
    assert config.speedup_gate == 1.0


def test_labelled_data_brings_the_default_gate():
    config = QuantizeConfig.from_options(**GIVEN, data="coco")
    assert config.drop_gate == MaxDrop(3.0, "%")


@pytest.mark.parametrize(
    ("text", "drop"),
    [
        ("1%", MaxDrop(1.0, "%")),
        ("0.5pt", MaxDrop(0.5, "pt")),
        (" 2.5 % ", MaxDrop(2.5, "%")),
        ("0%", MaxDrop(0.0, "%")),
    ],
)
def test_max_drop_is_parsed(text, drop):
    config = QuantizeConfig.from_options(**GIVEN, data="coco", max_drop=text)
    assert config.drop_gate == config.max_drop == drop


@pytest.mark.parametrize("text", ["1", "0.5", "1 percent", "-1%", "%", "1e3%", "1%x"])
def test_max_drop_without_a_unit_is_refused(text):
    with pytest.raises(ConfigError, match=r"--max-drop: .*write ") as caught:
        QuantizeConfig.from_options(**GIVEN, data="coco", max_drop=text)
    assert caught.value.exit_code == 2


def test_a_bare_number_is_answered_with_both_readings():
    with pytest.raises(ConfigError, match=r"1 of what\? write 1% .* or 1pt"):
        QuantizeConfig.from_options(**GIVEN, data="coco", max_drop="1")


def test_max_drop_needs_labelled_images():
    with pytest.raises(UsageError, match="--max-drop needs labelled images") as caught:
        QuantizeConfig.from_options(**GIVEN, max_drop="1%")
    assert "--data" in caught.value.remedy


def test_calibration_images_are_needed_unless_a_plan_is_replayed():
    with pytest.raises(UsageError, match="calibration") as caught:
        QuantizeConfig.from_options(model="a.onnx", output="b.onnx")
    assert "--calibration" in caught.value.remedy
    assert QuantizeConfig.from_options(model="a.onnx", output="b.onnx", plan="p.json").plan


@pytest.mark.parametrize(
    ("options", "gate"),
    [
        ({}, 1.0),
        ({"prefer": "accuracy"}, 0.0),
        ({"prefer": "speed"}, 1.0),
        ({"prefer": "accuracy", "min_speedup": "1.2"}, 1.2),
        ({"min_speedup": "0"}, 0.0),
    ],
)
def test_speed_gate(options, gate):
    assert QuantizeConfig.from_options(**GIVEN, **options).speedup_gate == gate


@pytest.mark.parametrize("text", ["480x640", "480X640", " 480x640 "])
def test_input_size_is_height_by_width(text):
    assert QuantizeConfig.from_options(**GIVEN, input_size=text).input_size == (480, 640)


@pytest.mark.parametrize("text", ["640", "480,640", "0x0", "99999x10", "axb", "480x640x3"])
def test_other_input_sizes_are_refused(text):
    with pytest.raises(ConfigError, match="--input-size"):
        QuantizeConfig.from_options(**GIVEN, input_size=text)


def test_what_is_dumped_is_read_again():
    config = QuantizeConfig.from_options(**GIVEN, data="d", max_drop="0.5pt", input_size="32x64")
    dumped = config.model_dump(mode="json")
    assert (dumped["max_drop"], dumped["input_size"]) == ("0.5pt", "32x64")
    assert QuantizeConfig(**dumped) == config


def test_bf16_is_asked_of_an_engine():
    with pytest.raises(UsageError, match="not another file") as caught:
        QuantizeConfig.from_options(**GIVEN, precision="bf16")
    assert "openvino:cpu:bf16" in caught.value.remedy


def test_accuracy_keeps_most_of_the_work_in_integers():
    assert QuantizeConfig.from_options(**GIVEN, prefer="accuracy").least_share == 0.6
    assert QuantizeConfig.from_options(**GIVEN).least_share == 0.0
    told = QuantizeConfig.from_options(**GIVEN, prefer="accuracy", min_int8_share=0.3)
    assert told.least_share == 0.3


def test_an_output_is_needed_but_to_look():
    given = {key: value for key, value in GIVEN.items() if key != "output"}
    with pytest.raises(UsageError, match="no output"):
        QuantizeConfig.from_options(**given)
    assert QuantizeConfig.from_options(**given, sensitivity=True).output is None
