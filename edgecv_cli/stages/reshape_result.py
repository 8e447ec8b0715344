"""What ``reshape`` reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.result import Drop, Interval, Result
from edgecv_cli.stages.baking_result import BakedInput
from edgecv_cli.stages.quantize_result import HowMade, Side


class ReshapeResult(Result):
    """A detector at its old and at its new input size, and the evidence for it."""

    schema_: str = Field(
        default="edgecv.reshape/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    family: str
    from_size: tuple[int, int] = Field(description="[height, width] that the original ran at.")
    to_size: tuple[int, int] = Field(description="[height, width] of the result.")
    nms: str | None = Field(
        default=None,
        description="onnx or trt where NMS was put into the graph, none where it was taken out.",
    )
    baked: BakedInput | None = Field(
        default=None, description="How preprocessing was put into the graph, where it was."
    )
    verified: str = Field(default="ran", description="ran, or structure of what can't run here.")
    baseline: Side
    optimized: Side
    drop: Drop | None = None
    drop_interval: Interval | None = Field(
        default=None, description="Of the drop in points, paired bootstrap over images."
    )
    agreement: float | None = Field(
        default=None, description="Micro-F1 of detections, the original's taken as the truth."
    )
    speedup: float | None = Field(default=None, description="time(baseline) / time(optimized).")
    speedup_interval: Interval | None = None
    size_ratio: float = Field(description="size(baseline) / size(optimized), in bytes.")
    gates: dict[str, str] = Field(
        default_factory=dict, description="Gate -> what was asked, what came out."
    )
    warnings: tuple[str, ...] = ()
    how: HowMade
    saved: str | None = Field(default=None, description="Path of the artifact; null if refused.")
    sha256: str | None = None
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the saved file, oldest first."
    )

    def to_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; ``saved`` is null when nothing was."""
        return {**super().to_json(), "saved": self.saved}
