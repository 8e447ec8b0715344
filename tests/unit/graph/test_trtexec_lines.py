"""The trtexec line of each release, and the calibration cache."""

import models_tensorrt as trt
import numpy as np
import pytest

from edgecv_cli.graph.tensorrt.calibration_cache import RELEASE, cache_text, float_form
from edgecv_cli.graph.tensorrt.target import target_of
from edgecv_cli.graph.tensorrt.trtexec import BuildSettings, Line, trtexec_line

BASE = (
    "trtexec --onnx=model.onnx --saveEngine=model.engine --timingCacheFile=timing.cache "
    "--memPoolSize=workspace:2048"
)


@pytest.mark.parametrize(
    ("device", "version", "precision", "quantized", "more"),
    [
        ("gpu", "8.6", None, True, " --int8 --fp16"),
        ("gpu", "8.6", "fp16", False, " --fp16"),
        ("gpu", "10.3", None, True, " --stronglyTyped"),
        ("gpu", "10.3", "fp16", False, " --fp16"),
        ("gpu", "10.3", None, False, ""),
        ("gpu", "11.4", None, True, " --skipInference"),
        ("dla", "10.3", None, True, " --int8 --fp16 --useDLACore=0 --allowGPUFallback"),
        ("dla", "10.3", None, False, " --fp16 --useDLACore=0 --allowGPUFallback"),
    ],
)
def test_the_line_of_a_release(device, version, precision, quantized, more):
    target = target_of(device, version, precision)
    assert trtexec_line(target, quantized=quantized) == BASE + more


def test_tensorrt_rtx_has_no_trtexec_line():
    assert trtexec_line(target_of("rtx", None), quantized=False) is None


def test_names_with_a_colon_are_quoted_in_shapes():
    shapes = (("images:0", ((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))),)
    words = Line("10", quantized=False, settings=BuildSettings(shapes=shapes)).words()
    assert "--minShapes='images:0':1x3x8x8" in words
    assert "--maxShapes='images:0':4x3x8x8" in words


def test_a_scale_is_written_as_big_endian_float32():
    scale = float(np.frombuffer(bytes.fromhex("3c008912"), ">f4")[0])
    assert scale == pytest.approx(0.00784, abs=1e-5)  # of the forum's example
    text = cache_text({"b": scale, "a:0": 1.0, "two\nlines": 1.0, "": 1.0})
    first, *rows = text.splitlines()
    assert first == f"TRT-{RELEASE}-EntropyCalibration2"
    assert rows == ["a:0: 3f800000", "b: 3c008912"]


def test_the_cache_names_the_tensors_of_the_float_graph():
    plain, scales = float_form(trt.layer())
    assert "x" in scales
    assert scales["x"] == pytest.approx(0.02)
    assert {node.op_type for node in plain.graph.node} >= {"Conv"}
    assert not any("Linear" in node.op_type for node in plain.graph.node)


def test_a_tensor_with_a_zero_point_has_no_place_in_the_cache():
    assert float_form(trt.pair(np.int8(3)))[1] == {}
