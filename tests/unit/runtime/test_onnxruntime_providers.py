"""ONNX Runtime on a GPU: what a package offers, what a session is told, and no silent fallback."""

import importlib.util
from types import SimpleNamespace

import models
import models_tensorrt as trt
import onnx
import onnxruntime as ort
import pytest

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError
from edgecv_cli.runtime.opening import find_engine, open_runner

CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the libraries of both providers; what its sessions were told."""
    capi = tmp_path / "onnxruntime" / "capi"
    capi.mkdir(parents=True)
    for name in ("cuda", "tensorrt", "shared"):
        (capi / f"libonnxruntime_providers_{name}.so").write_bytes(b"")
    found = SimpleNamespace(origin=str(capi.parent / "__init__.py"))
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "onnxruntime" else real(name)
    )
    told = SimpleNamespace(providers=None, runs_on=None)
    session = ort.InferenceSession

    def opened(source, settings, providers):
        told.providers = providers
        made = session(source, settings, providers=[CPU])
        names = [one if isinstance(one, str) else one[0] for one in providers]
        monkeypatch.setattr(made, "get_providers", lambda: told.runs_on or [*names, CPU])
        return made

    monkeypatch.setattr(ort, "InferenceSession", opened)
    return told


def quantized():
    return onnx.shape_inference.infer_shapes(trt.layer())


def saved(model, folder):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return Artifact.open(path)


def test_the_package_says_which_devices_it_was_built_for(package):
    assert find_engine("onnxruntime").availability().devices == ("cpu", "cuda", "tensorrt")


def test_cuda_is_asked_for_and_named(tmp_path, package):
    runner = open_runner(saved(models.ssd(), tmp_path), "onnxruntime:cuda")
    assert package.providers == [CUDA]
    assert (runner.execution.provider, runner.execution.device) == (CUDA, "cuda")


@pytest.mark.parametrize(
    ("model", "engine", "settings"),
    [
        (models.ssd, "onnxruntime:tensorrt", (False, False)),
        (models.ssd, "onnxruntime:tensorrt:fp16", (False, True)),
        (quantized, "onnxruntime:TensorRT", (True, False)),
    ],
)
def test_tensorrt_is_told_the_precision(tmp_path, package, model, engine, settings):
    runner = open_runner(saved(model(), tmp_path), engine)
    whole, half = settings
    told = {"trt_int8_enable": whole, "trt_fp16_enable": half}
    assert package.providers == [(TENSORRT, told)]
    assert runner.execution.provider == TENSORRT


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_that_cannot_be_used_is_an_error_and_not_the_cpu(tmp_path, package, device):
    package.runs_on = [CPU]
    with pytest.raises(EngineError, match=f"on {CPU}, not on {device} as asked") as refused:
        open_runner(saved(models.ssd(), tmp_path), f"onnxruntime:{device}")
    assert "onnxruntime:cpu" in refused.value.remedy


@pytest.mark.parametrize("engine", ["onnxruntime:cuda:fp16", "onnxruntime:tensorrt:int8"])
def test_other_precisions_are_the_files_own(tmp_path, package, engine):
    with pytest.raises(EngineError, match="no precision"):
        open_runner(saved(models.ssd(), tmp_path), engine)
    assert package.providers is None


def test_a_package_without_a_gpu_offers_none(tmp_path):
    assert find_engine("onnxruntime").availability().devices == ("cpu",)
    with pytest.raises(EngineError, match="no device 'cuda'") as refused:
        open_runner(saved(models.ssd(), tmp_path), "onnxruntime:cuda")
    assert "onnxruntime-gpu" in refused.value.remedy
