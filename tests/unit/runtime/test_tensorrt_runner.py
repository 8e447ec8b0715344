"""Classic TensorRT behind the port, over a stand-in that keeps its contract."""

import gc
import importlib.util
import json
import sys

import fake_engines
import models
import models_tensorrt as trt
import numpy as np
import pytest
from runner_contract import RunnerContract

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.engine_file import INTERFACE, interface_of
from edgecv_cli.artifact.lineage import SPEC_KEY
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.core.errors import EngineError, MissingDependencyError, ModelError, UsageError
from edgecv_cli.runtime.carried.engine_layers import weighted, worked
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.runtime.tensorrt_service import TensorRtService

BATCHES = (("images", ((1, 3, 64, 64), (1, 3, 64, 64), (4, 3, 64, 64))),)
SIZES = (("images", ((1, 3, 64, 64), (1, 3, 64, 96), (1, 3, 128, 128))),)


@pytest.fixture
def library(monkeypatch):
    return fake_engines.install(monkeypatch)


@pytest.fixture
def engine(library, tmp_path):
    path = tmp_path / "model.engine"
    fake_engines.build(models.ssd(), path)
    return Artifact.open(path)


@pytest.mark.usefixtures("library")
class TestTensorRt(RunnerContract):
    engine = "tensorrt"

    def artifact(self, model, folder):
        open_axes = [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim]
        shapes = SIZES if open_axes[2] else BATCHES if open_axes[0] else ()
        fake_engines.build(model, folder / "model.engine", shapes=shapes)
        return Artifact.open(folder / "model.engine")

    def test_a_model_that_the_engine_refuses_is_an_engine_error(self, tmp_path):
        artifact = self.artifact(models.ssd(), tmp_path)
        artifact.path.write_bytes(artifact.path.read_bytes()[5:])
        with pytest.raises(EngineError, match=r"does not load .*model\.engine") as caught:
            open_runner(artifact, self.engine)
        assert "convert-trt" in caught.value.remedy

    def test_the_engine_of_another_release_is_refused(self, tmp_path, monkeypatch, library):
        artifact = self.artifact(models.ssd(), tmp_path)
        monkeypatch.setattr(library, "__version__", "10.7.0")
        with pytest.raises(EngineError, match=r"TensorRT 10\.7\.0 does not load"):
            open_runner(artifact, self.engine)

    def test_outputs_of_one_run_outlive_the_next(self, runner):
        first = runner.infer({"images": self.image(1)})
        kept = {name: value.copy() for name, value in first.items()}
        runner.infer({"images": self.image(2)})
        for name, value in kept.items():
            np.testing.assert_array_equal(first[name], value)

    def test_more_pictures_than_it_was_built_for_are_an_error(self, tmp_path):
        artifact = self.artifact(models.yolov8(dynamic="batch"), tmp_path)
        runner = open_runner(artifact, self.engine)
        for count in (4, 1, 3):
            found = runner.infer({"images": self.image(0, (count, 3, 64, 64))})
            assert found["output0"].shape[0] == count
        with pytest.raises(EngineError, match="takes no images of") as caught:
            runner.infer({"images": self.image(0, (5, 3, 64, 64))})
        assert "--max-batch" in caught.value.remedy

    def test_a_request_that_runs_is_not_started_again(self, runner):
        (request,) = runner.requests(1)
        request.start()
        with pytest.raises(EngineError, match="still running"):
            request.start()
        request.wait()

    def test_no_answer_in_time_is_an_error_and_the_answer_still_comes(self, runner, monkeypatch):
        (request,) = runner.requests(1)
        monkeypatch.setattr(type(runner._cuda), "done", lambda *_: False)
        request.start()
        with pytest.raises(EngineError, match=r"no answer within 0\.001 s"):
            request.wait(0.001)
        request.wait()
        assert set(request.outputs) == {"boxes", "scores"}

    def test_everything_on_the_device_is_given_back(self, tmp_path, library):
        gc.collect()
        before = library.CUDART.held, len(library.CUDART.pinned)
        runner = open_runner(self.artifact(models.ssd(), tmp_path), self.engine)
        requests = runner.requests(2)
        requests[0].run()
        runner.infer({"images": self.image()})
        assert library.CUDART.held > before[0]
        assert len(library.CUDART.pinned) == before[1] + 2
        runner.close()
        del requests
        gc.collect()
        assert (library.CUDART.held, len(library.CUDART.pinned)) == before

    def test_the_precision_is_not_chosen_when_it_is_opened(self, tmp_path):
        with pytest.raises(EngineError, match="no precision 'fp16'"):
            open_runner(self.artifact(models.ssd(), tmp_path), "tensorrt::fp16")


def test_a_machine_without_a_gpu_is_told(engine, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "0")
    with pytest.raises(EngineError, match="finds no GPU"):
        open_runner(engine, "tensorrt")


