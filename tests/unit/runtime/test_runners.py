"""Every engine behind the port, and the way to it."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import models
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from runner_contract import RunnerContract

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import MissingDependencyError, UsageError
from edgecv_cli.runtime.opening import ENGINES, find_engine, open_runner


class TestOnnxRuntime(RunnerContract):
    engine = "onnxruntime"

    def test_its_device_may_be_named(self, tmp_path):
        runner = open_runner(self.artifact(models.ssd(), tmp_path), "onnxruntime:CPU")

        assert runner.execution.device == "cpu"
        assert runner.execution.provider == "CPUExecutionProvider"

    def test_a_package_that_is_not_installed_is_named(self, tmp_path, monkeypatch):
        def missing(name):
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "version", missing)

        with pytest.raises(MissingDependencyError) as caught:
            open_runner(self.artifact(models.ssd(), tmp_path), self.engine)

        assert "pip install onnxruntime" in caught.value.remedy


def test_engines_have_names_of_their_own():
    names = [engine.name for engine in ENGINES]

    assert len(set(names)) == len(names)
    assert all(find_engine(name).name == name for name in names)


@pytest.mark.parametrize("name", ["abacus", "", "ONNXRUNTIME!", "onnxruntime2"])
def test_an_unknown_engine_is_refused_with_the_known_ones(name):
    with pytest.raises(UsageError) as caught:
        find_engine(name)

    assert caught.value.exit_code == 2
    assert "onnxruntime" in caught.value.remedy


def test_a_format_that_an_engine_does_not_read_is_refused(tmp_path):
    path = tmp_path / "model.engine"
    path.write_bytes(b"x")

    with pytest.raises(UsageError, match=r"does not read 'model\.engine'"):
        open_runner(Artifact(path, "tensorrt"), "onnxruntime")


def saturating():
    """A convolution whose pairs of products do not fit 16 bits, quantized as x86 wants it."""
    rng = np.random.default_rng(0)
    weights = rng.choice(np.array([-127, 127], np.int8), (8, 16, 1, 1), p=[0.1, 0.9])
    stored = {
        "scale": np.float32(1 / 255),
        "zero": np.uint8(0),
        "weight": weights,
        "weight_scale": np.full(8, 0.001, np.float32),
        "weight_zero": np.zeros(8, np.int8),
        "out_scale": np.float32(0.01),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"]),
        helper.make_node(
            "DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"], axis=0
        ),
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "out_scale", "zero"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "out_scale", "zero"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "saturating",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 16, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 8, 8, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize(
    "engine",
    [
        "onnxruntime",
        pytest.param(
            "openvino",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
            ),
        ),
    ],
)
def test_exact_runs_a_quantized_file_as_it_is_written(tmp_path, engine):
    path = tmp_path / "q.onnx"
    path.write_bytes(saturating().SerializeToString())
    images = np.random.default_rng(1).uniform(0.5, 1, (1, 16, 8, 8)).astype(np.float32)
    written = ReferenceEvaluator(saturating()).run(None, {"images": images})[0]

    runner = open_runner(Artifact.open(path), engine, threads=1, exact=True)

    # A sum that lies on a tie may be rounded either way: one step of the output's grid.
    apart = np.abs(runner.infer({"images": images})["out"] - written)
    assert apart.max() <= 0.0101
    assert (apart > 0.001).mean() < 0.01
