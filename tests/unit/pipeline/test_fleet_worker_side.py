"""A worker and its host, in one process: requests, files, jobs, and ends of either side."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest
from fleet_worker import MadeUp

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import DeviceError, InterruptedByUser
from edgecv_cli.core.version import __version__
from edgecv_cli.pipeline.fleet import worker as module
from edgecv_cli.pipeline.fleet.functions import JobFunction
from edgecv_cli.pipeline.fleet.job import PROTOCOL
from edgecv_cli.pipeline.fleet.turn import measuring_alone
from edgecv_cli.pipeline.fleet.wire import Wire, WireClosedError
from edgecv_cli.pipeline.fleet.worker import Worker

MODEL = b"a model"
SHA = hashlib.sha256(MODEL).hexdigest()
FILE = {"name": "m.onnx", "sha256": SHA, "size_bytes": len(MODEL)}
JOB = {
    "function": "benchmark",
    "arguments": {},
    "parcels": [{"field": "models", "shown": "my/m.onnx", "files": [FILE]}],
}


class Host:
    """Speaks with a worker that serves in a thread."""

    def __init__(self, home, run):
        to_worker, to_host = os.pipe(), os.pipe()
        self._mine = [to_worker[1], to_host[0]]
        self.wire = Wire(to_host[0], to_worker[1])
        functions = (JobFunction("benchmark", BenchmarkConfig, run),)
        worker = Worker(Wire(to_worker[0], to_host[1]), home, functions, home)

        def serve():
            worker.serve()
            os.close(to_worker[0])
            os.close(to_host[1])

        self.thread = threading.Thread(target=serve)
        self.thread.start()
        self.await_(self.wire.find_greeting)
        self.hello = self.reply()["ok"]

    def await_(self, step):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if found := step():
                return found
        raise AssertionError("nothing came")

    def reply(self):
        while True:
            message = self.await_(self.wire.receive)
            if "state" not in message:
                return message

    def ask(self, **message):
        self.wire.send(message)
        return self.reply()

    def put(self, content=MODEL, sha=SHA):
        assert self.ask(do="put", sha256=sha, size_bytes=len(content)) == {"ok": {"send": True}}
        self.wire.send_bytes(content)
        return self.reply()

    def hang_up(self):
        for descriptor in self._mine:
            os.close(descriptor)
        self._mine = []
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def host(tmp_path):
    hosts = []

    def start(run=lambda config, context: MadeUp(config)):
        hosts.append(Host(tmp_path, run))
        return hosts[-1]

    yield start
    for one in hosts:
        one.hang_up()


def test_a_worker_says_who_it_is(host):
    hello = host().hello
    assert (hello["protocol"], hello["edgecv"]) == (PROTOCOL, __version__)
    assert hello["machine"]["cores"] >= 1


def test_a_file_is_sent_once_and_a_job_uses_it(host):
    one = host()
    assert one.ask(do="have", files=[SHA]) == {"ok": {"have": []}}
    assert one.put() == {"ok": {}}
    assert one.ask(do="have", files=[SHA, "0" * 64]) == {"ok": {"have": [SHA]}}

    result = one.ask(do="run", job=JOB)["ok"]

    assert result["runs"][0]["model"] == "my/m.onnx"
    assert result["runs"][0]["p50_ms"] == len(MODEL) / 1e3


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"do": "rm"}, "does not know"),
        ({"do": "put", "sha256": "../../x", "size_bytes": 1}, "no sha256"),
        ({"do": "put", "sha256": SHA, "size_bytes": 2**60}, "more than a device takes"),
        ({"do": "run"}, "no job"),
        ({"do": "run", "job": {"function": "benchmark"}}, "no job"),
        ({"do": "run", "job": {**JOB, "function": "os.system"}}, "can't do 'os.system'"),
        ({"do": "run", "job": JOB}, "not on this device"),
    ],
)
def test_what_can_not_be_done_is_said_and_the_worker_goes_on(host, message, problem):
    one = host()
    error = one.ask(**message)["error"]
    assert problem in error["problem"]
    assert error["remedy"]
    assert one.put() == {"ok": {}}


def test_a_damaged_file_is_refused_and_the_worker_goes_on(host):
    one = host()
    assert "damaged" in one.put(b"b model")["error"]["problem"]
    assert one.put() == {"ok": {}}


def test_a_bug_in_a_job_is_told_and_the_worker_goes_on(host):
    def run(config, context):
        raise ZeroDivisionError("surprise")

    one = host(run)
    one.put()
    for _ in range(2):
        error = one.ask(do="run", job=JOB)["error"]
        assert "ZeroDivisionError: surprise" in error["problem"]


def test_progress_and_notes_travel(host, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.0)
    release = threading.Event()

    def run(config, context):
        with context.progress.task("benchmark", 9, "round") as task:
            task.advance(4)
            context.progress.note("be warned")
            release.wait(20)
        return MadeUp(config)

    one = host(run)
    one.put()
    one.wire.send({"do": "run", "job": JOB})
    states, notes = [], []
    while "benchmark 4/9 rounds" not in states or not notes:
        message = one.await_(one.wire.receive)
        states.append(message["state"])
        notes += message["notes"]
    assert notes == ["be warned"]
    assert "runs already" in one.ask(do="run", job=JOB)["error"]["problem"]
    release.set()
    assert "ok" in one.reply()


def waiting_job(ended):
    def run(config, context):
        try:
            while True:
                context.cancel.check()
                time.sleep(0.01)
        except InterruptedByUser:
            ended.set()
            raise

    return run


def test_a_host_that_hangs_up_ends_the_job(host, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.0)
    ended = threading.Event()
    one = host(waiting_job(ended))
    one.put()
    one.wire.send({"do": "run", "job": JOB})
    one.await_(one.wire.receive)

    one.hang_up()

    assert ended.is_set()


def test_a_host_that_falls_silent_ends_the_job(host, monkeypatch):
    ended = threading.Event()
    one = host(waiting_job(ended))
    one.put()
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.3)
    one.wire.send({"do": "run", "job": JOB})

    one.thread.join(20)

    assert ended.is_set()
    with pytest.raises(WireClosedError):
        one.await_(lambda: one.wire.receive() and None)


def test_a_host_that_says_it_lives_is_waited_for(host, monkeypatch):
    release = threading.Event()
    one = host(lambda config, context: release.wait(20) and MadeUp(config))
    one.put()
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.6)
    one.wire.send({"do": "run", "job": JOB})
    until = time.monotonic() + 0.9
    while time.monotonic() < until:
        one.wire.send({"do": "alive"})
        time.sleep(0.05)
    release.set()
    assert "ok" in one.reply()


def hold(home, seconds=0.0, waiting=lambda: None, cancel=None):
    cancel = cancel or Cancel()
    return measuring_alone(place=home, wait_seconds=seconds, cancel=cancel, waiting=waiting)


def test_two_do_not_measure_at_once(tmp_path):
    told = []
    with hold(tmp_path):
        with (
            pytest.raises(DeviceError, match="something else is being measured"),
            hold(tmp_path, waiting=lambda: told.append(1)),
        ):
            pass
        cancel = Cancel()
        cancel.set()
        with pytest.raises(InterruptedByUser), hold(tmp_path, 60, cancel=cancel):
            pass
    assert told == [1]
    with hold(tmp_path):
        pass


def test_the_next_one_begins_when_the_turn_is_over(tmp_path):
    order = []
    waits = threading.Event()

    def second():
        with hold(tmp_path, 20, waits.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with hold(tmp_path):
        thread.start()
        assert waits.wait(20)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
