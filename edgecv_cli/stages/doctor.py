"""Say what this machine has and lacks, with what to type; nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from edgecv_cli.core.result import Part, Result
from edgecv_cli.measure.doctor import machine_rules, software_rules
from edgecv_cli.measure.doctor.accelerators import Accelerator
from edgecv_cli.measure.doctor.findings import Finding, apply, required
from edgecv_cli.measure.doctor.host import Host
from edgecv_cli.measure.doctor.packages import Package
from edgecv_cli.measure.doctor.probes import Video
from edgecv_cli.measure.doctor.snapshot import EngineState, Snapshot, look

if TYPE_CHECKING:
    from edgecv_cli.config.doctor import DoctorConfig
    from edgecv_cli.core.context import Context


class Trouble(Part):
    """Why the exit code is 1, in the words of every other error."""

    kind: str
    problem: str
    remedy: str


class DoctorResult(Result):
    """What ``edgecv doctor`` prints."""

    schema_: str = Field(
        default="edgecv.doctor/1", serialization_alias="schema", validation_alias="schema"
    )
    findings: tuple[Finding, ...]
    host: Host
    accelerators: tuple[Accelerator, ...]
    engines: tuple[EngineState, ...]
    packages: tuple[Package, ...] = Field(description="edgecv's own requirements.")
    video: Video
    error: Trouble | None = Field(None, description="Present where a finding is an error.")


def doctor(config: DoctorConfig, context: Context) -> DoctorResult:
    """Look at this machine and judge it; errors are findings, none is raised.

    Raises:
        InterruptedByUser: the work is to stop.
    """
    return judge(look(context), config.require)


def judge(seen: Snapshot, require: Sequence[str] = ()) -> DoctorResult:
    """Apply every rule to what was seen.

    Args:
        seen: the machine, as data.
        require: engines that have to work, as ``NAME`` or ``NAME:DEVICE``.
    """
    findings = (
        *apply(machine_rules.RULES, seen),
        *apply(software_rules.RULES, seen),
        *required(require, seen.engines),
    )
    return DoctorResult(
        machine=seen.machine,
        findings=findings,
        host=seen.host,
        accelerators=seen.accelerators,
        engines=seen.engines,
        packages=seen.packages,
        video=seen.video,
        error=_trouble([finding for finding in findings if finding.level == "error"]),
    )


def _trouble(errors: Sequence[Finding]) -> Trouble | None:
    if not errors:
        return None
    said = "; ".join(f"{finding.name}: {finding.found}" for finding in errors)
    remedy = next((finding.remedy for finding in errors if finding.remedy), None)
    return Trouble(
        kind="doctor", problem=f"edgecv can't work here: {said}", remedy=remedy or "see above"
    )
