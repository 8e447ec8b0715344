"""The program of every child process; see :mod:`edgecv_cli.core.child` for its other end.

``python -m edgecv_cli._child SERVICE DESCRIPTOR PARENT MEMORY``: serve SERVICE on the socket
DESCRIPTOR until it closes or the process PARENT dies, in at most MEMORY bytes (0: no limit).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from edgecv_cli.core.channel import Channel, ChannelClosedError, Message
from edgecv_cli.core.errors import EdgeCVError

SERVICES = {
    "end-to-end": "edgecv_cli.measure.end_to_end_service:EndToEndService",
    "coreml": "edgecv_cli.runtime.coreml_service:CoreMlService",
    "doctor": "edgecv_cli.measure.doctor.service:DoctorService",
    "latency": "edgecv_cli.measure.latency_service:LatencyService",
    "nncf": "edgecv_cli.stages.convert_openvino_nncf_service:NncfService",
    "operators": "edgecv_cli.measure.operator_service:OperatorService",
    "probe": "edgecv_cli.core.child_probe:ProbeService",
    "throughput": "edgecv_cli.measure.throughput_service:ThroughputService",
    "tensorrt": "edgecv_cli.runtime.tensorrt_service:TensorRtService",
    "tensorrt-rtx": "edgecv_cli.runtime.tensorrt_rtx_service:TensorRtRtxService",
}

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Service(Protocol):
    """What a child process offers."""

    def call(self, method: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Do one thing; arguments and answer are what JSON knows."""
        ...


def main(argv: list[str]) -> None:
    """Serve until the parent hangs up."""
    service, descriptor, parent, memory = argv
    _die_with(int(parent))
    _limit(int(memory))
    os.set_inheritable(int(descriptor), False)  # what the service starts must not hold it open
    channel = Channel(socket.socket(fileno=int(descriptor)))
    try:
        serve(channel, service)
    except ChannelClosedError:
        return


def serve(channel: Channel, name: str) -> None:
    """Make the service, then answer calls for ever.

    Raises:
        ChannelClosedError: the parent has hung up.
    """
    service: Service | None = None
    reply: Message = {"ok": {}}
    try:
        service = _make(name)
    except BaseException as error:  # noqa: BLE001 - everything is the parent's to judge
        reply = _reported(error)
    channel.send(reply)
    while service is not None:
        channel.send(_answer(service, channel.receive()))


def _make(name: str) -> Service:
    module, _, factory = SERVICES[name].partition(":")
    service: Service = getattr(importlib.import_module(module), factory)()
    return service


def _answer(service: Service, request: Message) -> Message:
    try:
        return {"ok": service.call(request["method"], request["payload"])}
    except BaseException as error:  # noqa: BLE001 - everything is the parent's to judge
        return _reported(error)


def _reported(error: BaseException) -> Message:
    trace = "".join(traceback.format_exception(error))
    problem, remedy = f"met {type(error).__name__}: {error}", ""
    if isinstance(error, EdgeCVError):
        kind, problem, remedy = error.kind, error.problem, error.remedy
    elif isinstance(error, MemoryError):
        kind, problem = "oom", "ran out of memory"
    else:
        kind = "bug"
    return {"error": {"kind": kind, "problem": problem, "remedy": remedy, "trace": trace}}


def _die_with(parent: int) -> None:
    """Have the kernel end this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


def _limit(memory: int) -> None:
    with suppress(OSError):  # on a full machine this process has to go, not its parent
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not fill the disk
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


if __name__ == "__main__":
    main(sys.argv[1:])
