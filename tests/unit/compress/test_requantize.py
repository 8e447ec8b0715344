"""Models that are quantized already: told by their form, and taken back to float."""

from __future__ import annotations

import models
import numpy as np
import onnx
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import TARGET_KEY
from edgecv_cli.compress.quantization.evidence import read_topology
from edgecv_cli.compress.quantization.requantize import as_float, require_float
from edgecv_cli.core.errors import ModelError
from edgecv_cli.graph.inspect import read_facts


class _Noise(CalibrationDataReader):
    def __init__(self, name, shape):
        rng = np.random.default_rng(0)
        self._feeds = iter([
            {name: rng.uniform(0, 255, shape).astype(np.float32)} for _ in range(3)
        ])  # fmt: skip

    def get_next(self):
        return next(self._feeds, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantized")
    model = models.yolox(planted=True)
    model.metadata_props.add(key=TARGET_KEY, value="cpu-x86")
    model.metadata_props.add(key="author", value="somebody")
    onnx.save(model, folder / "float.onnx")
    image = model.graph.input[0]
    shape = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    for form in (QuantFormat.QDQ, QuantFormat.QOperator):
        quantize_static(
            folder / "float.onnx", folder / f"{form.name}.onnx", _Noise(image.name, shape),
            quant_format=form,
        )  # fmt: skip
    quantize_dynamic(folder / "float.onnx", folder / "dynamic.onnx")
    return folder


def opened(folder, name):
    return Artifact.open(folder / f"{name}.onnx")


def test_a_qdq_model_is_refused_with_the_way_back(folder):
    with pytest.raises(ModelError, match="quantized already") as caught:
        read_topology(opened(folder, "QDQ"), None)
    assert "--requantize" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "operator"), [("QOperator", "QLinearConv"), ("dynamic", "ConvInteger")]
)
def test_integer_operators_are_named_and_not_promised_a_way_back(folder, name, operator):
    for attempt in (
        lambda: require_float(opened(folder, name)),
        lambda: as_float(opened(folder, name), folder),
    ):
        with pytest.raises(ModelError, match=operator) as caught:
            attempt()
        assert "float model" in caught.value.remedy
        assert "--input-size" not in str(caught.value)


def test_open_sizes_of_a_fixed_input_do_not_ask_for_the_inputs(folder):
    problem = opened(folder, "QOperator").facts().tail_problem
    assert "QLinearSigmoid" in problem
    assert "--input-size" not in problem


def test_a_float_model_stays_the_same_file(folder):
    model = opened(folder, "float")
    require_float(model)
    assert as_float(model, folder) is model


def test_the_float_form_is_read_as_the_float_model_is(folder, tmp_path):
    plain = as_float(opened(folder, "QDQ"), tmp_path)

    assert plain.path == tmp_path / "QDQ.onnx"
    require_float(plain)
    assert read_facts(plain.model).precision == "fp32"
    assert plain.detector().spec == opened(folder, "float").detector().spec
    assert plain.metadata["author"] == "somebody"
    assert TARGET_KEY not in plain.metadata
    assert len(read_topology(plain, None).layers) == len(
        read_topology(opened(folder, "float"), None).layers
    )
