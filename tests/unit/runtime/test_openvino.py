"""OpenVINO behind the port: the contract, precisions, and what it says of itself."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os

import models
import numpy as np
import pytest
from runner_contract import RunnerContract

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import (
    EngineError,
    MissingDependencyError,
    OutputError,
    UsageError,
)
from edgecv_cli.runtime import openvino_cache
from edgecv_cli.runtime.opening import open_runner

HERE = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(
    not HERE, reason="the package openvino is not installed: pip install -e '.[openvino]'"
)


def saved(model, folder):
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return Artifact.open(path)


@needs_openvino
class TestOpenVino(RunnerContract):
    engine = "openvino"

    def test_its_device_and_precision_may_be_named(self, tmp_path):
        runner = open_runner(self.artifact(models.ssd(), tmp_path), "openvino:CPU:F32")

        assert runner.execution.device == "cpu"
        assert runner.execution.provider == "CPU"

    def test_it_says_what_its_layers_work_in(self, runner):
        counted, _, total = runner.execution.precision.partition(" of ")

        assert counted.startswith("f32 ")
        assert total.endswith(" layers")

    def test_a_precision_that_the_device_lacks_is_an_error_with_what_it_has(self, tmp_path):
        with pytest.raises(EngineError, match="no precision 'int3'") as caught:
            open_runner(self.artifact(models.ssd(), tmp_path), "openvino::int3")

        assert "openvino:cpu:f32" in caught.value.remedy

    @pytest.mark.parametrize("device", ["auto", "MULTI:CPU", "hetero"])
    def test_a_device_that_would_choose_for_itself_is_refused(self, tmp_path, device):
        with pytest.raises(EngineError):
            open_runner(self.artifact(models.ssd(), tmp_path), f"openvino:{device}")

    def test_outputs_of_one_run_outlive_the_next(self, runner):
        first = runner.infer({"images": self.image(1)})
        kept = {name: value.copy() for name, value in first.items()}
        runner.infer({"images": self.image(2)})

        for name, value in kept.items():
            np.testing.assert_array_equal(first[name], value)

    def test_an_input_that_is_not_contiguous_is_read_as_it_stands(self, runner):
        x = self.image(4)
        turned = np.asfortranarray(x)

        for name, value in runner.infer({"images": x}).items():
            np.testing.assert_array_equal(runner.infer({"images": turned})[name], value)


@needs_openvino
def test_the_model_cache_serves_the_next_start_and_a_broken_one_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    artifact = saved(models.ssd(), tmp_path)

    def opened(**options):
        runner = open_runner(artifact, "openvino", threads=1, **options)
        feeds = {one.name: np.full(one.shape, 0.5, one.dtype) for one in runner.inputs}
        found = runner.infer(feeds)
        runner.close()
        return runner.execution.from_cache, found

    plain, told = opened()
    assert plain is None
    assert not (tmp_path / "cache").exists()
    hits = []
    for _ in range(2):
        hit, found = opened(model_cache=True)
        hits.append(hit)
        for name, value in told.items():
            np.testing.assert_array_equal(found[name], value)
    assert hits == [False, True]
    (blob,) = (tmp_path / "cache" / "edgecv" / "openvino").iterdir()
    assert blob.parent.stat().st_mode & 0o077 == 0
    blob.write_bytes(blob.read_bytes()[: blob.stat().st_size // 2])
    assert opened(model_cache=True)[0] is False
    # Not for what is run as it is written: that is a switch of the plugin's own.
    assert opened(model_cache=True, exact=True)[0] is None


def test_the_model_cache_keeps_to_its_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(openvino_cache, "MOST_BYTES", 250)
    folder = openvino_cache.model_cache()
    for age, name in enumerate(("new", "old", "oldest")):
        (folder / name).write_bytes(bytes(100))
        os.utime(folder / name, ns=(10**18 - age, 10**18 - age))

    assert openvino_cache.model_cache() == folder

    assert sorted(path.name for path in folder.iterdir()) == ["new", "old"]


def test_a_model_cache_that_can_t_be_made_is_an_error_in_words(tmp_path, monkeypatch):
    (tmp_path / "edgecv").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(OutputError, match="model cache") as caught:
        openvino_cache.model_cache()

    assert "leave --model-cache out" in caught.value.remedy


@needs_openvino
class TestIr(RunnerContract):
    """The same contract for the model as convert-openvino writes it."""

    engine = "openvino"

    def artifact(self, model, folder):
        from edgecv_cli.runtime.openvino_convert import write_ir

        source = saved(model, folder)
        xml = folder / "model.xml"
        write_ir(source.path, xml, half=False, fold=True, shapes={}, entries={"edgecv.x": "<1>"})
        assert Artifact.open(xml).metadata["edgecv.x"] == "<1>"
        return Artifact.open(xml)

    def test_a_model_that_the_engine_refuses_is_an_engine_error(self, tmp_path):
        artifact = self.artifact(models.ssd(), tmp_path)
        text = artifact.path.read_text().replace('type="Convolution"', 'type="Contortion"')
        artifact.path.write_text(text)

        with pytest.raises(EngineError, match="can't load"):
            open_runner(artifact, self.engine)


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)

    with pytest.raises(MissingDependencyError) as caught:
        open_runner(saved(models.ssd(), tmp_path), "openvino")

    assert "pip install openvino" in caught.value.remedy


def test_a_format_that_another_engine_reads_names_that_engine(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text("<net/>")

    with pytest.raises(UsageError, match=r"does not read 'model\.xml'") as caught:
        open_runner(Artifact.open(path), "onnxruntime")

    assert "--engine openvino" in caught.value.remedy


def test_only_engines_with_precisions_take_one(tmp_path):
    with pytest.raises(EngineError, match="no precision 'bf16'") as caught:
        open_runner(saved(models.ssd(), tmp_path), "onnxruntime:cpu:bf16")

    assert "onnxruntime:cpu" in caught.value.remedy
