"""Engines of the TensorRT that tests/fake_tensorrt stands in for."""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from pathlib import Path

from edgecv_cli.graph.tensorrt.trtexec import BuildSettings
from edgecv_cli.runtime.carried import cuda_runtime
from edgecv_cli.runtime.tensorrt_build import Recipe
from edgecv_cli.runtime.tensorrt_service import TensorRtService

FOLDER = Path(__file__).with_name("fake_tensorrt")


@functools.cache
def library():
    """The stand-in, loaded without being imported by name."""
    spec = importlib.util.spec_from_file_location("tensorrt", FOLDER / "tensorrt.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(monkeypatch):
    """Have this process find the stand-in, and its CUDA runtime."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setitem(sys.modules, "tensorrt", library())
    monkeypatch.setattr(cuda_runtime, "_load", lambda: library().CUDART)
    return library()


def build(model, engine, *, shapes=(), generation="10", quantized=False, **more):
    """Build an engine of an ONNX model with the service that does so in a child."""
    onnx_file = engine.with_suffix(".onnx")
    onnx_file.write_bytes(model.SerializeToString())
    half, precision = more.pop("half", False), more.pop("precision", None)
    caches = {key: more.pop(key, None) for key in ("timing_cache", "save_timing_cache")}
    settings = BuildSettings(shapes=shapes, **more)
    recipe = Recipe(generation, quantized, half, precision, settings)
    plain = json.loads(json.dumps(recipe, default=vars))  # as it comes out of the channel
    payload = {"model": str(onnx_file), "engine": str(engine), "recipe": plain, **caches}
    return TensorRtService().call("build", payload)


def head(engine):
    """What the stand-in wrote down of a build."""
    return json.loads(engine.read_bytes().split(b"\n")[0].partition(b" ")[2])