def test_a_failure_of_cuda_is_put_into_words(engine, library, monkeypatch):
    monkeypatch.setattr(library.CUDART, "cudaMalloc", _refusing(library.CUDART.cudaMalloc))
    runner = open_runner(engine, "tensorrt")
    with pytest.raises(EngineError, match=r"cudaMalloc: no luck \(2\)"):
        runner.infer({"images": np.zeros((1, 3, 64, 64), np.float32)})


def _refusing(function):
    return type(function)(lambda *_: 2)


def test_without_the_library_the_package_is_named(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingDependencyError) as caught:
        open_runner(engine, "tensorrt")
    assert "pip install tensorrt" in caught.value.remedy


def test_an_onnx_file_is_not_run_by_it(tmp_path, library):
    (tmp_path / "model.onnx").write_bytes(models.ssd().SerializeToString())
    with pytest.raises(UsageError, match="does not read"):
        open_runner(Artifact.open(tmp_path / "model.onnx"), "tensorrt")


def test_int8_layers_are_counted_and_those_that_are_not_are_named(tmp_path, library, monkeypatch):
    path = tmp_path / "model.engine"
    fake_engines.build(trt.layer(), path, quantized=True)
    meant = ["conv"]
    runner = open_runner(Artifact.open(path), "tensorrt")
    assert runner.execution.precision == "int8 1 of 1 layers"
    assert runner.floats_instead(meant) is None

    monkeypatch.setenv("FAKE_TENSORRT_FAULT", "float")
    wrong = open_runner(Artifact.open(path), "tensorrt")
    assert wrong.execution.precision == "fp32 1 of 1 layers"
    assert "1 of 1 layers meant for int8 run in float" in wrong.floats_instead(meant)

    monkeypatch.setenv("FAKE_TENSORRT_FAULT", "names")
    silent = open_runner(Artifact.open(path), "tensorrt")
    assert silent.execution.precision == "unknown"
    assert "does not say" in silent.floats_instead(meant)


LAYERS = [
    {"Name": "Reformatting CopyNode for Input Tensor 0 to a", "LayerType": "Reformat"},
    {
        "Name": "a + relu_1",
        "LayerType": "CaskConvolution",
        "Inputs": [
            {"Name": "x", "Format/Datatype": "Thirty-two wide channel vectorized row major Int8"}
        ],
    },
    {
        "Name": "fused",
        "LayerType": "fusion",
        "Metadata": "[ONNX Layer: b]\x1f[ONNX Layer: c]",
        "Inputs": [{"Name": "y", "Format/Datatype": "Half"}],
    },
    {
        "Name": "d",
        "LayerType": "gemm",
        "Inputs": [{"Name": "z", "Format/Datatype": "N/A due to dynamic shapes"}],
        "TacticName": "sm80_xmma_fprop_implicit_gemm_indexed_i8i8_i8i32_f32",
    },
    {
        "Name": "e",
        "LayerType": "CaskConvolution",
        "Inputs": [{"Name": "z", "Format/Datatype": "N/A due to dynamic shapes"}],
    },
]


def test_what_layers_work_in_is_read_from_their_inputs_or_their_kernel():
    seen = worked(json.dumps({"Layers": LAYERS}), ["a", "b", "d", "e", "gone"])
    assert seen.counts == {"int8": 2, "fp16": 1}
    assert (seen.hidden, seen.missing) == (("e",), ("gone",))
    assert seen.share("int8") == pytest.approx(2 / 3)
    assert weighted(json.dumps({"Layers": LAYERS})) == {"int8": 2}


@pytest.mark.parametrize("text", ["{}", "[]", '{"Layers": 3}', "not JSON"])
def test_what_is_no_answer_of_the_inspector_is_an_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own is one
        worked(text, ["a"])


