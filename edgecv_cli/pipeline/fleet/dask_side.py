"""What a dask worker does for a host: the same store, the same lock, the same job.

The host calls these functions by name, and everything that goes in or out is text, numbers or
bytes. A job is cancelled when nobody has asked after it for a minute.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import InterruptedByUser, UsageError
from edgecv_cli.pipeline.fleet.blobs import Blobs, Incoming, fleet_home
from edgecv_cli.pipeline.fleet.job import Job
from edgecv_cli.pipeline.fleet.worker import SILENCE_SECONDS, Work, do_job, hello, refusal


class Lease(Cancel):
    """A cancellation that sets itself when nobody has renewed it for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """Go on for another while."""
        self._renewed = time.monotonic()

    @property
    def is_set(self) -> bool:
        """Whether the work should stop."""
        return super().is_set or time.monotonic() - self._renewed > SILENCE_SECONDS

    def check(self) -> None:
        """Raise :class:`InterruptedByUser` if the work should stop."""
        if self.is_set:
            raise InterruptedByUser


_RUNNING: dict[str, tuple[Work, Lease]] = {}
_INCOMING: dict[str, Incoming] = {}


def answer(request: str, piece: bytes = b"") -> str:
    """Do what a request (JSON with ``do``) asks for, and return ``ok`` or ``error`` as JSON."""
    try:
        asked = json.loads(request)
        done = {"ok": _REQUESTS[str(asked["do"])](asked, piece)}
    except BaseException as error:  # noqa: BLE001 - everything is the host's to judge
        done = refusal(error)
    return json.dumps(done)


def run(request: str) -> str:
    """Do the job of a request, and return its reply as JSON; ends when it is cancelled."""
    try:
        asked = json.loads(request)
        job, name = Job.model_validate(asked["job"]), str(asked["run"])
    except (KeyError, ValueError) as error:
        wrong = UsageError(f"this is no job: {error}", remedy="update edgecv")
        return json.dumps(refusal(wrong))
    lease = Lease()
    work = Work(cancel=lease)
    _RUNNING[name] = (work, lease)
    try:
        return json.dumps(do_job(job, fleet_home(), work))
    finally:
        del _RUNNING[name]


def _hello(asked: dict[str, Any], piece: bytes) -> dict[str, Any]:  # noqa: ARG001 - as the others
    return hello()


def _have(asked: dict[str, Any], piece: bytes) -> dict[str, Any]:  # noqa: ARG001
    blobs = Blobs(fleet_home() / "files")
    return {"have": [name for name in asked["files"] if blobs.has(str(name))]}


def _put(asked: dict[str, Any], piece: bytes) -> dict[str, Any]:  # noqa: ARG001
    """Begin a file; one of the same run that was left open is dropped."""
    _drop(str(asked["run"]))
    blobs = Blobs(fleet_home() / "files")
    incoming = blobs.receive(str(asked["sha256"]), int(asked["size_bytes"]))
    _INCOMING[str(asked["run"])] = incoming
    return {}


def _piece(asked: dict[str, Any], piece: bytes) -> dict[str, Any]:
    _INCOMING[str(asked["run"])].write(piece)
    return {}


def _keep(asked: dict[str, Any], piece: bytes) -> dict[str, Any]:  # noqa: ARG001
    try:
        _INCOMING[str(asked["run"])].commit()
    finally:
        _drop(str(asked["run"]))
    return {}


def _drop(name: str) -> None:
    incoming = _INCOMING.pop(name, None)
    if incoming is not None:
        incoming.__exit__(None, None, None)


def _ask_after(asked: dict[str, Any], piece: bytes) -> dict[str, Any]:  # noqa: ARG001
    """Renew a job's lease and say what it does; nothing of a job that has not begun."""
    found = _RUNNING.get(str(asked["run"]))
    if found is None:
        return {}
    work, lease = found
    lease.renew()
    return {"state": work.relay.state, "notes": work.relay.take_notes()}


def _stop(asked: dict[str, Any], piece: bytes) -> dict[str, Any]:  # noqa: ARG001
    """Cancel a job and drop a file that was on its way; whether it still runs."""
    name = str(asked["run"])
    _drop(name)
    found = _RUNNING.get(name)
    if found is not None:
        found[0].cancel.set()
    return {"running": found is not None}


_REQUESTS: dict[str, Callable[[dict[str, Any], bytes], dict[str, Any]]] = {
    "hello": _hello,
    "have": _have,
    "put": _put,
    "piece": _piece,
    "keep": _keep,
    "ask": _ask_after,
    "stop": _stop,
}
