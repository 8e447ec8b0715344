"""The device's side: takes files, does one job after the other, and ends with its host.

The main thread reads, and tells every two seconds that it lives; a job runs in a thread of its
own. A host that hangs up, or says nothing for a minute, cancels the job: a device is not kept
busy for someone who is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgecv_cli.core.context import Cancel, Context
from edgecv_cli.core.errors import EdgeCVError, UsageError
from edgecv_cli.core.version import __version__
from edgecv_cli.pipeline.fleet.blobs import Blobs
from edgecv_cli.pipeline.fleet.functions import FUNCTIONS, JobFunction, run_job
from edgecv_cli.pipeline.fleet.job import PROTOCOL, Job
from edgecv_cli.pipeline.fleet.relay import Relay
from edgecv_cli.pipeline.fleet.turn import MACHINE, measuring_alone
from edgecv_cli.pipeline.fleet.wire import Message, Wire, WireClosedError

BEAT_SECONDS = 2.0
SILENCE_SECONDS = 60.0
_END_SECONDS = 20.0


@dataclass
class Work:
    """A job that runs."""

    cancel: Cancel = field(default_factory=Cancel)
    relay: Relay = field(default_factory=Relay)
    reply: Message | None = None
    thread: threading.Thread | None = None


def hello() -> Message:
    """Return who answers."""
    from edgecv_cli.measure.hardware import machine

    here = machine().model_dump(mode="json", exclude_none=True)
    return {"protocol": PROTOCOL, "edgecv": __version__, "machine": here}


def do_job(
    job: Job,
    home: Path,
    work: Work,
    functions: Sequence[JobFunction] = FUNCTIONS,
    place: Path = MACHINE,
) -> Message:
    """Do a job alone on this device, and return the reply: its result, or why there is none."""
    context = Context(progress=work.relay, cancel=work.cancel)

    def waiting() -> None:
        work.relay.state = "waiting: something else is measured there"

    try:
        with measuring_alone(
            wait_seconds=job.wait_seconds, cancel=work.cancel, waiting=waiting, place=place
        ):
            work.relay.state = "starting"
            return {"ok": run_job(job, Blobs(home / "files"), context, functions)}
    except BaseException as error:  # noqa: BLE001 - everything is the host's to judge
        return refusal(error)


def refusal(error: BaseException) -> Message:
    """Return a failure as it travels."""
    if isinstance(error, EdgeCVError):
        kind, problem, remedy = error.kind, error.problem, error.remedy
    elif isinstance(error, MemoryError):
        kind, problem = "memory", "ran out of memory"
        remedy = "use a smaller model, or a device with more memory"
    else:
        kind, problem = "bug", f"met {type(error).__name__}: {error}"
        remedy = "report this as a bug of edgecv"
    return {"error": {"kind": kind, "problem": problem, "remedy": remedy}}


class Worker:
    """Serves one host.

    Args:
        wire: to the host.
        home: folder for files.
        functions: what a job can name.
        place: what stands for the device, where one thing is measured at a time.
    """

    def __init__(
        self,
        wire: Wire,
        home: Path,
        functions: Sequence[JobFunction] = FUNCTIONS,
        place: Path = MACHINE,
    ) -> None:
        self._wire, self._home, self._functions = wire, home, functions
        self._place = place
        self._kept: Blobs | None = None
        self._work: Work | None = None
        self._heard = self._beaten = time.monotonic()

    def serve(self) -> None:
        """Answer until the host hangs up or falls silent; then cancel what runs."""
        try:
            self._wire.greet()
            self._wire.send({"ok": hello()})
            while time.monotonic() - self._heard < SILENCE_SECONDS:
                self._turn()
        except WireClosedError:
            return
        finally:
            self._stop()

    def _turn(self) -> None:
        message = self._wire.receive()
        if message is not None:
            self._heard = time.monotonic()
        if isinstance(message, dict) and message.get("do") != "alive":
            self._answer(message)
        if self._work is not None:
            self._report(self._work)

    def _report(self, work: Work) -> None:
        reply, now = work.reply, time.monotonic()
        if reply is not None or now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            self._wire.send({"state": work.relay.state, "notes": work.relay.take_notes()})
        if reply is not None:
            self._work = None
            self._wire.send(reply)

    def _answer(self, message: Message) -> None:
        try:
            if message.get("do") == "run":
                self._start(message)
                return
            answer = self._file_request(message)
        except Exception as error:  # noqa: BLE001 - everything is the host's to judge
            self._wire.send(refusal(error))
        else:
            self._wire.send({"ok": answer})

    @property
    def _blobs(self) -> Blobs:
        """The files that are here; made when first asked for, since a disk may refuse it."""
        if self._kept is None:
            self._kept = Blobs(self._home / "files")
        return self._kept

    def _file_request(self, message: Message) -> dict[str, Any]:
        if message.get("do") == "have":
            return {"have": [name for name in message["files"] if self._blobs.has(str(name))]}
        if message.get("do") == "put":
            self._take(str(message["sha256"]), int(message["size_bytes"]))
            return {}
        raise UsageError("the worker was asked for what it does not know", remedy="update edgecv")

    def _take(self, digest: str, size: int) -> None:
        """Take a file; after a failure the rest is read and dropped, so that words can follow."""
        with self._blobs.receive(digest, size) as incoming:
            self._wire.send({"ok": {"send": True}})
            failure: EdgeCVError | None = None
            left = size
            while left > 0:
                piece = self._piece()
                left -= len(piece)
                try:
                    if failure is None:
                        incoming.write(piece)
                except EdgeCVError as error:
                    failure = error
            if failure is not None:
                raise failure
            incoming.commit()

    def _piece(self) -> bytes:
        while time.monotonic() - self._heard < SILENCE_SECONDS:
            piece = self._wire.receive()
            if isinstance(piece, bytes) and piece:
                self._heard = time.monotonic()
                return piece
            if isinstance(piece, dict) and piece.get("do") != "alive":
                raise WireClosedError
        raise WireClosedError

    def _start(self, message: Message) -> None:
        if self._work is not None:
            raise UsageError("a job runs already", remedy="wait for its end")
        try:
            job = Job.model_validate(message["job"])
        except (KeyError, ValidationError) as error:
            raise UsageError(f"this is no job: {error}", remedy="update edgecv") from error
        work = Work()

        def run() -> None:
            work.reply = do_job(job, self._home, work, self._functions, self._place)

        work.thread = threading.Thread(target=run, name="job", daemon=True)
        self._work = work
        work.thread.start()

    def _stop(self) -> None:
        """Cancel what runs; its own children end with it, or with this process."""
        work = self._work
        if work is not None and work.thread is not None:
            work.cancel.set()
            with suppress(KeyboardInterrupt):
                work.thread.join(_END_SECONDS)
