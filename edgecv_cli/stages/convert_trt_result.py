"""What ``convert-trt`` reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.config.conversion import Verified
from edgecv_cli.core.result import Drop, Part, Result
from edgecv_cli.graph.tensorrt.finding import Level
from edgecv_cli.measure.parity import Parity
from edgecv_cli.stages.baking_result import BakedInput
from edgecv_cli.stages.quantize_result import QuantizeResult


class RuleFinding(Part):
    """One place that breaks a rule of TensorRT's."""

    rule: str = Field(description="Name of the rule; `parser`: NVIDIA's own parser or builder.")
    level: Level
    node: str = Field(description="Node or tensor; empty where it is the whole graph.")
    message: str
    remedy: str


class Repaired(Part):
    """One thing that --fix rewrote."""

    rule: str
    node: str
    did: str
    exact: bool = Field(description="Whether the network still computes the same numbers.")


class CheckedAgainst(Part):
    """The fixed model held against the original, both run by ONNX Runtime as Q/DQ is written."""

    images: int
    agreement: float | None = None
    map_original: float | None = Field(default=None, description="COCO mAP50-95 on --data.")
    map_fixed: float | None = None
    drop: Drop | None = None


class WeightsFound(Part):
    """Weights of the model that stand in the engine bit by bit: the precision that it holds."""

    layers: dict[str, int] = Field(description="Layers with weights, by type, such as int8.")
    size_bytes: dict[str, int] = Field(description="Of these weights, by type.")
    unseen: int = Field(description="Layers whose weights stand in another order, or too few.")


class EngineBuilt(Part):
    """An engine, and what is known of it without running it."""

    path: str
    runtime: str
    capabilities: tuple[str, ...] = Field(description="Compute capabilities it was built for.")
    size_bytes: int
    sha256: str
    layers: dict[str, int] = Field(description="Layers of the parsed network, by kind.")
    weights: WeightsFound | None = Field(
        default=None, description="Only for TensorRT-RTX, whose engines can't be asked here."
    )
    precision: str | None = Field(
        default=None, description="What the layers with weights work in, as the engine says."
    )
    parity: Parity | None = Field(
        default=None, description="Outputs against those of ONNX Runtime, where the engine ran."
    )


class Bundled(Part):
    """What a bundle holds for a device that an engine can't be built for here."""

    files: dict[str, str] = Field(description="Name to sha256; SHA256SUMS lists the same.")
    pictures: int = Field(description="Golden inputs with their expected outputs.")
    refused: dict[str, str] = Field(
        description="Releases that the device may have whose rules refuse the model, and why."
    )


class ConvertTrtResult(Result):
    """What breaks TensorRT's rules, what was rewritten, and what was built."""

    schema_: str = Field(
        default="edgecv.convert-trt/1", serialization_alias="schema", validation_alias="schema"
    )
    model: str
    model_sha256: str
    device: str
    runtime: str = Field(description="Whose rules were asked, with the release.")
    precision: str | None = Field(default=None, description="What --precision asked for.")
    found: tuple[RuleFinding, ...] = Field(
        default=(), description="What --fix found; absent without it."
    )
    fixed: tuple[Repaired, ...] = Field(default=(), description="What --fix rewrote.")
    preflight: tuple[RuleFinding, ...] = Field(
        description="What breaks a rule; with --fix, what is left."
    )
    baked: BakedInput | None = Field(
        default=None, description="How preprocessing was put into the graph, where it was."
    )
    quantized: QuantizeResult | None = Field(
        default=None, description="How the int8 form was found, where it was made here."
    )
    checked: CheckedAgainst | None = None
    gates: dict[str, str] = Field(default_factory=dict, description="Each gate with its outcome.")
    engine: EngineBuilt | None = None
    bundle: str | None = Field(
        default=None, description="Folder to build the engine with on the device."
    )
    bundled: Bundled | None = None
    command: str | None = Field(
        default=None, description="What builds the engine on a device with classic TensorRT."
    )
    verified: Verified | None = Field(
        default=None, description="built: NVIDIA's builder took it; structure: only the rules."
    )
    notes: tuple[str, ...] = ()
    saved: str | None = Field(default=None, description="What was written; null if refused.")
    sha256: str | None = Field(default=None, description="Of the saved model.")
    provenance: tuple[Step, ...] = ()

    def errors(self) -> list[RuleFinding]:
        """Return the findings that TensorRT would refuse."""
        return [finding for finding in self.preflight if finding.level == "error"]

    def to_json(self) -> dict[str, object]:
        """Return the object that ``--json`` prints; ``saved`` is null when nothing was."""
        return {**super().to_json(), "saved": self.saved}
