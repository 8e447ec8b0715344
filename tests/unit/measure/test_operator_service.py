"""The child's side of a profile, on tiny networks."""

from __future__ import annotations

import models
import onnx
import pytest
from quantized_nets import quantized_layer

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError, ModelError
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.operator_child import request_of
from edgecv_cli.measure.operator_service import OperatorService


def asked(path, inferences=3, **changes):
    return request_of(BenchRow(path, threads=1, **changes), inferences, 0)


def test_each_operator_has_one_time_and_each_inference_its_own(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(quantized_layer(), path)

    answer = OperatorService().call("profile", asked(path))

    assert len(answer["wall_ns"]) == 3
    assert (answer["statistic"], answer["provider"]) == ("median", "CPUExecutionProvider")
    assert {"QLinearConv", "QuantizeLinear"} <= {one["kind"] for one in answer["operators"]}
    assert all(len(one["ns"]) == 1 for one in answer["operators"])


def test_a_detector_is_fed_as_its_spec_says(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(models.fed_with(models.yolov8(), "uint8", "nhwc", scale=255.0), path)
    spec = Artifact.open(path).detector().spec

    assert OperatorService().call("profile", asked(path, 1, spec=spec))["operators"]


def test_openvino_keeps_the_mean_alone(tmp_path):
    pytest.importorskip("openvino")
    path = tmp_path / "net.onnx"
    onnx.save(quantized_layer(), path)

    answer = OperatorService().call("profile", asked(path, engine="openvino"))

    assert (answer["statistic"], answer["provider"]) == ("mean", "CPU")


def test_what_can_not_be_run_stays_in_words(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        OperatorService().call("profile", asked(tmp_path / "absent.onnx"))
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match="can't load"):
        OperatorService().call("profile", asked(tmp_path / "broken.onnx"))


def test_an_unknown_method_is_a_bug():
    with pytest.raises(ValueError, match="no method 'dance'"):
        OperatorService().call("dance", {})
