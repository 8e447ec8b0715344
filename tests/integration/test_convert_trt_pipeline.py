"""convert-trt as a step: a folder or a file, kept, found again and published under any name."""

from __future__ import annotations

import models
import onnx
import pytest

from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.pipeline.run import run_pipeline
from edgecv_cli.runtime.tensorrt_rtx_build import Built
from edgecv_cli.stages import convert_trt as stage

PIPELINE = """model: m.onnx
threads: 1
steps:
  - {id: engine, stage: convert-trt, compute_capability: "8.9", output: out/engine}
  - {id: file, stage: convert-trt, output: out/m.onnx, result: out/m.json}
  - {id: look, stage: convert-trt, check_only: true, trt_version: "10.3"}
"""


@pytest.fixture
def pipe(tmp_path, monkeypatch):
    """A model, a pipeline, and how often an engine was built."""
    built = []

    def build(_model, engine, capabilities, _context):
        built.append(capabilities)
        engine.write_bytes(b"engine")
        return Built("1.7", tuple(capabilities), (), 6, {"CONVOLUTION": 3})

    monkeypatch.setattr(stage, "build_engine", build)
    monkeypatch.setattr(stage, "require_builder", lambda: None)
    onnx.save(models.yolov8(), tmp_path / "m.onnx")
    (tmp_path / "p.yaml").write_text(PIPELINE)
    return tmp_path, built


def run(folder):
    return run_pipeline(RunConfig(pipeline=folder / "p.yaml", cache=folder / "cache"), Context())


def published(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def measured(file):
    return read_sidecar(file, sha256_file(file))


def test_a_folder_and_a_file_are_published_and_taken_from_the_cache_again(pipe):
    folder, built = pipe
    first = run(folder)
    made = published(folder / "out")
    again = run(folder)  # what stands there is what it would put there
    text = PIPELINE.replace("out/engine", "out/place").replace("out/m", "other/n")
    (folder / "p.yaml").write_text(text)
    moved = run(folder)

    assert set(made) == {
        *("engine/model.onnx", "engine/model.onnx.edgecv.json"),
        *("engine/model.engine", "engine/model.engine.edgecv.json"),
        *("m.onnx", "m.onnx.edgecv.json", "m.json"),
    }
    assert [step.status for step in first.steps] == ["done"] * 3
    assert [step.status for step in (*again.steps, *moved.steps)] == ["cached"] * 6
    assert built == [("8.9",)]
    assert (
        first.steps[0].summary == "TensorRT-RTX 1.7, no rule of level error broken, verified: built"
    )
    assert moved.steps[0].measurements["engine"]["path"] == "out/place/model.engine"
    assert moved.steps[1].measurements["saved"] == "other/n.onnx"


def test_sidecars_name_no_place_that_is_gone(pipe):
    folder, _ = pipe
    run(folder)
    beside = measured(folder / "out/engine/model.engine")
    assert (beside["model"], beside["saved"]) == ("m.onnx", "model.onnx")
    assert beside["engine"]["path"] == "model.engine"
    assert measured(folder / "out/m.onnx")["saved"] == "out/m.onnx"


def test_a_step_that_finds_errors_is_a_gate_that_is_not_met(pipe):
    folder, built = pipe
    onnx.save(models.yolov8(dynamic="size"), folder / "m.onnx")
    with pytest.raises(GateNotMetError, match=r"step engine: TensorRT-RTX 1\.7 would refuse"):
        run(folder)
    assert not built
    assert not (folder / "out" / "engine").exists()
