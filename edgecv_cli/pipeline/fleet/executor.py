"""Jobs on devices: every device for itself, one job at a time on each."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

from edgecv_cli.config.fleet import Device
from edgecv_cli.core.context import Cancel
from edgecv_cli.pipeline.fleet.answers import Answer
from edgecv_cli.pipeline.fleet.job import Job
from edgecv_cli.pipeline.fleet.session import ProcessSession
from edgecv_cli.pipeline.fleet.ssh import ssh_arguments, worker_arguments
from edgecv_cli.pipeline.fleet.watch import Event, Watch

_MOST_AT_ONCE = 64


class Door(Protocol):
    """A way to have a job done on a device."""

    def __call__(self, device: Device, job: Job, files: Mapping[str, Path], watch: Watch) -> Answer:
        """Bring the files there, have the job done, and return its answer.

        Raises:
            EdgeCVError: there is none, and why.
        """
        ...


def by_process(device: Device, job: Job, files: Mapping[str, Path], watch: Watch) -> Answer:
    """Have a job done by a worker behind ssh, or by one on this machine."""
    if device.ssh:
        argv = ssh_arguments(device)
    else:
        argv = worker_arguments(str(Path(device.python or sys.executable).expanduser()))
    with ProcessSession(device, argv, watch) as session:
        sent = session.deliver(files)
        return replace(session.run(job, device.limit), sent_bytes=sent)


def by_dask(device: Device, job: Job, files: Mapping[str, Path], watch: Watch) -> Answer:
    """Have a job done by a dask worker."""
    from edgecv_cli.pipeline.fleet.dask_door import run_by_dask

    return run_by_dask(device, job, files, watch)


def door_to(device: Device) -> Door:
    """Return the way to a device."""
    return by_dask if device.dask else by_process


class FleetExecutor:
    """Takes jobs for devices and has them done, devices side by side.

    ::

        with FleetExecutor(files, context.cancel) as fleet:
            futures = [fleet.submit(job, device) for device in devices]

    Leaving the block gives up what still runs, there as well as here.

    Args:
        files: digest to place of every file that a job may need.
        cancel: set by the user's Ctrl-C.
        door: the way to each device.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        cancel: Cancel,
        door: Callable[[Device], Door] = door_to,
    ) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._files, self._cancel, self._door = files, cancel, door
        self._given_up = Cancel()
        self._turns: dict[str, Lock] = {}
        self._pool = ThreadPoolExecutor(_MOST_AT_ONCE, thread_name_prefix="device")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give up what still runs, and wait until it has ended."""
        self._given_up.set()
        self._pool.shutdown(cancel_futures=True)

    def submit(self, job: Job, device: Device) -> Future[Answer]:
        """Have a job done on a device, after those that it was given before."""
        turn = self._turns.setdefault(device.name, Lock())
        return self._pool.submit(self._do, job, device, turn)

    def _do(self, job: Job, device: Device, turn: Lock) -> Answer:
        watch = Watch(device.name, self._cancel, self.events, self._given_up)
        with turn:
            watch.check()
            wanted = {digest: self._files[digest] for digest in job.files}
            return self._door(device)(device, job, wanted, watch)
