"""LiteRT behind the Runner port: the contract, integers, decoding outside of the file."""

from __future__ import annotations

import importlib.util

import lite_files
import models
import numpy as np
import onnx
import pytest
from runner_contract import RunnerContract

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError, MissingDependencyError, ModelError, UsageError
from edgecv_cli.graph.headsplit import split_at_heads, value_specs
from edgecv_cli.graph.io import serialize
from edgecv_cli.graph.litert_bundle import Bundle, Port, Result, write_bundle
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.runtime.litert import LitertEngine
from edgecv_cli.runtime.opening import open_runner


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    lite_files.stand_in(monkeypatch)


def converted(model, folder, *, cut=False, scale=None, decode=None):
    """What a converter and edgecv make of a model, to be run by the stand-in."""
    model = normalise(model, input_size=(64, 64))
    split = split_at_heads(model) if cut else None
    network = split.network if split else model
    plain = lite_files.of_network(network, to_int8=scale).write(folder / "plain.tflite")
    (folder / "net.stands-for.onnx").write_bytes(serialize(network))
    sides = [
        tuple(
            Port(name=s.name, shape=s.shape, position=i, order=order_of(s.shape))
            for i, s in enumerate(value_specs(network, inputs=inputs))
        )
        for inputs in (True, False)
    ]
    outputs = tuple(Result(name=s.name, shape=s.shape) for s in value_specs(model))
    if split and decode is None:
        decode = serialize(split.decode)
    path = folder / "model.tflite"
    write_bundle(plain, path, Bundle(inputs=sides[0], heads=sides[1], outputs=outputs), decode, ())
    return Artifact.open(path)


def order_of(shape):
    return (0, len(shape) - 1, *range(1, len(shape) - 1)) if len(shape) > 2 else (0, 1)


class TestLiteRt(RunnerContract):
    engine = "litert"

    def artifact(self, model, folder):
        if any(node.domain for node in model.graph.node):
            plain = lite_files.of_network(models.ssd()).write(folder / "model.onnx.tflite")
            return Artifact.open(plain)  # and nothing beside it: the stand-in refuses it
        return converted(model, folder, cut=True)

    def test_an_open_batch_is_one_in_a_request(self, tmp_path):
        runner = open_runner(self.artifact(models.yolov8(dynamic="batch"), tmp_path), self.engine)

        assert runner.inputs[0].shape == (1, 3, 64, 64)
        assert runner.requests(1)[0].inputs["images"].shape == (1, 3, 64, 64)

    def test_an_open_size_has_no_requests(self, tmp_path):
        runner = open_runner(self.artifact(models.yolov8(dynamic="size"), tmp_path), self.engine)

        assert runner.inputs[0].is_static  # the files have no open sizes


def image(seed=0):
    return {"images": np.random.default_rng(seed).normal(0, 1, (1, 3, 64, 64)).astype(np.float32)}


@pytest.mark.parametrize("cut", [False, True])
def test_the_layout_is_undone_wherever_decoding_stands(tmp_path, cut):
    path = tmp_path / "model.onnx"
    path.write_bytes(serialize(models.yolov8()))
    wanted = open_runner(Artifact.open(path)).infer(image())

    runner = open_runner(converted(models.yolov8(), tmp_path, cut=cut), "litert")

    for name, value in runner.infer(image()).items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-3)
        assert value.flags.c_contiguous


def test_integers_are_fed_and_read_as_what_they_stand_for(tmp_path):
    exact = open_runner(converted(models.ssd(), tmp_path, cut=True), "litert").infer(image())
    other = tmp_path / "int8"
    other.mkdir()
    coarse = open_runner(converted(models.ssd(), other, cut=True, scale=0.03), "litert")

    found = coarse.infer(image())

    assert coarse.inputs[0].dtype == "float32"
    assert coarse.execution.precision.startswith("int8")
    for name, value in exact.items():
        assert np.abs(found[name] - value).mean() < 0.1
        assert not np.array_equal(found[name], value)


def test_another_tools_file_is_run_as_it_is(tmp_path):
    model = normalise(models.ssd(), input_size=(64, 64))
    path = lite_files.of_network(model).write(tmp_path / "foreign.tflite")
    (tmp_path / "net.stands-for.onnx").write_bytes(serialize(model))

    runner = open_runner(Artifact.open(path), "litert")

    assert [str(spec) for spec in runner.inputs] == ["images float32 [1,64,64,3]"]
    value = np.moveaxis(image()["images"], 1, -1)
    assert set(runner.infer({"images": np.ascontiguousarray(value)})) == {"boxes", "scores"}


def test_a_stored_interface_that_is_not_the_files_is_refused(tmp_path):
    artifact = converted(models.ssd(), tmp_path)
    bundle = Bundle(
        inputs=(Port(name="images", shape=(1, 3, 32, 32), position=0, order=(0, 3, 1, 2)),),
        heads=(Port(name="boxes", shape=(1, 4), position=7, order=(0, 1)),),
        outputs=(Result(name="boxes", shape=(1, 4)),),
    )
    write_bundle(tmp_path / "plain.tflite", artifact.path, bundle, None, ())

    with pytest.raises(EngineError, match="images"):
        open_runner(artifact, "litert")


def _external():
    model = models.ssd()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        (b"no graph", "no ONNX graph"),
        (_external(), "reads other files"),
        (models.yolox().SerializeToString(), "is no head"),
    ],
    ids=["garbage", "other files", "other inputs"],
)
def test_hostile_decoding_is_refused(tmp_path, decode, said):
    with pytest.raises(ModelError, match=said):
        open_runner(converted(models.ssd(), tmp_path, cut=True, decode=decode), "litert")


def test_a_precision_is_the_files_own(tmp_path):
    artifact = converted(models.ssd(), tmp_path)
    with pytest.raises(EngineError, match="precision 'bf16'"):
        open_runner(artifact, "litert:cpu:bf16")


def test_integers_are_not_run_in_float(tmp_path):
    artifact = converted(models.ssd(), tmp_path, cut=True, scale=0.03)
    with pytest.raises(EngineError, match="in float"):
        open_runner(artifact, "litert", exact=True)


def test_other_engines_say_which_one_reads_the_file(tmp_path):
    with pytest.raises(UsageError) as caught:
        open_runner(converted(models.ssd(), tmp_path), "onnxruntime")
    assert "--engine litert" in caught.value.remedy


def test_without_the_package_the_engine_says_what_to_type(monkeypatch, tmp_path):
    artifact = converted(models.ssd(), tmp_path)
    monkeypatch.undo()
    if importlib.util.find_spec("ai_edge_litert"):
        pytest.skip("LiteRT is installed here")

    assert LitertEngine().availability().remedy == "pip install ai-edge-litert"
    with pytest.raises(MissingDependencyError, match="litert"):
        open_runner(artifact, "litert")
