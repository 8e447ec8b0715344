"""The base of every machine-readable result."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgecv_cli.core.version import __version__


class Part(BaseModel):
    """A piece of a result: frozen, and a value that was not measured is absent (None)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Machine(Part):
    """Where something was measured."""

    cpu: str
    cores: int = Field(description="Logical cores this process may use.")
    instruction_sets: tuple[str, ...] = Field(description="Those that int8 kernels care about.")
    memory_bytes: int | None = None
    governor: str | None = None
    os: str
    python: str
    engines: dict[str, str] = Field(default_factory=dict, description="Engine name to version.")
    fingerprint: str = Field(description="Digest of what timings depend on.")


class Drop(Part):
    """How much accuracy was lost against the baseline; negative is a gain."""

    points: float = Field(description="mAP points, 100 times the difference in mAP.")
    relative: float = Field(description="Fraction of the baseline mAP.")


class Interval(Part):
    """An interval that a statistic lies in, and how it was made."""

    low: float
    high: float
    level: float = 0.95
    method: str = "bootstrap"
    resamples: int | None = None


class Result(Part):
    """What a command returns; ``schema`` names its kind and version."""

    schema_: str = Field(serialization_alias="schema", validation_alias="schema")
    edgecv: str = Field(default_factory=lambda: __version__)
    machine: Machine | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints: absent where nothing was measured."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)
