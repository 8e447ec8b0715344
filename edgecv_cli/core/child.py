"""Work in a process of its own: it may crash, hang or eat the memory, and the parent lives.

The child is exec'ed (``python -m edgecv_cli._child``), never forked: it has none of the
parent's threads, locks or arenas, so a figure measured in it is the figure of a fresh process.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from edgecv_cli.core.channel import Channel, ChannelClosedError, Message
from edgecv_cli.core.context import Cancel
from edgecv_cli.core.errors import ChildFailureError, EdgeCVError
from edgecv_cli.core.process import Exit, GroupProcess

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_GRACE_SECONDS = 2.0
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory")
_REMEDIES = {
    "crashed": "try another engine or --threads 1; --verbose shows the child's last words",
    "hung": "try again on an idle machine, or with a smaller input or another engine",
    "oom": "use a smaller model, input or batch, or a machine with more memory",
    "error": "report this as a bug; --verbose shows the child's last words",
}


@dataclass(frozen=True)
class Limits:
    """What a child may use.

    Attributes:
        seconds: for each call, and for the start; a call may name its own.
        memory_bytes: private writable memory (RLIMIT_DATA); None for no limit.
    """

    seconds: float
    memory_bytes: int | None = None


class _HungError(Exception):
    pass


class Child:
    """A service that runs in its own process.

    ::

        with Child("latency", name="timing yolov8n.onnx", limits=Limits(60)) as child:
            answer = child.call("load", {"path": "yolov8n.onnx"})

    The child lives in its own process group, which is ended when the block is left, however
    it is left, and by the kernel if this process dies (on Linux; it is bound to the *thread*
    that entered the block, which therefore has to outlive it).

    Args:
        service: a name from ``edgecv_cli._child.SERVICES``.
        name: what the child does, for messages: "timing yolov8n.onnx".
        limits: time and memory.
        env: variables on top of this process's environment.
        cancel: polled while waiting for answers.
    """

    def __init__(
        self,
        service: str,
        *,
        name: str,
        limits: Limits,
        env: Mapping[str, str] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        self._service = service
        self._name = name
        self._limits = limits
        self._env = dict(env or {})
        self._cancel = cancel or Cancel()
        self._process: GroupProcess | None = None
        self._channel: Channel | None = None

    def __enter__(self) -> Self:
        """Start the child and its service.

        Raises:
            ChildFailureError: it did not start.
            EdgeCVError: the service refused, in its own words.
        """
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        with theirs:
            try:
                self._process = GroupProcess(
                    self._argv(theirs.fileno()),
                    env=self._environment(),
                    descriptors=[theirs.fileno()],
                )
            except OSError as error:
                self._end(grace=0)
                self._fail("crashed", f"could not be started: {error.strerror}")
        try:
            self._answer(self._channel, self._limits.seconds)
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
        """End the child: politely after a good block, at once after an exception."""
        self._end(grace=_GRACE_SECONDS if error is None else 0)

    def call(
        self, method: str, payload: Mapping[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """Have the service do something and return its answer.

        Args:
            method: what the service calls it.
            payload: arguments, as JSON knows them.
            timeout: seconds, instead of the limit's.

        Raises:
            ChildFailureError: the child crashed, hung, ran out of memory or met a bug; it is
                ended, and further calls fail the same way.
            EdgeCVError: the service refused, in its own words; it goes on serving.
            InterruptedByUser: ``cancel`` was set.
        """
        if self._channel is None:
            raise ChildFailureError(
                f"{self._name}: its process has ended", remedy=_REMEDIES["error"], reason="error"
            )
        try:
            self._channel.send({"method": method, "payload": dict(payload)})
        except ChannelClosedError:
            self._fail_closed()
        return self._answer(self._channel, timeout or self._limits.seconds)

    @property
    def pid(self) -> int | None:
        """Process id while the child lives."""
        return self._process.pid if self._process else None

    def _answer(self, channel: Channel, seconds: float) -> dict[str, Any]:
        try:
            message = channel.receive(self._poll(seconds))
        except ChannelClosedError:
            self._fail_closed()
        except _HungError:
            self._end(grace=0)
            self._fail("hung", f"gave no answer within {seconds:g} s")
        if "error" in message:
            self._raise_reported(message["error"])
        result: dict[str, Any] = message["ok"]
        return result

    def _poll(self, seconds: float) -> Callable[[], None]:
        deadline = time.monotonic() + seconds

        def poll() -> None:
            self._cancel.check()
            if time.monotonic() > deadline:
                raise _HungError

        return poll

    def _raise_reported(self, error: Message) -> NoReturn:
        if error["kind"] in ("oom", "bug"):
            self._end(grace=0)
            reason = "oom" if error["kind"] == "oom" else "error"
            self._fail(reason, error["problem"], tail=error["trace"])
        raise _error_class(error["kind"])(error["problem"], remedy=error["remedy"])

    def _fail_closed(self) -> NoReturn:
        how, tail = self._end(grace=_GRACE_SECONDS)
        number = how.signal if how else None
        # SIGKILL that is not ours is the kernel's answer to a machine without memory.
        if number == signal.SIGKILL or any(words in tail for words in _OUT_OF_MEMORY):
            self._fail("oom", "ran out of memory", number=number, tail=tail)
        if number is not None:
            what = f"crashed with {signal.Signals(number).name}"
            self._fail("crashed", what, number=number, tail=tail)
        status = f" with status {how.status}" if how else ""
        self._fail("crashed", f"ended without an answer{status}", tail=tail)

    def _fail(
        self, reason: str, what: str, *, number: int | None = None, tail: str = ""
    ) -> NoReturn:
        raise ChildFailureError(
            f"{self._name}: the process {what}",
            remedy=_REMEDIES[reason],
            reason=reason,
            signal=number,
            stderr_tail=tail,
        )

    def _end(self, grace: float) -> tuple[Exit | None, str]:
        channel, process = self._channel, self._process
        self._channel = self._process = None
        if channel is not None:
            channel.close()
        if process is None:
            return None, ""
        return process.end(grace), process.tail

    def _argv(self, descriptor: int) -> list[str]:
        # -P: a stray numpy.py in the working directory must not be imported.
        return [
            *(sys.executable, "-P", "-X", "faulthandler", "-m", "edgecv_cli._child"),
            *(self._service, str(descriptor), str(os.getpid())),
            str(self._limits.memory_bytes or 0),
        ]

    def _environment(self) -> dict[str, str]:
        return own_environment(self._env)


def own_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment, in which this package can be imported, with ``extra``."""
    env = {**os.environ, **extra}
    if _PACKAGE_ROOT.name not in ("site-packages", "dist-packages"):
        paths = [str(_PACKAGE_ROOT), env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return env


def _error_class(kind: str) -> type[EdgeCVError]:
    """Return the class of that kind, if it is made of a problem and a remedy alone."""
    pending = [EdgeCVError]
    while pending:
        found = pending.pop()
        if found.kind == kind and found.__init__ is EdgeCVError.__init__:
            return found
        pending.extend(found.__subclasses__())
    return EdgeCVError
