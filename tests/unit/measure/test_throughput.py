"""Several inferences in flight: what is made of the answers, and the service that gives them."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import models
import onnx
import pytest
from side_services import SideWorld

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import ChildFailureError, EngineError
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.side_child import row_request
from edgecv_cli.measure.throughput import measure_throughput
from edgecv_cli.measure.throughput_service import ThroughputService

MS = 1_000_000


def measured(world, *names, streams=2, seconds=5.0):
    return measure_throughput(
        [BenchRow(Path(f"{name}.onnx"), threads=2) for name in names],
        streams=streams,
        seconds=seconds,
        context=Context(),
        start=world.start,
    )


def steady(each_second, ms=20):
    def turn(name, payload):
        done = each_second * payload["seconds"]
        return {"inferences": done, "seconds": payload["seconds"], "ns": [ms * MS] * round(done)}

    return turn


def test_images_a_second_are_those_of_all_streams():
    world = SideWorld(steady(100), a={"inference_ns": 20 * MS, "images": 1, "streams": 2})

    (found,) = measured(world, "a")

    assert found.fps == pytest.approx(100)
    assert (found.interval.low, found.interval.high) == pytest.approx((100, 100))
    assert (found.p50_ms, found.p99_ms) == (20, 20)
    assert (found.streams, found.threads, found.turns, found.samples) == (2, 2, 10, 500)
    assert [payload["streams"] for _, method, payload in world.calls if method == "open"] == [2]


def test_a_batch_counts_as_its_images():
    world = SideWorld(steady(10), a={"inference_ns": 200 * MS, "images": 4, "streams": 2})

    assert measured(world, "a")[0].fps == pytest.approx(40)


def test_turns_that_differ_widen_the_interval():
    turns = count()

    def turn(name, payload):
        return steady(80 + 40 * (next(turns) % 2))(name, payload)

    world = SideWorld(turn, a={"inference_ns": 20 * MS, "streams": 2})

    (found,) = measured(world, "a", seconds=20)

    assert found.fps == pytest.approx(100)
    assert 90 < found.interval.low < 98 < 102 < found.interval.high < 110


def test_a_turn_of_a_slow_network_holds_a_few_inferences():
    opened = {"slow": {"inference_ns": 500 * MS}, "fast": {"inference_ns": 5 * MS}}
    world = SideWorld(steady(4), **opened)

    measured(world, "slow", "fast", seconds=20)

    assert {payload["seconds"] for payload in world.turns_of("slow")} == {2.0}
    assert {payload["seconds"] for payload in world.turns_of("fast")} == {2.0}
    assert len(world.turns_of("slow")) == 10


def test_a_row_that_crashes_says_so_beside_the_others():
    world = SideWorld(steady(4), a={"inference_ns": MS}, b={"inference_ns": MS})
    crash = ChildFailureError("it crashed", remedy="try", reason="crashed")
    world.failures["a", "turn"] = crash

    a, b = measured(world, "a", "b")

    assert a is crash
    assert b.fps == pytest.approx(4)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(models.yolov8(), path)
    return path


def opening(path, streams, **changes):
    return {**row_request(BenchRow(path, threads=1), 0), "streams": streams, **changes}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_turn_counts_what_ended_in_it(network, engine):
    service = ThroughputService()

    opened = service.call("open", opening(network, 2, engine=engine))
    answer = service.call("turn", {"seconds": 0.05})

    assert opened["inference_ns"] > 0
    assert (opened["images"], opened["streams"]) == (1, 2)
    assert answer["seconds"] == 0.05
    assert len(answer["ns"]) >= 2
    assert len(answer["ns"]) - 2 <= answer["inferences"] <= len(answer["ns"])


def test_a_query_is_answered_when_its_last_sample_is(network):
    service = ThroughputService()
    service.call("open", opening(network, 3))

    assert len(service.call("turn", {"queries": 4, "samples": 8})["ns"]) == 4


class Ticking:
    """A clock that moves by a millisecond each time that an inference runs."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now * MS

    def infer(self, feeds):
        self.now += 1
        return {"y": feeds["images"]}


def test_one_stream_runs_one_inference_after_the_other(network, monkeypatch):
    clock = Ticking()
    service = ThroughputService(clock)
    monkeypatch.setattr(
        "edgecv_cli.runtime.onnxruntime.OnnxRuntimeRunner.infer",
        lambda self, feeds: clock.infer(feeds),
    )

    opened = service.call("open", opening(network, 1))
    filled = service.call("turn", {"seconds": 0.010})
    asked = service.call("turn", {"queries": 3, "samples": 8})

    assert opened["inference_ns"] == MS
    assert filled == {"inferences": 10, "seconds": 0.010, "ns": [MS] * 10}
    assert asked == {"ns": [8 * MS] * 3}


def test_an_inference_that_outlasts_the_turn_counts_in_part(network, monkeypatch):
    clock = Ticking()
    service = ThroughputService(clock)
    monkeypatch.setattr(
        "edgecv_cli.runtime.onnxruntime.OnnxRuntimeRunner.infer",
        lambda self, feeds: clock.infer(feeds),
    )
    service.call("open", opening(network, 1))

    filled = service.call("turn", {"seconds": 0.0025})

    assert filled["inferences"] == 2.5
    assert filled["ns"] == [MS] * 3


def test_a_stream_that_begins_too_late_runs_once_and_counts_nothing(network, monkeypatch):
    clock = Ticking()
    service = ThroughputService(clock)
    monkeypatch.setattr(
        "edgecv_cli.runtime.onnxruntime.OnnxRuntimeRunner.infer",
        lambda self, feeds: clock.infer(feeds),
    )
    service.call("open", opening(network, 1))

    filled = service.call("turn", {"seconds": 0.0})

    assert filled == {"inferences": 0, "seconds": 0.0, "ns": [MS]}


def test_a_failure_in_a_stream_is_told(network, monkeypatch):
    service = ThroughputService()
    service.call("open", opening(network, 2))

    def fail(self):
        raise EngineError("no memory", remedy="buy some")

    monkeypatch.setattr("edgecv_cli.runtime.threaded_request.ThreadedRequest.run", fail)

    for turn in ({"seconds": 0.01}, {"queries": 1, "samples": 8}):
        with pytest.raises(EngineError, match="no memory"):
            service.call("turn", turn)


def test_the_service_refuses_what_it_can_not_do(tmp_path):
    onnx.save(models.yolov8(dynamic="size"), tmp_path / "open.onnx")
    service = ThroughputService()

    with pytest.raises(EngineError, match="no model is open"):
        service.call("turn", {"seconds": 1})
    with pytest.raises(ValueError, match="no method 'dance'"):
        service.call("dance", {})
    with pytest.raises(EngineError, match="size is open"):
        service.call("open", opening(tmp_path / "open.onnx", 1, input_size=[64, 64]))
