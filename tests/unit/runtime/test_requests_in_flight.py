"""Requests whose inference is held up, so that what happens meanwhile can be seen."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edgecv_cli.core.errors import EngineError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.runtime.openvino import OpenVinoRequest
from edgecv_cli.runtime.threaded_request import ThreadedRequest

INPUT = TensorSpec("x", (1, 2), "float32")


class HeldUp:
    """A runner that doubles its input once it is let go."""

    inputs = (INPUT,)

    def __init__(self):
        self.go = threading.Event()
        self.thread = None
        self.error = None

    def infer(self, feeds):
        self.go.wait(10)
        self.thread = threading.get_ident()
        if self.error is not None:
            raise self.error
        return {"y": 2 * feeds["x"]}


def request_of(runner):
    return ThreadedRequest(runner.infer, runner.inputs, "the engine")


@pytest.fixture
def runner():
    runner = HeldUp()
    yield runner
    runner.go.set()


def test_starting_does_not_wait(runner):
    request = request_of(runner)
    request.inputs["x"][:] = 3

    request.start()
    assert runner.thread is None
    runner.go.set()
    request.wait()

    np.testing.assert_array_equal(request.outputs["y"], [[6, 6]])
    assert runner.thread != threading.get_ident()


def test_two_requests_are_in_flight_at_once():
    together = threading.Barrier(2, timeout=10)

    class Meeting(HeldUp):
        def infer(self, feeds):
            together.wait()
            return {"y": feeds["x"].copy()}

    requests = [request_of(Meeting()) for _ in range(2)]
    for request in requests:
        request.start()
    for request in requests:
        request.wait(10)

    assert all(request.outputs for request in requests)


def test_outputs_are_those_of_the_last_wait_until_the_next(runner):
    runner.go.set()
    request = request_of(runner)
    request.wait()
    assert request.outputs == {}
    request.inputs["x"][:] = 1
    request.start()
    request.wait()
    first = request.outputs["y"]
    request.inputs["x"][:] = 5

    np.testing.assert_array_equal(first, [[2, 2]])
    request.wait()
    np.testing.assert_array_equal(request.outputs["y"], [[2, 2]])


def test_a_failure_is_told_to_who_waits_and_the_request_can_run_again(runner):
    request = request_of(runner)
    runner.error = EngineError("no memory", remedy="buy some")
    runner.go.set()

    request.start()
    with pytest.raises(EngineError, match="no memory"):
        request.wait()
    runner.error = None
    request.run()

    assert set(request.outputs) == {"y"}


def test_waiting_has_an_end_and_may_go_on(runner):
    request = request_of(runner)
    request.start()

    with pytest.raises(EngineError, match=r"no answer within 0\.01 s"):
        request.wait(0.01)
    runner.go.set()
    request.wait(10)

    assert set(request.outputs) == {"y"}


def test_a_running_request_is_not_started_again(runner):
    request = request_of(runner)
    request.start()

    for again in (request.start, request.run):
        with pytest.raises(EngineError, match="still running"):
            again()
    runner.go.set()
    request.wait(10)


def test_running_stays_in_the_calling_thread(runner):
    runner.go.set()
    request = request_of(runner)
    request.run()

    assert runner.thread == threading.get_ident()


def test_openvino_says_that_a_request_is_still_running():
    class Busy:
        def set_input_tensor(self, place, tensor):
            pass

        def start_async(self):
            raise RuntimeError("Exception from src/x.cpp:1: Infer Request is busy")

    request = OpenVinoRequest(Busy(), (INPUT,), (), lambda buffer, shared_memory: buffer)
    for again in (request.start, request.run):
        with pytest.raises(EngineError, match="still running") as caught:
            again()
        assert caught.value.remedy == "wait for it first"
