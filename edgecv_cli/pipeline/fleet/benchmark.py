"""``edgecv benchmark --devices``: the same job on every device, and one table of it."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from pydantic import ValidationError

from edgecv_cli.config.benchmark import BenchmarkConfig
from edgecv_cli.config.fleet import Device, read_fleet
from edgecv_cli.core.context import Context, Task
from edgecv_cli.core.errors import (
    DeviceError,
    EdgeCVError,
    GateNotMetError,
    InterruptedByUser,
    UsageError,
)
from edgecv_cli.core.scratch import scratch
from edgecv_cli.pipeline.fleet.answers import Answer
from edgecv_cli.pipeline.fleet.executor import FleetExecutor
from edgecv_cli.pipeline.fleet.files import fill
from edgecv_cli.pipeline.fleet.gates import Earlier, judged, read_earlier
from edgecv_cli.pipeline.fleet.packing import pack_benchmark
from edgecv_cli.pipeline.fleet.result import DeviceResult, FleetResult
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.compose.benchmark_files import benchmark_files

_TICK_SECONDS = 0.2
_NAMED = 4


def benchmark_fleet(config: BenchmarkConfig, context: Context) -> FleetResult:
    """Time models side by side on every device of a fleet.

    A device that can't be reached, dies or hangs becomes a row that says so, and the rest goes
    on. With ``--fail-if`` such a device fails the gate: nothing shows that it would pass.

    Raises:
        DeviceError: not one device gave figures.
        GateNotMetError: a condition of ``--fail-if`` holds on a device; with the whole result.
        EdgeCVError: the fleet's file or a model can't be used, or a file can't be written.
    """
    if config.devices is None:
        raise UsageError("no fleet was given", remedy="add --devices FLEET.yaml")
    devices = read_fleet(config.devices, config.label)
    earlier = read_earlier(config, devices)
    with benchmark_files(config) as files:
        result = _measured(config, devices, earlier, context)
        if len(result.failed) == len(result.devices):
            _raise_nothing(result)
        fill(files, result)
        if config.fail_if:
            _hold_gates(result)
    return result


def _measured(
    config: BenchmarkConfig, devices: Sequence[Device], earlier: Earlier, context: Context
) -> FleetResult:
    began = context.clock()
    with scratch() as folder:
        packed = pack_benchmark(config, folder)
        with FleetExecutor(packed.files, context.cancel) as fleet:
            futures = {device.name: fleet.submit(packed.job(device), device) for device in devices}
            _wait(futures, fleet, context)
    return FleetResult(
        devices=tuple(
            _outcome(device, futures[device.name], earlier, config) for device in devices
        ),
        report=None if config.report is None else str(config.report),
        seconds=(context.clock() - began) / 1e9,
    )


def _wait(futures: Mapping[str, Future[Answer]], fleet: FleetExecutor, context: Context) -> None:
    """Wait for all devices, and show what they do; signals are only heard in this thread."""
    pending, states = dict(futures), dict.fromkeys(futures, "")
    with context.progress.task("fleet", len(futures), "device") as task:
        while pending:
            _show(fleet, states, task, context)
            for name in [name for name, future in pending.items() if future.done()]:
                failure = pending.pop(name).exception()
                states.pop(name)
                task.describe(_joined(states))
                if isinstance(failure, EdgeCVError) and not isinstance(failure, InterruptedByUser):
                    context.progress.note(failure.problem)
                task.advance()
    context.cancel.check()


def _show(fleet: FleetExecutor, states: dict[str, str], task: Task, context: Context) -> None:
    try:
        event = fleet.events.get(timeout=_TICK_SECONDS)
    except queue.Empty:
        return
    if event.note:
        context.progress.note(f"{event.device}: {event.text}")
    elif event.device in states:
        states[event.device] = event.text
        task.describe(_joined(states))


def _joined(states: Mapping[str, str]) -> str:
    """Return what devices do, so many as can be taken in."""
    said = [f"{name}: {text}" for name, text in states.items() if text]
    more = f"; {len(said) - _NAMED} more" if len(said) > _NAMED else ""
    return "; ".join(said[:_NAMED]) + more


def _outcome(
    device: Device, future: Future[Answer], earlier: Earlier, config: BenchmarkConfig
) -> DeviceResult:
    row = DeviceResult(name=device.name, labels=device.labels, address=address(device))
    try:
        answer = future.result()
        measured = judged(device.name, _checked(device, answer), earlier, config)
    except EdgeCVError as error:
        return row.model_copy(update={"error": error.problem, "remedy": error.remedy})
    except Exception as error:  # noqa: BLE001 - the other devices' figures must not be lost
        said = f"{device.name}: met {type(error).__name__}: {error}"
        remedy = "report this as a bug of edgecv"
        return row.model_copy(update={"error": said, "remedy": remedy})
    return row.model_copy(update={"benchmark": measured, "sent_bytes": answer.sent_bytes})


def _checked(device: Device, answer: Answer) -> BenchmarkResult:
    try:
        return BenchmarkResult.model_validate(answer.result)
    except ValidationError as error:
        raise DeviceError(
            f"{device.name}: its result is not one that this version understands",
            remedy="install the same build of edgecv here and on the device",
        ) from error


def address(device: Device) -> str:
    """Return how a device is reached, in words."""
    return f"ssh {device.ssh}" if device.ssh else f"dask {device.dask}" if device.dask else "local"


def _raise_nothing(result: FleetResult) -> None:
    said = "; ".join(str(device.error) for device in result.devices[:_NAMED])
    more = len(result.devices) - _NAMED
    raise DeviceError(
        f"no device gave figures: {said}" + (f"; and {more} more" if more > 0 else ""),
        remedy=result.devices[0].remedy or "run it again",
    )


def _hold_gates(result: FleetResult) -> None:
    said = [f"{device.name}: {gate.text}" for device, gate in result.unmet]
    said += [f"{device.name} gave no figures: {device.error}" for device in result.failed]
    if said:
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        raise GateNotMetError(
            said[0] + more,
            remedy="measure again with a longer --duration if a device was not quiet, bring back "
            "those that gave no figures, or change what --fail-if allows",
            result=result,
        )
