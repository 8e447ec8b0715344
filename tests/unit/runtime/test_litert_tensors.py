"""A file's tensors by their numbers: names and axes say nothing."""

from __future__ import annotations

import lite_files
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecv_cli.core.errors import EngineError
from edgecv_cli.graph.litert_bundle import Port
from edgecv_cli.runtime.litert_tensors import tensors_alike

X = np.random.default_rng(0).normal(0, 1, (1, 3, 4, 6)).astype(np.float32)
INPUT = Port(name="x", shape=X.shape, position=0, order=(0, 3, 1, 2))


@pytest.fixture
def file(tmp_path, monkeypatch):
    lite_files.stand_in(monkeypatch)
    nodes = [helper.make_node("Relu", ["x"], ["p"]), helper.make_node("Neg", ["x"], ["q"])]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, X.shape) for n in "xpq"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    opset = [helper.make_opsetid("", 17)]
    network = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(network, tmp_path / "n.stands-for.onnx")
    return lite_files.of_network(network).write(tmp_path / "f.tflite")


def test_tensors_are_known_by_their_numbers(file):
    known = {
        "raised": np.maximum(X, 0),
        "turned": -X.transpose(0, 2, 3, 1),
        "another": np.maximum(X, 0.3),
        "larger": np.zeros((1, 3, 8, 8), np.float32),
    }
    found = tensors_alike(file, [INPUT], {"x": X}, known, 1)
    assert found == {"p": "raised", "q": "turned"}


def test_numbers_that_differ_are_no_match(file):
    almost = {"raised": 1.01 * np.maximum(X, 0), "turned": 0.3 - X}
    assert tensors_alike(file, [INPUT], {"x": X}, almost, 1) == {}


def test_a_file_that_cannot_run_is_told_of(file):
    file.with_name("n.stands-for.onnx").unlink()
    with pytest.raises(EngineError, match="failed to run"):
        tensors_alike(file, [INPUT], {"x": X}, {}, 1)
