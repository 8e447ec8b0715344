"""The host's side of one worker that is spoken with over pipes, through ssh or on this machine."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from edgecv_cli.config.fleet import Device
from edgecv_cli.core.child import own_environment
from edgecv_cli.core.errors import DeviceError
from edgecv_cli.core.process import GroupProcess
from edgecv_cli.pipeline.fleet.answers import (
    Answer,
    answered,
    check_hello,
    raise_refusal,
    texts,
)
from edgecv_cli.pipeline.fleet.job import Job
from edgecv_cli.pipeline.fleet.ssh import ENVIRONMENT, SSH_FAILED, explain
from edgecv_cli.pipeline.fleet.watch import Watch
from edgecv_cli.pipeline.fleet.wire import (
    CHUNK_BYTES,
    Message,
    Wire,
    WireClosedError,
    WireStalledError,
)

START_SECONDS = 60.0
HUNG_SECONDS = 60.0
_ALIVE_SECONDS = 5.0
_GRACE_SECONDS = 10.0
_HASHED_BYTES_A_SECOND = 10e6  # a slow SD card
_TAIL_CHARACTERS = 300


class ProcessSession:
    """A worker behind a process: ssh, or the worker itself.

    Args:
        device: which one.
        argv: the process.
        watch: told what happens; polled while waiting.
        hung_seconds: silence after which a worker that should report is given up.
    """

    def __init__(
        self, device: Device, argv: list[str], watch: Watch, *, hung_seconds: float = HUNG_SECONDS
    ) -> None:
        self._device, self._argv, self._watch = device, argv, watch
        self._hung_seconds = hung_seconds
        self._process: GroupProcess | None = None
        self._spoken = 0.0

    def __enter__(self) -> Self:
        """Start the process and wait for its greeting.

        Raises:
            DeviceError: the device can't be reached, or has not this version of edgecv.
            InterruptedByUser: it is not wanted any more.
        """
        try:
            self._process = GroupProcess(self._argv, env=own_environment(ENVIRONMENT), talks=True)
        except OSError as error:
            raise DeviceError(
                f"{self._device.name}: {self._argv[0]} can't be started: {error.strerror}",
                remedy="install OpenSSH's client (apt-get install openssh-client)"
                if self._device.ssh
                else "name a Python in which edgecv is installed with `python:`",
            ) from error
        try:
            self._wire = Wire(*self._process.pipes)
            self._greeted()
        except BaseException:
            self._end(grace=0)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up, which ends the worker; then end what is left here."""
        # A worker that failed has nothing to finish, and one that hangs would not notice.
        self._end(grace=0 if isinstance(error, DeviceError) else _GRACE_SECONDS)

    def deliver(self, files: Mapping[str, Path]) -> int:
        """Send what the device does not have, by digest, and return how many bytes that were.

        Raises:
            DeviceError: it is gone, or takes nothing.
            EdgeCVError: it refused, in its own words.
        """
        sizes = {digest: path.stat().st_size for digest, path in files.items()}
        patience = self._hung_seconds + sum(sizes.values()) / _HASHED_BYTES_A_SECOND
        reply = self._ask({"do": "have", "files": list(files)}, patience)
        known = texts(reply.get("have"))
        missing = [digest for digest in files if digest not in known]
        for digest in missing:
            self._watch.say(f"sending {files[digest].name}")
            self._ask({"do": "put", "sha256": digest, "size_bytes": sizes[digest]}, patience)
            self._stream(files[digest], sizes[digest])
            self._receive(patience)
        return sum(sizes[digest] for digest in missing)

    def run(self, job: Job, limit_seconds: float) -> Answer:
        """Have the job done.

        Raises:
            DeviceError: the device died, hangs, or took longer than the limit.
            EdgeCVError: it refused, in its own words.
            InterruptedByUser: the answer is not wanted any more.
        """
        self._send({"do": "run", "job": job.model_dump(mode="json")})
        return Answer(self.machine, self._receive(self._hung_seconds, limit=limit_seconds))

    def _greeted(self) -> None:
        seconds = START_SECONDS + (self._device.connect_timeout if self._device.ssh else 0)
        deadline = time.monotonic() + seconds
        self._watch.say("connecting")
        while not self._guarded(self._wire.find_greeting):
            self._watch.check()
            if time.monotonic() > deadline:
                self._fail(f"did not greet within {seconds:g} s", "see that edgecv starts there")
        self.machine = check_hello(self._device, self._receive(START_SECONDS))

    def _ask(self, message: Message, seconds: float) -> dict[str, Any]:
        self._send(message)
        return self._receive(seconds)

    def _send(self, message: Message) -> None:
        self._guarded(
            lambda: self._wire.send(message, seconds=self._hung_seconds, poll=self._watch.check)
        )

    def _stream(self, path: Path, size: int) -> None:
        for piece in _pieces(path, size):

            def send(piece: bytes = piece) -> None:
                self._wire.send_bytes(piece, seconds=self._hung_seconds, poll=self._watch.check)

            self._guarded(send)

    def _receive(self, silence: float, *, limit: float | None = None) -> dict[str, Any]:
        """Return the reply; what is told meanwhile is passed on."""
        began = heard = time.monotonic()
        while True:
            self._watch.check()
            self._keep_alive()
            message = self._guarded(self._wire.receive)
            now = time.monotonic()
            if limit is not None and now - began > limit:
                self._fail(f"was not done within {limit:g} s", "raise the device's `limit`")
            if isinstance(message, dict):
                heard = now
                if "error" in message:
                    raise_refusal(self._device.name, message["error"])
                if "ok" in message:
                    return answered(self._device.name, message["ok"])
                self._tell(message)
            elif now - heard > silence:
                self._fail(f"hangs: it said nothing for {silence:.0f} s", "see what it does there")

    def _tell(self, message: Message) -> None:
        self._watch.say(str(message.get("state", "")))
        for text in texts(message.get("notes")):
            self._watch.note(text)

    def _keep_alive(self) -> None:
        if time.monotonic() - self._spoken >= _ALIVE_SECONDS:
            self._spoken = time.monotonic()
            self._send({"do": "alive"})

    def _guarded(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except WireClosedError:
            self._fail_closed()
        except WireStalledError:
            self._fail("hangs: it takes nothing", "see what it does there")

    def _fail_closed(self) -> NoReturn:
        process = self._process
        if process is None:
            self._fail("has ended", "run it again")
        process.hang_up()
        how = process.end(_GRACE_SECONDS)
        tail = process.tail
        self._process = None
        known = explain(self._device, tail, how.status if how else None)
        if known is not None:
            self._fail(known[0], known[1])
        if how is not None and how.signal is not None:
            self._fail(
                f"its worker was ended by {signal.Signals(how.signal).name} in the middle of it",
                "see whether it ran out of memory (dmesg), and run it again",
            )
        last = tail.splitlines()[-1][:_TAIL_CHARACTERS] if tail else "it said nothing"
        if self._device.ssh and how is not None and how.status == SSH_FAILED:
            self._fail(
                f"the connection broke off, or its worker was killed: {last}",
                "see whether it still runs, and whether it ran out of memory (dmesg)",
            )
        status = f" with status {how.status}" if how else ""
        self._fail(f"its worker ended{status}: {last}", "run it again; see what it does there")

    def _fail(self, problem: str, remedy: str) -> NoReturn:
        raise DeviceError(f"{self._device.name}: {problem}", remedy=remedy)

    def _end(self, grace: float) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.hang_up()
            process.end(grace)


def _pieces(path: Path, size: int) -> Iterable[bytes]:
    """Yield a file in pieces, exactly as many bytes as were announced."""
    with path.open("rb") as file:
        while size > 0:
            piece = file.read(min(CHUNK_BYTES, size))
            if not piece:
                raise DeviceError(f"{path} became shorter while it was sent", remedy="run it again")
            size -= len(piece)
            yield piece
