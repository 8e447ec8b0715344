"""An exec'ed process in a group of its own, whose last words are kept and which always ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

_TAIL_BYTES = 16 * 1024
_POLL_SECONDS = 0.01
_JOIN_SECONDS = 2.0


@dataclass(frozen=True)
class Exit:
    """How a process ended by itself: an exit status, or a signal that ended it."""

    status: int | None = None
    signal: int | None = None


class GroupProcess:
    """A process that leads its own session, so that a terminal's Ctrl-C passes it by.

    Standard input is empty; what it writes to standard output and standard error goes to
    :attr:`tail` and never to this process's own. One that ``talks`` has its standard input and
    output at :attr:`pipes`, and only standard error goes to the tail.

    Args:
        argv: program and arguments.
        env: the whole environment.
        descriptors: file descriptors that the program inherits.
        talks: whether it is spoken with over its standard input and output.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        descriptors: Sequence[int] = (),
        talks: bool = False,
    ) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if talks else subprocess.STDOUT,
            env=env,
            pass_fds=descriptors,
            start_new_session=True,
        )
        self._chunks: deque[bytes] = deque(maxlen=2)
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id, and id of its group."""
        return self._process.pid

    @property
    def pipes(self) -> tuple[int, int]:
        """Descriptors to read its standard output from, and to write its standard input to.

        Raises:
            RuntimeError: it does not talk.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("this process does not talk")
        return self._process.stdout.fileno(), self._process.stdin.fileno()

    def hang_up(self) -> None:
        """Close the pipes: the process reads the end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    @property
    def tail(self) -> str:
        """The last kilobytes it wrote."""
        return b"".join(self._chunks)[-_TAIL_BYTES:].decode(errors="replace").strip()

    def end(self, grace: float) -> Exit | None:
        """Wait ``grace`` seconds for the process to end, then end its whole group.

        Returns:
            How it ended, or None if it had to be killed.
        """
        try:
            return self._exit_within(grace)
        finally:  # a second Ctrl-C while waiting must not leave it alive
            # Not yet reaped, so neither its id nor its group's can belong to anyone else.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            # Bounded: a descendant in a session of its own may hold the pipe open for ever.
            self._reader.join(_JOIN_SECONDS)

    def _exit_within(self, grace: float) -> Exit | None:
        deadline = time.monotonic() + grace
        while True:
            info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if info is not None:
                by_itself = info.si_code == os.CLD_EXITED
                return Exit(status=info.si_status) if by_itself else Exit(signal=info.si_status)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS)

    def _drain(self) -> None:
        pipe = self._process.stderr or self._process.stdout
        if pipe is None:
            return
        with pipe:
            while chunk := os.read(pipe.fileno(), _TAIL_BYTES):
                self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        """Keep at least the last ``_TAIL_BYTES``, at most twice as many."""
        if self._chunks and len(self._chunks[-1]) + len(chunk) <= _TAIL_BYTES:
            self._chunks[-1] += chunk
        else:
            self._chunks.append(chunk)


def run_to_end(
    argv: Sequence[str], *, env: Mapping[str, str], seconds: float, poll: Callable[[], None]
) -> tuple[Exit | None, str]:
    """Run a program to its end; returns how it ended and the last that it wrote.

    Args:
        argv: program and arguments.
        env: the whole environment.
        seconds: it may take; then it is killed, and how it ended is None.
        poll: called while waiting; what it raises ends the program.

    Raises:
        OSError: it can't be started.
    """
    process = GroupProcess(argv, env=env)
    deadline = time.monotonic() + seconds
    ended = False
    try:
        while not ended and time.monotonic() < deadline:
            poll()
            ended = _has_ended(process.pid)
            if not ended:
                time.sleep(_POLL_SECONDS)
    finally:
        how = process.end(0)
    return (how if ended else None), process.tail


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
