"""What ``demo`` reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.artifact.lineage import Step
from edgecv_cli.core.measurement import Distribution
from edgecv_cli.core.result import Drop, Interval, Part, Result
from edgecv_cli.stages.quantize_result import Layers


class DemoSide(Part):
    """One of the models that are compared; all are measured in one run."""

    map: float = Field(description="COCO mAP50-95 on the built-in validation scenes.")
    map_low: float | None = None
    map_high: float | None = None
    map50: float
    per_class: dict[str, float] = Field(default_factory=dict, description="AP by category.")
    p50_ms: float
    p95_ms: float
    samples: int = Field(description="Inferences that were timed.")
    distribution: Distribution | None = None
    peak_rss_bytes: int | None = None
    size_bytes: int


class DemoResult(Result):
    """Before and after, beside what the stock quantizer gives."""

    baseline: DemoSide
    optimized: DemoSide
    stock: DemoSide | None = Field(
        default=None, description="ONNX Runtime's quantize_static with its stock options."
    )
    recipe: str
    speedup: float = Field(description="time(baseline) / time(optimized), paired by round.")
    speedup_interval: Interval
    stock_speedup: float | None = None
    size_ratio: float
    drop: Drop
    stock_drop: Drop | None = None
    agreement: float | None = None
    pays: bool = Field(description="Whether int8 is shown to be faster on this machine.")
    calibration_images: int
    layers: Layers | None = None
    int8_macs_share: float | None = Field(
        default=None, description="Share of multiply-accumulates in layers that run in integers."
    )
    provenance: tuple[Step, ...] = Field(
        default=(), description="The steps that made the optimized file, oldest first."
    )
    sha256: str | None = Field(default=None, description="Of the optimized file.")
    objects: dict[str, int] = Field(
        default_factory=dict, description="Labelled objects of each category."
    )
    images: int = Field(description="Labelled images behind each mAP.")
    threads: int
    rounds: int
    warnings: tuple[str, ...] = ()
    seconds: float
    output: str
    models: tuple[str, ...]
    pictures: tuple[str, ...]
    report: str = Field(description="Path of the HTML report.")
