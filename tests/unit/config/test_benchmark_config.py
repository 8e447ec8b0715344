"""What ``edgecv benchmark`` takes."""

from __future__ import annotations

import pytest

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.errors import ConfigError, UsageError


def made(**options):
    return BenchmarkConfig.from_options(models=["a.onnx"], **options)


@pytest.mark.parametrize(
    ("text", "cores"),
    [("3", (3,)), ("0,2-3", (0, 2, 3)), ("2-3,0,2", (0, 2, 3)), (" 1 , 0 ", (0, 1))],
)
def test_cores_are_written_as_lists_and_ranges(text, cores):
    assert made(affinity=text).affinity == cores


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,", "-1", "0..3"])
def test_what_is_no_list_of_cores_is_refused(text):
    with pytest.raises(ConfigError, match="0,2-3"):
        BenchmarkConfig.from_mapping({"models": ["a.onnx"], "affinity": text}, source="f.yaml")


def test_cores_are_written_back_as_they_are_read():
    written = made(affinity="0,2-3").model_dump(mode="json")["affinity"]
    assert made(affinity=written).affinity == (0, 2, 3)


@pytest.mark.parametrize(
    "option", [{"samples": 0}, {"launches": 0}, {"timeout": 0}, {"duration": 0}]
)
def test_a_benchmark_of_nothing_is_refused(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        made(**option)


def test_a_model_cache_needs_an_engine_that_has_one():
    assert made(model_cache=True, engine=["onnxruntime", "openvino:cpu"]).model_cache
    with pytest.raises(UsageError, match="onnxruntime, litert keeps nothing") as refused:
        made(model_cache=True, engine=["onnxruntime", "litert"])
    assert "--engine openvino" in refused.value.remedy
    with pytest.raises(UsageError, match="--devices names others"):
        made(model_cache=True, engine=["openvino"], devices="fleet.yaml")
    with pytest.raises(UsageError, match="keeps nothing"):
        DetectConfig.from_options(model="a.onnx", sources=["b.jpg"], model_cache=True)
