"""Jobs on dask workers: one worker a device, found by name, with one ``edgecv`` resource.

A task is bound to the worker's address. A worker that dies and is started again has another, so
that dask can't run the job a second time behind our back. Dask moves Python objects, and whoever
speaks it may run code: that is why only TLS with certificates of both sides is spoken, or
loopback.
"""

from __future__ import annotations

import inspect
import json
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from edgecv_cli.config.fleet import Device
from edgecv_cli.core.errors import DeviceError, InterruptedByUser
from edgecv_cli.core.require import require
from edgecv_cli.pipeline.fleet import dask_side
from edgecv_cli.pipeline.fleet.answers import (
    Answer,
    answered,
    check_hello,
    raise_refusal,
    texts,
)
from edgecv_cli.pipeline.fleet.job import Job
from edgecv_cli.pipeline.fleet.session import HUNG_SECONDS
from edgecv_cli.pipeline.fleet.watch import Watch
from edgecv_cli.pipeline.fleet.wire import CHUNK_BYTES

RESOURCE = "edgecv"
_ASK_SECONDS = 2.0
_POLL_SECONDS = 0.2
_STOP_SECONDS = 10.0
_HELLO_SECONDS = 120.0


def run_by_dask(device: Device, job: Job, files: Mapping[str, Path], watch: Watch) -> Answer:
    """Bring files to a device's dask worker, have a job done there, and return its answer.

    Raises:
        MissingDependencyError: distributed is not installed.
        DeviceError: the scheduler or the worker can't be reached, has not this version of
            edgecv, died, or hangs.
        InterruptedByUser: the answer is not wanted any more; the job has been stopped.
    """
    watch.say("connecting")
    with _client(device) as client:
        session = _DaskSession(device, client, watch)
        try:
            machine = check_hello(device, session.ask({"do": "hello"}, _HELLO_SECONDS))
            sent = session.deliver(files)
            result = session.run(job)
        except BaseException:
            session.stop()
            raise
        finally:
            session.close()
    return Answer(machine, result, sent)


@contextmanager
def _client(device: Device) -> Iterator[Any]:
    """Connect to the scheduler; nothing of it stays as anybody's default."""
    distributed = require("distributed", pip="distributed", why="a fleet's dask device")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # its words are ours to find
    security = None
    if device.ca is not None:
        security = distributed.Security(
            tls_ca_file=str(device.ca),
            tls_client_cert=str(device.cert),
            tls_client_key=str(device.key),
            require_encryption=True,
        )
    try:
        client = distributed.Client(
            device.dask,
            security=security,
            timeout=device.connect_timeout,
            set_as_default=False,
        )
    except Exception as error:
        raise DeviceError(
            f"{device.name}: no dask scheduler answers at {device.dask}: {_brief(error)}",
            remedy="start one there (dask scheduler), or correct the address and certificates",
        ) from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=_STOP_SECONDS)


