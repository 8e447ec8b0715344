"""What ``demo`` reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.result import Drop, Interval, Part, Result


class DemoSide(Part):
    """One of the models that are compared; all are measured in one run."""

    map: float = Field(description="COCO mAP50-95 on the built-in validation scenes.")
    map_low: float | None = None
    map_high: float | None = None
    map50: float
    p50_ms: float
    p95_ms: float
    samples: int = Field(description="Inferences that were timed.")
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
    images: int = Field(description="Labelled images behind each mAP.")
    threads: int
    rounds: int
    warnings: tuple[str, ...] = ()
    seconds: float
    output: str
    models: tuple[str, ...]
    pictures: tuple[str, ...]
    report: str = Field(description="Path of the HTML report.")
