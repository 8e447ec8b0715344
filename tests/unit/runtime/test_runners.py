"""Every engine behind the port, and the way to it."""

from __future__ import annotations

import importlib.metadata

import models
import pytest
from runner_contract import RunnerContract

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import MissingDependencyError, UsageError
from edgecv_cli.runtime.opening import ENGINES, find_engine, open_runner


class TestOnnxRuntime(RunnerContract):
    engine = "onnxruntime"

    def test_its_device_may_be_named(self, tmp_path):
        runner = open_runner(self.artifact(models.ssd(), tmp_path), "onnxruntime:CPU")

        assert runner.execution.device == "cpu"
        assert runner.execution.provider == "CPUExecutionProvider"

    def test_a_package_that_is_not_installed_is_named(self, tmp_path, monkeypatch):
        def missing(name):
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "version", missing)

        with pytest.raises(MissingDependencyError) as caught:
            open_runner(self.artifact(models.ssd(), tmp_path), self.engine)

        assert "pip install onnxruntime" in caught.value.remedy


def test_engines_have_names_of_their_own():
    names = [engine.name for engine in ENGINES]

    assert len(set(names)) == len(names)
    assert all(find_engine(name).name == name for name in names)


@pytest.mark.parametrize("name", ["abacus", "", "ONNXRUNTIME!", "onnxruntime2"])
def test_an_unknown_engine_is_refused_with_the_known_ones(name):
    with pytest.raises(UsageError) as caught:
        find_engine(name)

    assert caught.value.exit_code == 2
    assert "onnxruntime" in caught.value.remedy


def test_a_format_that_an_engine_does_not_read_is_refused(tmp_path):
    path = tmp_path / "model.engine"
    path.write_bytes(b"x")

    with pytest.raises(UsageError, match=r"does not read 'model\.engine'"):
        open_runner(Artifact(path, "tensorrt"), "onnxruntime")
