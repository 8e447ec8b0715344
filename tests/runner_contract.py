"""What every engine must do behind the Runner port; subclassed once per engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import models
import numpy as np
import onnx
import pytest

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.core.errors import EngineError
from edgecv_cli.runtime.base import Engine, EngineOptions
from edgecv_cli.runtime.opening import find_engine, open_runner


class RunnerContract:
    """Subclasses name the engine, and may turn the ONNX model into a format of theirs.

    Attributes:
        engine: as ``--engine`` takes it, without a device.
        tolerance: how far outputs may lie from ONNX's reference evaluator.
    """

    engine: str
    tolerance = 1e-4

    def artifact(self, model: onnx.ModelProto, folder: Path) -> Artifact:
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return Artifact.open(path)

    @pytest.fixture
    def runner(self, tmp_path):
        runner = open_runner(self.artifact(models.ssd(), tmp_path), self.engine, threads=1)
        yield runner
        runner.close()

    @staticmethod
    def image(seed=0, shape=(1, 3, 64, 64)):
        return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)

    def test_the_engine_says_what_it_is(self):
        engine: Engine = find_engine(self.engine)
        availability = engine.availability()

        assert engine.name == self.engine
        assert engine.formats
        assert availability.available
        assert availability.version
        assert availability.devices

    def test_inputs_and_outputs_are_as_declared(self, runner):
        assert [str(spec) for spec in runner.inputs] == ["images float32 [1,3,64,64]"]
        assert {spec.name for spec in runner.outputs} == {"boxes", "scores"}
        assert all(spec.is_static and spec.dtype == "float32" for spec in runner.outputs)

    def test_execution_is_what_was_seen(self, runner):
        assert runner.execution.engine == self.engine
        assert runner.execution.version
        assert runner.execution.provider
        assert runner.execution.device

    def test_every_output_comes_back_by_name(self, runner):
        outputs = runner.infer({"images": self.image()})

        assert {name: value.shape for name, value in outputs.items()} == {
            spec.name: spec.shape for spec in runner.outputs
        }
        assert all(np.isfinite(value).all() for value in outputs.values())

    def test_numbers_agree_with_the_definition_of_the_operators(self, runner):
        from onnx.reference import ReferenceEvaluator

        x = self.image(3)
        names = [value.name for value in models.ssd().graph.output]
        wanted = ReferenceEvaluator(models.ssd()).run(None, {"images": x})

        found = runner.infer({"images": x})
        for name, value in zip(names, wanted, strict=True):
            np.testing.assert_allclose(found[name], value, atol=self.tolerance)

    def test_the_same_input_gives_the_same_output(self, runner):
        first = {key: value.copy() for key, value in runner.infer({"images": self.image()}).items()}
        runner.infer({"images": self.image(1)})
        again = runner.infer({"images": self.image()})

        for name, value in first.items():
            np.testing.assert_array_equal(again[name], value)

    @pytest.mark.parametrize(
        "feeds",
        [
            {},
            {"wrong": np.zeros((1, 3, 64, 64), np.float32)},
            {"images": np.zeros((1, 3, 64, 32), np.float32)},
            {"images": np.zeros((2, 3, 64, 64), np.float32)},
            {"images": np.zeros((3, 64, 64), np.float32)},
            {"images": np.zeros((1, 3, 64, 64), np.float64)},
            {"images": np.zeros((1, 3, 64, 64), np.uint8)},
        ],
    )
    def test_a_wrong_feed_is_an_engine_error(self, runner, feeds):
        with pytest.raises(EngineError) as caught:
            runner.infer(feeds)

        assert caught.value.remedy
        assert "\n" not in caught.value.problem

    def test_requests_own_their_buffers(self, runner):
        one, two = runner.requests(2)
        one.inputs["images"][:] = self.image(1)
        two.inputs["images"][:] = self.image(2)

        for request in (one, two):
            request.start()
        for request in (two, one):
            request.wait()

        for seed, request in ((1, one), (2, two)):
            wanted = runner.infer({"images": self.image(seed)})
            for name, value in wanted.items():
                np.testing.assert_array_equal(request.outputs[name], value)
            np.testing.assert_array_equal(request.inputs["images"], self.image(seed))

    def test_a_request_can_run_again(self, runner):
        (request,) = runner.requests(1)
        for seed in (1, 2, 1):
            request.inputs["images"][:] = self.image(seed)
            request.start()
            request.wait(10.0)
            wanted = runner.infer({"images": self.image(seed)})
            np.testing.assert_array_equal(request.outputs["scores"], wanted["scores"])

    def test_requests_of_several_threads_do_not_mix(self, tmp_path):
        artifact = self.artifact(models.ssd(), tmp_path)
        runner = open_runner(artifact, self.engine, threads=2, streams=3)
        wanted = [runner.infer({"images": self.image(seed)})["scores"].copy() for seed in range(3)]

        def runs(seed, request):
            request.inputs["images"][:] = self.image(seed)
            for _ in range(20):
                request.run()
                np.testing.assert_allclose(
                    request.outputs["scores"], wanted[seed], atol=self.tolerance
                )

        with ThreadPoolExecutor(3) as threads:
            for done in [threads.submit(runs, *one) for one in enumerate(runner.requests(3))]:
                done.result()
        runner.close()

    def test_a_request_that_runs_while_the_runner_is_closed_ends(self, tmp_path):
        runner = open_runner(self.artifact(models.ssd(), tmp_path), self.engine)
        (request,) = runner.requests(1)
        request.start()
        runner.close()
        with suppress(EngineError):  # it may not have begun
            request.wait(30)
            assert set(request.outputs) == {"boxes", "scores"}

    def test_an_open_batch_is_one_in_a_request(self, tmp_path):
        runner = open_runner(self.artifact(models.yolov8(dynamic="batch"), tmp_path), self.engine)

        assert runner.inputs[0].shape == (None, 3, 64, 64)
        assert runner.requests(1)[0].inputs["images"].shape == (1, 3, 64, 64)
        two = runner.infer({"images": self.image(0, (2, 3, 64, 64))})["output0"]
        assert two.shape[0] == 2
        runner.close()

    def test_an_open_size_has_no_requests(self, tmp_path):
        runner = open_runner(self.artifact(models.yolov8(dynamic="size"), tmp_path), self.engine)

        with pytest.raises(EngineError, match="open"):
            runner.requests(1)
        assert runner.infer({"images": self.image(0, (1, 3, 64, 96))})["output0"].shape[2] > 0
        runner.close()

    def test_closing_twice_is_closing_once_and_a_closed_runner_says_so(self, tmp_path):
        runner = open_runner(self.artifact(models.ssd(), tmp_path), self.engine)
        runner.close()
        runner.close()

        with pytest.raises(EngineError, match="closed"):
            runner.infer({"images": self.image()})

    def test_a_device_that_is_not_there_is_an_error_with_a_remedy(self, tmp_path):
        with pytest.raises(EngineError, match="no device 'abacus'") as caught:
            open_runner(self.artifact(models.ssd(), tmp_path), f"{self.engine}:abacus")

        assert "--engine" in caught.value.remedy

    def test_a_model_that_the_engine_refuses_is_an_engine_error(self, tmp_path):
        model = models.ssd()
        model.graph.node[0].domain = "nobody.knows"
        model.opset_import.add(domain="nobody.knows", version=1)

        with pytest.raises(EngineError) as caught:
            open_runner(self.artifact(model, tmp_path), self.engine)

        assert "model.onnx" in caught.value.problem
        assert caught.value.remedy

    @pytest.mark.parametrize("threads", [None, 1, 2])
    def test_thread_counts_change_no_numbers(self, tmp_path, threads):
        artifact = self.artifact(models.ssd(), tmp_path)
        runner = open_runner(artifact, self.engine, threads=threads)
        single = open_runner(artifact, self.engine, threads=1)

        for name, value in single.infer({"images": self.image()}).items():
            np.testing.assert_allclose(
                runner.infer({"images": self.image()})[name], value, atol=self.tolerance
            )
        assert find_engine(self.engine).open(artifact, EngineOptions(spinning=True)).inputs
