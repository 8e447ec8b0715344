"""The child's side of a benchmark, on a tiny network."""

from __future__ import annotations

import onnx
import pytest
from models import batched, fed_with, with_size_input, yolov8

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError, ModelError, UsageError
from edgecv_cli.measure.latency_service import LatencyService


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.onnx"
    onnx.save(yolov8(), path)
    return path


def opening(model, **changes):
    payload = {"model": str(model), "engine": "onnxruntime", "threads": 1, "seed": 0}
    return {**payload, "spec": None, "input_size": None, **changes}


def test_a_model_is_loaded_and_timed_in_blocks(model):
    service = LatencyService()

    opened = service.call("open", opening(model))
    block = service.call("block", {"count": 7})

    assert opened["load_ns"] > 0
    assert opened["first_ns"] > 0
    assert len(block["ns"]) == 7
    assert all(isinstance(ns, int) and ns > 0 for ns in block["ns"])
    assert service.call("memory", {})["peak_rss_bytes"] > 2**20


def test_a_detector_is_fed_as_its_spec_says(model, tmp_path):
    spec = Artifact.open(model).detector().spec
    batch, mixed = tmp_path / "batch.onnx", tmp_path / "mixed.onnx"
    onnx.save(batched(yolov8(), 3), batch)
    onnx.save(fed_with(with_size_input(yolov8()), "uint8", "nhwc", scale=255.0), mixed)
    fed = spec.replace(
        input={**spec.input.model_dump(), "name": "pixels", "dtype": "uint8", "scale": 1.0},
        extra_inputs={"sizes": "input-hw"},
    )
    service = LatencyService()

    for path, wanted, told in ((model, 1, spec), (batch, 3, spec), (mixed, 1, fed)):
        opened = service.call("open", opening(path, spec=told.model_dump(mode="json")))
        assert opened["batch"] == wanted
        assert len(service.call("block", {"count": 2})["ns"]) == 2


def test_a_block_needs_a_model():
    with pytest.raises(EngineError, match="no model"):
        LatencyService().call("block", {"count": 1})


def test_an_unknown_method_is_a_bug():
    with pytest.raises(ValueError, match="no method 'dance'"):
        LatencyService().call("dance", {})


def test_what_the_engine_refuses_stays_in_words(model, tmp_path):
    with pytest.raises(UsageError, match="no engine 'abacus'"):
        LatencyService().call("open", opening(model, engine="abacus"))
    with pytest.raises(ModelError, match="does not exist"):
        LatencyService().call("open", opening(tmp_path / "absent.onnx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"can't load"):
        LatencyService().call("open", opening(broken))


def test_a_block_can_begin_with_inferences_that_are_not_timed(model):
    service = LatencyService()
    service.call("open", opening(model))

    assert len(service.call("block", {"count": 2, "settling": 3})["ns"]) == 2


def test_the_process_is_kept_on_the_cores_that_were_named(model, monkeypatch):
    kept = []
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    monkeypatch.setattr("os.sched_setaffinity", lambda pid, cores: kept.append(list(cores)))

    LatencyService().call("open", opening(model, affinity=[0, 2]))
    LatencyService().call("open", opening(model))

    assert kept == [[0, 2]]


def test_a_core_that_is_not_there_is_named(model, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})

    with pytest.raises(UsageError, match=r"--affinity names a core .*: 7") as caught:
        LatencyService().call("open", opening(model, affinity=[0, 7]))
    assert caught.value.remedy == "choose from 0, 1"
