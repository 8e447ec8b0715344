"""A fleet over ssh: a real sshd of this test's own, on this machine, with its own keys."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from fleet_worker import alive, marks, shim, until
from models import yolov8

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import InterruptedByUser
from edgecv_cli.pipeline.fleet.benchmark import benchmark_fleet

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
pytestmark = pytest.mark.skipif(
    not (SSHD and shutil.which("ssh") and shutil.which("ssh-keygen")),
    reason="OpenSSH's server and client are not installed here",
)


def keygen(path):
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path.with_suffix(".pub").read_text().split()[:2]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Start sshd; the folder has ``id``, ``known``, ``other_known``, and the port's number."""
    folder = tmp_path_factory.mktemp("ssh")
    port = free_port()
    host, stranger = keygen(folder / "host"), keygen(folder / "stranger")
    (folder / "authorized").write_text(" ".join(keygen(folder / "id")))
    (folder / "known").write_text(f"[127.0.0.1]:{port} {' '.join(host)}\n")
    (folder / "other_known").write_text(f"[127.0.0.1]:{port} {' '.join(stranger)}\n")
    (folder / "empty_known").touch()
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # what a service manager does before sshd
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "config"], stdout=log, stderr=log
        )
    deadline = time.monotonic() + 20
    while not listens(port) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if not listens(port):
        process.kill()
        process.wait()
        pytest.skip(f"sshd does not start here: {(folder / 'log').read_text()[-300:]}")
    yield folder, port
    process.terminate()
    process.wait(20)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(yolov8(planted=True).SerializeToString())
    return path


@pytest.fixture
def fleet(server, tmp_path):
    folder, port = server
    user = getpass.getuser()

    def write(*lines):
        common = f"identity: '{folder}/id', known_hosts: '{folder}/known'"
        text = "devices:\n" + "\n".join(lines)
        text = text.replace("HERE", f"{user}@127.0.0.1:{port}").replace("KEYS", common)
        path = tmp_path / "fleet.yaml"
        path.write_text(text.replace("FOLDER", str(folder)))
        return path

    return write


def run(model, file, context=None):
    config = BenchmarkConfig(models=(model,), devices=file)
    return benchmark_fleet(config, context or Context())


def test_every_refusal_is_a_row_and_files_are_sent_once(fleet, model, tmp_path):
    noisy, old = shim(tmp_path, "noisy"), shim(tmp_path, "old")
    nobody = free_port()
    file = fleet(
        f"- {{name: good, ssh: HERE, KEYS, python: '{noisy}'}}",
        f"- {{name: through, ssh: HERE, jump: HERE, KEYS, python: '{noisy}'}}",
        f"- {{name: old, ssh: HERE, KEYS, python: '{old}'}}",
        "- {name: no-python, ssh: HERE, KEYS, python: /no/such/python}",
        "- {name: no-edgecv, ssh: HERE, KEYS, python: /usr/bin/false}",
        "- {name: changed, ssh: HERE, known_hosts: FOLDER/other_known, identity: FOLDER/id}",
        "- {name: unknown, ssh: HERE, known_hosts: FOLDER/empty_known, identity: FOLDER/id}",
        "- {name: stranger, ssh: HERE, known_hosts: FOLDER/known, identity: FOLDER/stranger}",
        f"- {{name: closed, ssh: '127.0.0.1:{nobody}', KEYS}}",
    )

    result = run(model, file)

    said = {device.name: device.error for device in result.devices}
    assert (said.pop("good"), said.pop("through")) == (None, None)
    for name, words in {
        "old": "it has edgecv 0.0.1, and this is",
        "no-python": "it has no /no/such/python",
        "no-edgecv": "its worker ended with status 1",
        "changed": "its host key is not the one that is known",
        "unknown": "its host key is not known",
        "stranger": "it lets nobody in",
        "closed": "it refuses connections",
    }.items():
        assert said.pop(name).startswith(f"{name}: {words}")
    assert not said
    good = result.devices[0]
    assert good.benchmark.runs[0].model == str(model)
    assert good.benchmark.runs[0].p50_ms == model.stat().st_size / 1e3
    (again,) = run(model, fleet(f"- {{name: good, ssh: HERE, KEYS, python: '{noisy}'}}")).devices
    assert again.sent_bytes == 0


def test_a_worker_that_dies_there_is_told(fleet, model, tmp_path):
    waiting, fine = shim(tmp_path, "wait", marks=tmp_path), shim(tmp_path, "fine")
    file = fleet(
        f"- {{name: dies, ssh: HERE, KEYS, python: '{waiting}'}}",
        f"- {{name: lives, ssh: HERE, KEYS, python: '{fine}'}}",
    )
    killer = threading.Thread(
        target=lambda: os.kill(until(lambda: marks(tmp_path))[0], signal.SIGKILL)
    )
    killer.start()

    dies, lives = run(model, file).devices

    killer.join()
    assert "the connection broke off, or its worker was killed" in dies.error
    assert lives.error is None


def test_interrupting_leaves_nothing_running_there(fleet, model, tmp_path):
    waiting = shim(tmp_path, "wait", marks=tmp_path)
    context = Context()

    def interrupt():
        until(lambda: marks(tmp_path))
        context.cancel.set()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(InterruptedByUser):
        run(model, fleet(f"- {{name: one, ssh: HERE, KEYS, python: '{waiting}'}}"), context)
    interrupter.join()
    until(lambda: not alive(marks(tmp_path)[0]))
