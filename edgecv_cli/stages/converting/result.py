"""What a converter reports."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.result import Drop, Interval, Part, Result
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.measure.parity import Parity
from edgecv_cli.stages.baking_result import BakedInput
from edgecv_cli.stages.quantize_result import HowMade, QuantizeResult, Side


class SavedFile(Part):
    """One file that was saved."""

    part: Literal["model", "weights"]
    path: str | None = Field(default=None, description="Absent where a pipeline publishes none.")
    size_bytes: int
    sha256: str


class ConversionResult(Result):
    """The original on ONNX Runtime against what it was converted to."""

    model: str
    family: str
    spec: DetectorSpec | None = Field(
        default=None, description="How the result is fed and read; it stands in the file as well."
    )
    precision: str = Field(description="What most weights are stored in: fp32, fp16 or int8.")
    verified: Literal["ran", "built", "structure"] | None = Field(
        default=None,
        description="How far this machine could verify it: run and compared, compiled for the "
        "device, or read back alone; absent where nothing was made.",
    )
    unverified: str | None = Field(default=None, description="Why it did not go further.")
    parity: Parity | None = Field(default=None, description="Raw outputs against the original's.")
    agreement: float | None = Field(
        default=None, description="Micro-F1 of detections, the original's taken as the truth."
    )
    matched: int | None = None
    missed: int | None = Field(default=None, description="Detections of the original alone.")
    extra: int | None = Field(default=None, description="Detections of the converted alone.")
    baseline: Side
    converted: Side | None = None
    drop: Drop | None = None
    drop_interval: Interval | None = Field(
        default=None, description="Of the drop in points, paired bootstrap over images."
    )
    speedup: float | None = Field(
        default=None, description="time(original, ONNX Runtime) / time(converted, its engine)."
    )
    speedup_interval: Interval | None = None
    size_ratio: float | None = Field(default=None, description="size(original) / size(converted).")
    engine: str = Field(description="What the converted file was run with, as --engine takes it.")
    provider: str | None = Field(default=None, description="What really ran, as it reports.")
    layers: str | None = Field(
        default=None, description="What types layers with weights worked in, as it was observed."
    )
    gates: dict[str, str] = Field(
        default_factory=dict, description="Gate -> what was asked, what came out."
    )
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    how: HowMade
    files: tuple[SavedFile, ...] = Field(default=(), description="What was saved, the model last.")
    saved: str | None = Field(default=None, description="Path of the model; null if refused.")
    sha256: str | None = None
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the saved file, oldest first."
    )
    quantized: QuantizeResult | None = Field(
        default=None, description="How the int8 form was found, where it was made here."
    )
    report: str | None = Field(default=None, description="Path of the HTML report.")
    rejected: str | None = Field(default=None, description="Where a refused result was kept.")

    def to_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; ``saved`` is null when nothing was."""
        return {**super().to_json(), "saved": self.saved}


class TriedInt8(Part):
    """One int8 form that was made of the float model, as it was measured."""

    quantizer: Literal["edgecv", "nncf"]
    map: float | None = None
    agreement: float | None = None
    speedup: float | None = Field(
        default=None, description="time(original, ONNX Runtime) / time(this, its engine)."
    )
    size_bytes: int | None = None
    refused: str | None = Field(default=None, description="Why it can't be kept.")


class ConvertOpenVinoResult(ConversionResult):
    """An OpenVINO IR and what was measured of it."""

    schema_: str = Field(
        default="edgecv.convert-openvino/1", serialization_alias="schema", validation_alias="schema"
    )
    hint: str | None = Field(
        default=None,
        description="INFERENCE_PRECISION_HINT that it was verified with, where that is not f32.",
    )
    quantizer: Literal["edgecv", "nncf"] | None = Field(
        default=None, description="What made the int8 form, where it was made here."
    )
    baked: BakedInput | None = Field(
        default=None, description="How preprocessing was put into the graph, where it was."
    )
    tried: tuple[TriedInt8, ...] = Field(
        default=(), description="The int8 forms that were made, where there were several."
    )
