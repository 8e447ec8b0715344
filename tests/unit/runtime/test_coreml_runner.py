"""The coreml engine behind the Runner port, with Core ML and coremltools stood in for."""

from __future__ import annotations

import importlib.util

import core_packages
import models
import numpy as np
import pytest
from runner_contract import RunnerContract

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError, UsageError
from edgecv_cli.graph.coreml_facts import INTERFACE_KEY, Picture, dump_interface
from edgecv_cli.graph.coreml_prepare import prepared
from edgecv_cli.graph.coreml_proto import MESSAGES
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.runtime.coreml import CoreMlEngine, pixels_of
from edgecv_cli.runtime.opening import open_runner

SCALED = Picture(color="bgr", scale=(0.5, 0.25, 0.125), offset=(-1.0, 2.0, 0.5))


def package(folder, *, picture=SCALED, network=None):
    """The package of a tiny detector, and the ONNX file that it was made of."""
    onnx_path = folder / "model.onnx"
    onnx_path.write_bytes(serialize(models.ssd() if network is None else network))
    given = Artifact.open(onnx_path)
    facts = given.facts((64, 64))
    pictures = {} if picture is None else {"images": picture}
    plain = normalise(given.model, input_size=(64, 64))
    made = prepared(plain, facts.inputs, facts.outputs, pictures)
    path = core_packages.of_network(
        made.model,
        folder / "model.mlpackage",
        pictures={} if picture is None else {"images": picture.color},
        metadata={INTERFACE_KEY: dump_interface(made.interface)},
    )
    (path / "stands-for.onnx").write_bytes(serialize(made.model))
    return given, Artifact.open(path)


class TestCoreMl(RunnerContract):
    engine = "coreml"

    @pytest.fixture(autouse=True)
    def _stand_in(self, monkeypatch):
        core_packages.stand_in(monkeypatch)

    def artifact(self, model, folder):
        return package(folder, picture=None, network=model)[1]

    def test_an_open_batch_is_one_in_a_request(self, tmp_path):
        runner = open_runner(self.artifact(models.yolov8(dynamic="batch"), tmp_path), self.engine)

        assert runner.inputs[0].shape == (1, 3, 64, 64)
        assert runner.requests(1)[0].inputs["images"].shape == (1, 3, 64, 64)

    def test_an_open_size_has_no_requests(self, tmp_path):
        runner = open_runner(self.artifact(models.yolov8(dynamic="size"), tmp_path), self.engine)

        assert runner.inputs[0].is_static  # packages have no open sizes

    def test_a_model_that_the_engine_refuses_is_an_engine_error(self, tmp_path):
        artifact = self.artifact(models.ssd(), tmp_path)
        (artifact.path / "stands-for.onnx").unlink()
        with pytest.raises(EngineError, match=r"can't load .*model\.mlpackage") as caught:
            open_runner(artifact, self.engine)
        assert "--minimum-deployment-target" in caught.value.remedy

    def test_outputs_of_one_run_outlive_the_next(self, runner):
        first = runner.infer({"images": self.image(1)})
        kept = {name: value.copy() for name, value in first.items()}
        runner.infer({"images": self.image(2)})
        for name, value in kept.items():
            np.testing.assert_array_equal(first[name], value)


def fed(picture, seed=0):
    """A network's input that pixels can make."""
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 64, 64)).astype(np.float32)
    if picture is None:
        return pixels[None]
    scale, offset = (np.float32(each).reshape(3, 1, 1) for each in (picture.scale, picture.offset))
    return (pixels * scale + offset)[None]


@pytest.mark.parametrize("picture", [SCALED, SCALED.model_copy(update={"color": "rgb"}), None])
def test_it_gives_what_the_original_gives(tmp_path, monkeypatch, picture):
    bgr = picture is not None and picture.color == "bgr"
    core_packages.stand_in(monkeypatch, bgr=bgr)
    given, made = package(tmp_path, picture=picture)
    reference, runner = open_runner(given), open_runner(made, "coreml:cpu")
    assert runner.inputs == reference.inputs
    assert {str(spec) for spec in runner.outputs} == {str(spec) for spec in reference.outputs}
    wanted = reference.infer({"images": fed(picture)})
    found = runner.infer({"images": fed(picture)})
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-3)
    assert runner.execution.device == "cpu"
    assert runner.execution.precision == "unknown"


