"""What ``quantize --sensitivity`` returns."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.compress.quantization.sensitivity import Sensitivity
from edgecv_cli.core.result import Result


class SensitivityResult(Result):
    """What ``quantize --sensitivity`` measures."""

    schema_: str = Field(
        default="edgecv.sensitivity/1",
        serialization_alias="schema",
        validation_alias="schema",
    )
    model: str
    target: str
    precision: str = Field(description="Of the groups that are in integers.")
    placement: str
    estimator: str
    sensitivity: Sensitivity
    seconds: float = Field(description="Time that the groups took, without calibration.")
    report: str | None = None
    warnings: tuple[str, ...] = ()
