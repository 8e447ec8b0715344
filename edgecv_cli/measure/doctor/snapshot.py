"""Everything that was looked at, as one value: what the rules read and tests can make up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from edgecv_cli.core.context import Context
from edgecv_cli.core.result import Machine, Part
from edgecv_cli.measure import hardware
from edgecv_cli.measure.doctor import host, packages, probes
from edgecv_cli.measure.doctor.accelerators import Accelerator, accelerators
from edgecv_cli.measure.doctor.packages import Installed, Package
from edgecv_cli.measure.doctor.probes import ChildProbe, Module, Probe, Runtime, Video


class EngineState(Part):
    """An inference engine: installed or not, and whether edgecv runs models on it."""

    name: str
    version: str | None = Field(None, description="Absent where it is not installed.")
    distribution: str | None = Field(None, description="The Python distribution it came in.")
    supported: bool = Field(description="Whether this edgecv runs models on it at all.")
    available: bool = Field(description="Supported, installed, and it did run here.")
    providers: tuple[str, ...] = Field((), description="As the engine itself names them.")
    devices: tuple[str, ...] = Field((), description="What --engine NAME:DEVICE takes.")


@dataclass(frozen=True)
class Snapshot:
    """What was found; nothing is judged yet."""

    machine: Machine
    host: host.Host
    accelerators: tuple[Accelerator, ...] = ()
    distributions: tuple[Installed, ...] = ()
    packages: tuple[Package, ...] = ()
    modules: tuple[Module, ...] = ()
    runtime: Runtime = field(default_factory=Runtime)
    engines: tuple[EngineState, ...] = ()
    video: Video = field(default_factory=Video)


def look(context: Context, probe: Probe | None = None) -> Snapshot:
    """Look at this machine; libraries are touched in a child process only.

    Raises:
        InterruptedByUser: the work is to stop.
    """
    found = packages.installed()
    with (
        context.progress.task("trying what is installed", probes.ASKS, "check") as task,
        ChildProbe(context.cancel, task) as child,
    ):
        asked = probe or child
        modules = probes.modules(asked)
        runtime = probes.runtime(asked)
        devices = probes.engine_devices(asked)
        cv2 = packages.owners(found, "cv2")
        video = probes.video(asked, cv2[0].name if len(cv2) == 1 else None)
    return Snapshot(
        machine=hardware.machine(),
        host=host.host(host.folders()),
        accelerators=accelerators(),
        distributions=found,
        packages=packages.compare(packages.requirements(), found),
        modules=modules,
        runtime=runtime,
        engines=engines(found, devices, runtime),
        video=video,
    )


def engines(
    found: Sequence[Installed], devices: Mapping[str, tuple[str, ...]], runtime: Runtime
) -> tuple[EngineState, ...]:
    """Return the state of every engine that the command line has a name for.

    Args:
        found: the installed distributions.
        devices: engines that edgecv knows how to run, to their devices here.
        runtime: what ONNX Runtime did.
    """
    by_name = {one.name: one for one in found}
    states = []
    for name, distributions in hardware.ENGINE_DISTRIBUTIONS.items():
        one = next((by_name[key] for key in distributions if key in by_name), None)
        ours = name == "onnxruntime"
        states.append(
            EngineState(
                name=name,
                version=one.version if one else None,
                distribution=one.name if one else None,
                supported=name in devices or ours,
                available=bool(devices.get(name)) and (runtime.ran or not ours),
                providers=runtime.providers if ours else (),
                devices=devices.get(name, ()),
            )
        )
    return tuple(states)
