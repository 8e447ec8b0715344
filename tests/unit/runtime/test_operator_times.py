"""What engines tell of the operators that they run."""

from __future__ import annotations

import importlib.util
import tempfile
from collections import Counter

import models
import numpy as np
import pytest
from quantized_nets import quantized_layer

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.runtime.operators import operator_times

OPENVINO = pytest.param(
    "openvino",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
    ),
)
ENGINES = ["onnxruntime", OPENVINO]


def opened(model, folder, engine, *, profile=True):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return open_runner(Artifact.open(path), engine, threads=1, profile=profile)


def seen(model, folder, engine, runs=3):
    runner = opened(model, folder, engine)
    rng = np.random.default_rng(0)
    for _ in range(runs):
        runner.infer({spec.name: rng.random(spec.shape, np.float32) for spec in runner.inputs})
    try:
        return operator_times(runner)
    finally:
        runner.close()


def precisions(operators):
    return Counter(one.precision for one in operators if one.weighted)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_layer_of_a_float_model_shows_with_its_time(tmp_path, engine):
    model = models.ssd()
    layers = sum(node.op_type == "Conv" for node in model.graph.node)

    found = seen(model, tmp_path, engine)

    assert precisions(found) == {"float32": layers}
    assert all(one.name and one.kind and one.provider and one.calls == 1 for one in found)
    assert all(time >= 0 for one in found for time in one.ns)
    assert sum(one.ns[0] for one in found) > 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["Conv", "MatMul"])
def test_a_quantized_layer_shows_the_type_that_it_really_runs_in(tmp_path, engine, kind):
    assert precisions(seen(quantized_layer(kind), tmp_path, engine)) == {"int8": 1}

    wide = seen(quantized_layer(kind, bits=16), tmp_path, engine)
    layer = [one for one in wide if "MatMul" in one.kind or one.weighted]
    assert [one.precision for one in layer] == ["float32"]


def test_onnxruntime_keeps_every_inference_but_the_first(tmp_path):
    found = seen(quantized_layer(), tmp_path, "onnxruntime", runs=4)

    assert {len(one.ns) for one in found} == {3}
    assert {"QuantizeLinear", "DequantizeLinear"} <= {one.kind for one in found}
    assert {one.provider for one in found} == {"CPUExecutionProvider"}


def test_a_name_of_any_characters_is_read_back(tmp_path):
    name = 'a "layer" \\ of\nsome\tsort é'

    found = seen(quantized_layer("MatMul", bits=16, name=name), tmp_path, "onnxruntime")

    assert name in {one.name for one in found}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_that_was_not_opened_for_it_tells_nothing(tmp_path, engine):
    runner = opened(models.ssd(), tmp_path, engine, profile=False)

    with pytest.raises(EngineError, match="not opened to time"):
        operator_times(runner)
    runner.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_first_inference_alone_tells_nothing(tmp_path, engine):
    with pytest.raises(EngineError, match="no operator was timed") as caught:
        seen(models.ssd(), tmp_path, engine, runs=1)

    assert "twice" in caught.value.remedy


def test_an_engine_that_keeps_no_times_is_named():
    class Plain:
        def __init__(self):
            self.execution = type("Execution", (), {"engine": "abacus"})

    with pytest.raises(EngineError, match="engine abacus keeps no times"):
        operator_times(Plain())


def test_no_trace_is_left_behind(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    model = models.ssd()

    seen(model, tmp_path, "onnxruntime", runs=2)
    opened(model, tmp_path, "onnxruntime").close()
    model.graph.node[0].domain = "nobody.knows"
    model.opset_import.add(domain="nobody.knows", version=1)
    with pytest.raises(EngineError):
        opened(model, tmp_path, "onnxruntime")

    assert list(folder.iterdir()) == []


def test_times_are_told_once_by_onnxruntime(tmp_path):
    runner = opened(models.ssd(), tmp_path, "onnxruntime")
    for _ in range(2):
        runner.infer({"images": np.zeros((1, 3, 64, 64), np.float32)})
    operator_times(runner)

    with pytest.raises(EngineError, match="not opened to time"):
        operator_times(runner)
    assert runner.infer({"images": np.zeros((1, 3, 64, 64), np.float32)})
    runner.close()


def test_a_clamp_that_no_kernel_takes_in_leaves_a_layer_in_float(tmp_path):
    found = seen(quantized_layer(clamped=True), tmp_path, "onnxruntime")

    assert precisions(found) == {"float32": 1}
