"""The service by which a child process shows what it survives, and what it does not."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from edgecv_cli.core.errors import ModelError


class ProbeService:
    """Answers, waits, fails and dies on demand."""

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Do one of echo, sleep, signal, exit, allocate, refuse; all else is a bug."""
        if method == "echo":
            return {**payload, "pid": os.getpid(), "cwd": os.getcwd()}  # noqa: PTH109
        if method == "sleep":
            time.sleep(payload["seconds"])
        elif method == "signal":
            os.kill(os.getpid(), signal.Signals(payload["number"]))
        elif method == "exit":
            os._exit(payload["status"])
        elif method == "allocate":
            return {"bytes": len(bytearray(payload["bytes"]))}
        elif method == "refuse":
            raise ModelError(payload["problem"], remedy=payload["remedy"])
        else:
            raise ValueError(f"no such method: {method}")
        return {}