@pytest.mark.usefixtures("library")
class TestBuilding:
    def test_the_settings_reach_the_builder(self, tmp_path):
        cache = tmp_path / "timing.cache"
        cache.write_bytes(b"learnt 10.3.0")
        path = tmp_path / "model.engine"
        answer = fake_engines.build(
            models.yolov8(dynamic="batch"),
            path,
            shapes=BATCHES,
            workspace_mb=64,
            level=5,
            version_compatible=True,
            hardware="ampere+",
            precision="fp16",
            timing_cache=str(cache),
            save_timing_cache=str(tmp_path / "saved.cache"),
        )
        assert answer["refused"] == []
        assert answer["size"] == path.stat().st_size
        assert answer["layers"]["CONVOLUTION"] > 0
        said = fake_engines.head(path)
        assert said["config"] == {
            "flags": ["BuilderFlag.FP16", "BuilderFlag.VERSION_COMPATIBLE"],
            "pools": {"MemoryPoolType.WORKSPACE": 64 * 2**20},
            "level": 5,
            "hardware": "HardwareCompatibilityLevel.AMPERE_PLUS",
            "verbosity": "ProfilingVerbosity.DETAILED",
            "cache": "learnt 10.3.0",
        }
        assert said["profile"]["images"][2] == [4, 3, 64, 64]
        assert (tmp_path / "saved.cache").read_bytes() == b"learnt 10.3.0"

    @pytest.mark.parametrize(
        ("generation", "quantized", "precision", "flags"),
        [
            ("8.6", True, None, ["BuilderFlag.FP16", "BuilderFlag.INT8"]),
            ("8.6", False, "fp16", ["BuilderFlag.FP16"]),
            ("10", True, None, []),
            ("10", False, "fp16", ["BuilderFlag.FP16"]),
            ("10", False, None, []),
            ("11", False, "fp16", []),
        ],
    )
    def test_precision_comes_from_flags_or_from_the_graph(
        self, tmp_path, generation, quantized, precision, flags
    ):
        path = tmp_path / "model.engine"
        options = {"generation": generation, "quantized": quantized, "precision": precision}
        fake_engines.build(trt.layer(), path, **options)
        assert fake_engines.head(path)["config"]["flags"] == flags

    def test_the_timing_cache_of_another_release_is_begun_anew(self, tmp_path):
        (tmp_path / "old").write_bytes(b"learnt 8.6.1")
        path = tmp_path / "model.engine"
        fake_engines.build(models.ssd(), path, timing_cache=str(tmp_path / "old"))
        assert fake_engines.head(path)["config"]["cache"] == ""

    def test_what_is_refused_is_said_in_the_librarys_words(self, tmp_path, monkeypatch):
        model = models.ssd()
        model.graph.node[0].domain = "nobody.knows"
        answer = fake_engines.build(model, tmp_path / "a.engine")
        assert answer["refused"][0]["problem"].startswith("No importer for")
        monkeypatch.setenv("FAKE_TENSORRT_FAULT", "unbuilt")
        answer = fake_engines.build(models.ssd(), tmp_path / "b.engine")
        assert answer["refused"] == [{"node": "", "problem": "no kernel for this"}]
        assert not list(tmp_path.glob("*.engine"))

    def test_it_says_which_release_and_how_many_gpus(self, monkeypatch):
        assert TensorRtService().call("version", {}) == {"version": "10.3.0", "devices": 1}
        monkeypatch.setenv("FAKE_CUDA_DEVICES", "0")
        assert TensorRtService().call("version", {})["devices"] == 0


class TestEngineFile:
    """What an engine is known by: its sidecar."""

    def written(self, tmp_path, **changes):
        (tmp_path / "model.onnx").write_bytes(models.ssd().SerializeToString())
        source = Artifact.open(tmp_path / "model.onnx")
        engine = tmp_path / "model.engine"
        engine.write_bytes(b"engine")
        spec = source.detector().spec.dumps()
        about = {"spec": spec, "provenance": [], INTERFACE: interface_of(source.facts())}
        sha256 = Artifact.open(engine).sha256
        sidecar_path(engine).write_text(sidecar_text(sha256, {**about, **changes}))
        return source, Artifact.open(engine)

    def test_it_keeps_the_detector_of_the_model(self, tmp_path):
        source, engine = self.written(tmp_path)
        assert engine.detector().spec == source.detector().spec
        assert engine.facts().inputs == source.facts().inputs
        assert engine.facts().parameters == source.facts().parameters
        assert SPEC_KEY in engine.metadata
        assert engine.lineage == ()
        assert engine.content_digest == engine.sha256

    @pytest.mark.parametrize("broken", [None, {}, {"inputs": []}, "text"])
    def test_a_sidecar_that_says_too_little_is_refused(self, tmp_path, broken):
        _, engine = self.written(tmp_path, **{INTERFACE: broken})
        with pytest.raises(ModelError, match="does not say what the engine takes"):
            engine.facts()

    def test_without_its_sidecar_it_is_unknown(self, tmp_path):
        _, engine = self.written(tmp_path)
        sidecar_path(engine.path).unlink()
        with pytest.raises(ModelError, match="says nothing of itself"):
            engine.facts()

    def test_another_files_sidecar_is_refused(self, tmp_path):
        _, engine = self.written(tmp_path)
        engine.path.write_bytes(b"another")
        with pytest.raises(ModelError, match="another file"):
            Artifact.open(engine.path).facts()

    def test_the_engine_of_tensorrt_rtx_is_not_loaded(self, tmp_path, library):
        _, engine = self.written(tmp_path, engine={"runtime": "TensorRT-RTX 1.7"})
        with pytest.raises(EngineError, match="built by TensorRT-RTX"):
            open_runner(engine, "tensorrt")


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is None, reason="TensorRT and a GPU are not here"
)
def test_the_real_library_builds_and_runs(tmp_path):
    if not TensorRtService().call("version", {})["devices"]:
        pytest.skip("no GPU is here")
    path = tmp_path / "model.engine"
    fake_engines.build(models.ssd(), path)
    runner = open_runner(Artifact.open(path), "tensorrt")
    assert np.isfinite(runner.infer({"images": RunnerContract.image()})["scores"]).all()