class _DaskSession:
    """One job's dealings with one worker."""

    def __init__(self, device: Device, client: Any, watch: Watch) -> None:
        self._device, self._client, self._watch = device, client, watch
        self._run = secrets.token_hex(8)
        self._address = self._find()
        self._calls = ThreadPoolExecutor(1, thread_name_prefix=f"dask-{device.name}")

    def ask(self, message: dict[str, Any], seconds: float, piece: bytes = b"") -> dict[str, Any]:
        """Have the worker answer at once, beside what its threads do."""
        request = json.dumps({**message, "run": self._run})
        future = self._calls.submit(
            self._client.run, dask_side.answer, request, piece, workers=[self._address]
        )
        deadline = time.monotonic() + seconds
        while True:
            try:
                replies = future.result(timeout=_POLL_SECONDS)
                break
            except FutureTimeoutError:
                self._watch.check()
                self._still_there()
                if time.monotonic() > deadline:
                    self._fail(f"hangs: no answer for {seconds:.0f} s", "see what it does there")
            except Exception as error:  # noqa: BLE001 - whatever dask raises, the call failed
                self._failed(error)
        return self._opened(replies.get(self._address))

    def deliver(self, files: Mapping[str, Path]) -> int:
        """Send what the worker does not have, and return how many bytes that were."""
        reply = self.ask({"do": "have", "files": list(files)}, _HELLO_SECONDS)
        known = texts(reply.get("have"))
        sent = 0
        for digest, path in files.items():
            if digest in known:
                continue
            self._watch.say(f"sending {path.name}")
            size = path.stat().st_size
            self.ask({"do": "put", "sha256": digest, "size_bytes": size}, HUNG_SECONDS)
            with path.open("rb") as file:
                while piece := file.read(CHUNK_BYTES):
                    self.ask({"do": "piece"}, HUNG_SECONDS, piece)
            self.ask({"do": "keep"}, HUNG_SECONDS)
            sent += size
        return sent

    def run(self, job: Job) -> dict[str, Any]:
        """Have the job done, and return its reply."""
        request = json.dumps({"job": job.model_dump(mode="json"), "run": self._run})
        future = self._client.submit(
            dask_side.run,
            request,
            key=f"edgecv-{self._run}",
            workers=[self._address],
            allow_other_workers=False,
            resources={RESOURCE: 1},
            pure=False,
            retries=0,
        )
        began = asked = time.monotonic()
        while not future.done():
            self._watch.check()
            now = time.monotonic()
            if now - began > self._device.limit:
                self._fail(
                    f"was not done within {self._device.limit:g} s", "raise the device's `limit`"
                )
            if now - asked >= _ASK_SECONDS:
                asked = now
                self._still_there()
                self._tell(self.ask({"do": "ask"}, HUNG_SECONDS))
            time.sleep(_POLL_SECONDS)
        try:
            return self._opened(future.result(timeout=HUNG_SECONDS))
        except DeviceError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever dask raises, the task failed
            self._failed(error)

    def stop(self) -> None:
        """Cancel what runs there, and wait a little until it has ended."""
        deadline = time.monotonic() + _STOP_SECONDS
        request = json.dumps({"do": "stop", "run": self._run})
        with suppress(Exception):
            self._still_there()
            while time.monotonic() < deadline:
                call = self._calls.submit(
                    self._client.run, dask_side.answer, request, workers=[self._address]
                )
                reply = json.loads(call.result(timeout=_STOP_SECONDS)[self._address])
                if not reply["ok"]["running"]:
                    return
                time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Wait for no call that hangs."""
        self._calls.shutdown(wait=False, cancel_futures=True)

    def _find(self) -> str:
        """Return the address of the device's worker.

        Raises:
            DeviceError: there is none of that name, or it does not keep itself free for one job.
        """
        name = self._device.worker or self._device.name
        workers = _workers(self._client)
        found = {address: one for address, one in workers.items() if str(one.get("name")) == name}
        if not found:
            known = ", ".join(sorted(str(one.get("name")) for one in workers.values())[:8])
            self._fail(
                f"the scheduler knows no worker called {name}",
                f"start it there: dask worker {self._device.dask} --name {name} "
                f"--resources {RESOURCE}=1" + (f"; there are: {known}" if known else ""),
            )
        address, worker = next(iter(found.items()))
        if worker.get("resources", {}).get(RESOURCE) != 1:
            self._fail(
                f"its worker does not offer {RESOURCE}=1, which keeps it to one job at a time",
                f"start it with --resources {RESOURCE}=1",
            )
        return str(address)

    def _tell(self, told: dict[str, Any]) -> None:
        if "state" in told:
            self._watch.say(str(told["state"]))
        for text in texts(told.get("notes")):
            self._watch.note(text)

    def _opened(self, reply: Any) -> dict[str, Any]:
        try:
            message = json.loads(reply)
        except (TypeError, ValueError):
            message = {}
        if isinstance(message, dict) and "error" in message:
            raise_refusal(self._device.name, message["error"])
        return answered(self._device.name, message.get("ok") if isinstance(message, dict) else None)

    def _failed(self, error: Exception) -> NoReturn:
        if isinstance(error, InterruptedByUser):
            raise error
        self._still_there()
        if "No module named" in str(error) and "edgecv_cli" in str(error):
            self._fail(
                "edgecv is not installed where its worker runs",
                "install edgecv there, with distributed, and start the worker again",
            )
        self._fail(f"its worker failed: {_brief(error)}", "see the worker's log")

    def _still_there(self) -> None:
        """Tell a worker that died: dask itself would wait for its connection to time out."""
        try:
            gone = self._address not in _workers(self._client)
        except Exception as error:  # noqa: BLE001 - whatever dask raises, the scheduler is gone
            self._fail(f"its scheduler is gone: {_brief(error)}", "see the scheduler's log")
        if gone:
            self._fail("its worker died in the middle of it", "see why, and run it again")

    def _fail(self, problem: str, remedy: str) -> NoReturn:
        raise DeviceError(f"{self._device.name}: {problem}", remedy=remedy)


def _workers(client: Any) -> dict[str, dict[str, Any]]:
    """Return what the scheduler knows of all its workers, by address."""
    every = {"n_workers": -1} if _takes_n_workers(client) else {}
    info: dict[str, Any] = client.scheduler_info(**every)
    return dict(info.get("workers", {}))


def _takes_n_workers(client: Any) -> bool:
    return "n_workers" in inspect.signature(client.scheduler_info).parameters


def _brief(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]
