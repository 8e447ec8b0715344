"""The service by which a child process shows what it survives, and what it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import ModelError

Payload = dict[str, Any]


class ProbeService:
    """Answers, waits, fails and dies on demand; every method is a function of this module."""

    def call(self, method: str, payload: Payload) -> Payload:
        """Do one of the things in ``METHODS``.

        Raises:
            KeyError: it is none of them.
        """
        return METHODS[method](payload)


def _echo(payload: Payload) -> Payload:
    value = os.environ.get(payload.get("variable", ""))
    return {**payload, "value": value, "pid": os.getpid(), "cwd": str(Path.cwd())}


def _print(payload: Payload) -> Payload:
    sys.stdout.write(payload["text"])
    sys.stdout.flush()
    return {}


def _sleep(payload: Payload) -> Payload:
    time.sleep(payload["seconds"])
    return {}


def _signal(payload: Payload) -> Payload:
    os.kill(os.getpid(), signal.Signals(payload["number"]))
    return {}


def _exit(payload: Payload) -> Payload:
    os._exit(payload["status"])


def _allocate(payload: Payload) -> Payload:
    return {"bytes": len(bytearray(payload["bytes"]))}


def _refuse(payload: Payload) -> Payload:
    raise ModelError(payload["problem"], remedy=payload["remedy"])


def _spawn(_payload: Payload) -> Payload:
    sleeper = "import time; time.sleep(600)"
    return {"pid": subprocess.Popen([sys.executable, "-c", sleeper]).pid}


METHODS: dict[str, Callable[[Payload], Payload]] = {
    "echo": _echo,
    "print": _print,
    "sleep": _sleep,
    "signal": _signal,
    "exit": _exit,
    "allocate": _allocate,
    "refuse": _refuse,
    "spawn": _spawn,
}
