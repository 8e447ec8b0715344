"""What a fleet reports: each device for itself, for times of two machines make no ratio."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.result import Part, Result
from edgecv_cli.measure.latency_gates import GateOutcome
from edgecv_cli.stages.benchmark_result import BenchmarkResult


class DeviceResult(Part):
    """What one device measured, or why it did not."""

    name: str
    labels: tuple[str, ...]
    address: str = Field(description="How it was reached: ssh and where, dask and where, or local.")
    benchmark: BenchmarkResult | None = Field(
        default=None, description="What was measured there, with the device's own machine."
    )
    sent_bytes: int | None = Field(
        default=None, description="Bytes of files that it did not have yet."
    )
    error: str | None = Field(default=None, description="Why there are no figures.")
    remedy: str | None = Field(default=None, description="What to do about it.")


class FleetResult(Result):
    """The same models, measured on several devices."""

    schema_: str = Field(
        default="edgecv.fleet/1", serialization_alias="schema", validation_alias="schema"
    )
    devices: tuple[DeviceResult, ...]
    seconds: float
    report: str | None = Field(default=None, description="Path of the HTML report.")

    @property
    def failed(self) -> tuple[DeviceResult, ...]:
        """The devices without figures."""
        return tuple(device for device in self.devices if device.benchmark is None)

    @property
    def unmet(self) -> tuple[tuple[DeviceResult, GateOutcome], ...]:
        """The conditions that failed, with their devices."""
        return tuple(
            (device, gate)
            for device in self.devices
            if device.benchmark is not None
            for gate in device.benchmark.gates or ()
            if not gate.met
        )
