"""A fleet of dask workers on this machine: one answers, one dies, others are refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading

import pytest
from command_line import environment
from fleet_worker import until
from models import yolov8

pytest.importorskip("distributed", reason="distributed is not installed here")

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.pipeline.fleet.benchmark import benchmark_fleet

# A dask of other versions or on a busy machine may warn; only the answers are judged here.
pytestmark = pytest.mark.filterwarnings("ignore")


def certificate(folder):
    """Make a certificate that is its own authority, and its key, in ``me.pem`` and ``key.pem``."""
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    out = ["-keyout", folder / "key.pem", "-out", folder / "me.pem", "-subj", "/CN=edgecv"]
    subprocess.run(["openssl", *made, *out], check=True, capture_output=True, timeout=60)


class Cluster:
    """A scheduler, and workers that can be killed, each with a cache of its own.

    They speak TLS where openssl is there to make the certificates, else plain TCP.
    """

    def __init__(self, folder):
        self._folder = folder
        self._processes = []
        self._tls, self.keys = [], ""
        if shutil.which("openssl"):
            certificate(folder)
            me, key = folder / "me.pem", folder / "key.pem"
            self._tls = ["--tls-ca-file", me, "--tls-cert", me, "--tls-key", key]
            self.keys = f", ca: '{me}', cert: '{me}', key: '{key}'"
        scheme = ["--protocol", "tls"] if self._tls else []
        self._start("scheduler", "dask_scheduler", "--port", "0", "--no-show", *scheme)
        log = folder / "scheduler.log"
        found = until(lambda: re.search(r"t(cp|ls)://127\.0\.0\.1:\d+", log.read_text()))
        self.address = found[0]
        self.door = f"dask: '{self.address}'{self.keys}"

    def _start(self, name, program, *args):
        argv = [sys.executable, "-m", f"distributed.cli.{program}", "--host", "127.0.0.1"]
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*argv, "--no-dashboard", *self._tls, *args],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment(XDG_CACHE_HOME=str(self._folder / name)),
                cwd=self._folder,
            )
        self._processes.append(process)
        return process

    def worker(self, name, *args):
        """Start a worker without a nanny, so that its process is the one that dies."""
        options = ["--name", name, "--nthreads", "1", "--no-nanny", *args]
        return self._start(name, "dask_worker", self.address, *options)

    def wait_for(self, *names):
        """Wait until the scheduler knows the workers."""
        for name in names:
            log = self._folder / f"{name}.log"
            until(lambda log=log: "Registered to" in log.read_text())

    def jobs(self, name):
        """Return the folders of the jobs that a worker does."""
        return list(
            (self._folder / name / "edgecv" / "fleet" / "files" / "unfinished").glob(".job.*")
        )

    def close(self):
        for process in reversed(self._processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    one = Cluster(tmp_path_factory.mktemp("dask"))
    one.doomed = one.worker("doomed", "--resources", "edgecv=1")
    one.worker("edge", "--resources", "edgecv=1")
    one.worker("greedy")
    one.wait_for("doomed", "edge", "greedy")
    yield one
    one.close()


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(yolov8(planted=True).SerializeToString())
    return path


def run(model, lines, *, context=None, **options):
    file = model.with_name("fleet.yaml")
    file.write_text("devices:\n" + "\n".join(lines))
    config = BenchmarkConfig(models=(model,), devices=file, launches=1, **options)
    return benchmark_fleet(config, context or Context())


def test_workers_answer_die_and_are_refused(cluster, model):
    def kill():
        until(lambda: cluster.jobs("doomed"))
        cluster.doomed.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    door = cluster.door
    result = run(
        model,
        [
            f"- {{name: first, worker: edge, {door}, threads: 1}}",
            f"- {{name: doomed, {door}}}",
            f"- {{name: busy, worker: greedy, {door}}}",
            f"- {{name: nobody, {door}}}",
            "- {name: closed, dask: 'tcp://127.0.0.1:1', connect_timeout: 1}",
        ],
        duration=1,
    )
    killer.join()

    said = {device.name: device.error for device in result.devices}
    assert said["doomed"] == "doomed: its worker died in the middle of it"
    assert "does not offer edgecv=1" in said["busy"]
    assert "knows no worker called nobody" in said["nobody"]
    assert "no dask scheduler answers at tcp://127.0.0.1:1" in said["closed"]
    first = result.devices[0]
    assert first.error is None
    assert first.sent_bytes == model.stat().st_size
    (row,) = first.benchmark.runs
    assert (row.model, row.threads) == (str(model), 1)
    assert row.samples > 0


def test_interrupting_stops_the_job_there(cluster, model):
    context = Context()

    def interrupt():
        until(lambda: cluster.jobs("edge"))
        context.cancel.set()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(InterruptedByUser):
        run(model, [f"- {{name: edge, {cluster.door}}}"], context=context, duration=600)
    interrupter.join()
    until(lambda: not cluster.jobs("edge"))