def test_requests_have_buffers_of_their_own(tmp_path, monkeypatch):
    core_packages.stand_in(monkeypatch)
    _, made = package(tmp_path, picture=None)
    runner = open_runner(made, "coreml")
    one, two = runner.requests(2)
    one.inputs["images"][:] = fed(None, 1)
    two.inputs["images"][:] = fed(None, 2)
    one.start()
    two.start()
    one.wait()
    two.wait()
    again = runner.infer({"images": fed(None, 1)})
    np.testing.assert_array_equal(one.outputs["scores"], again["scores"])
    assert not np.array_equal(one.outputs["scores"], two.outputs["scores"])
    two.run()
    runner.close()
    with pytest.raises(EngineError, match="closed"):
        runner.requests(1)
    with pytest.raises(EngineError, match="closed"):
        one.run()


def test_what_does_not_fit_is_refused(tmp_path, monkeypatch):
    core_packages.stand_in(monkeypatch)
    _, made = package(tmp_path)
    runner = open_runner(made, "coreml")
    with pytest.raises(EngineError, match="was fed nothing"):
        runner.infer({})
    with pytest.raises(EngineError, match=r"float64 \[1, 3, 64, 64\]"):
        runner.infer({"images": fed(SCALED).astype(np.float64)})
    for engine in ("coreml:tpu", "coreml:cpu:bf16"):
        with pytest.raises(EngineError, match="has no"):
            open_runner(made, engine)
    with pytest.raises(UsageError, match="does not read"):
        open_runner(made, "onnxruntime")


def test_a_package_that_core_ml_refuses_is_no_traceback(tmp_path, monkeypatch):
    core_packages.stand_in(monkeypatch)
    _, made = package(tmp_path)

    def broken(self, fed):
        raise RuntimeError("Error computing NN outputs")

    runner = open_runner(made, "coreml")
    monkeypatch.setattr(core_packages.MLModel, "predict", broken)
    with pytest.raises(EngineError, match="computing NN outputs"):
        runner.infer({"images": fed(SCALED)})


def test_off_macos_it_says_so(tmp_path, monkeypatch):
    core_packages.installed(monkeypatch)
    core_packages.system(monkeypatch, "Linux")
    _, made = package(tmp_path)
    assert CoreMlEngine().availability().devices == ()
    with pytest.raises(EngineError, match="macOS alone"):
        open_runner(made, "coreml")


def test_pixels_are_found_again_from_what_a_network_is_fed():
    pixels = np.random.default_rng(3).integers(0, 256, (1, 8, 8, 3)).astype(np.float32)
    value = pixels * np.float32(SCALED.scale) + np.float32(SCALED.offset)
    assert np.array_equal(pixels_of(value, SCALED), pixels[0, ..., ::-1])
    assert np.array_equal(pixels_of(value.transpose(0, 3, 1, 2), SCALED), pixels[0, ..., ::-1])


def test_field_numbers_are_those_of_coremltools():
    if importlib.util.find_spec("coremltools") is None:
        pytest.skip("coremltools is not installed (pip install edgecv[coreml])")
    from coremltools.proto import FeatureTypes_pb2, MIL_pb2, Model_pb2
    from coremltools.proto.NonMaximumSuppression_pb2 import NonMaximumSuppression

    for theirs, ours in (
        (Model_pb2.Model, "Model"),
        (Model_pb2.ModelDescription, "ModelDescription"),
        (Model_pb2.FeatureDescription, "FeatureDescription"),
        (Model_pb2.Metadata, "Metadata"),
        (Model_pb2.Pipeline, "Pipeline"),
        (NonMaximumSuppression, "Suppression"),
        (NonMaximumSuppression.PickTop, "PickTop"),
        (FeatureTypes_pb2.FeatureType, "FeatureType"),
        (FeatureTypes_pb2.ArrayFeatureType, "ArrayType"),
        (FeatureTypes_pb2.SizeRange, "SizeRange"),
        (MIL_pb2.Function, "Function"),
        (MIL_pb2.Block, "Block"),
        (MIL_pb2.Operation, "Operation"),
        (MIL_pb2.Value, "Value"),
        (MIL_pb2.TensorType, "TensorType"),
        (MIL_pb2.TensorValue, "Tensor"),
    ):
        fields = {field.name: field.number for field in theirs.DESCRIPTOR.fields}
        wanted = {name: number for name, (number, _) in MESSAGES[ours].items()}
        assert {name: fields[name] for name in wanted} == wanted
