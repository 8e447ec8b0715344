"""What a benchmark reports."""

from __future__ import annotations

from pydantic import Field

from edgecv_cli.core.measurement import Distribution, LatencySummary
from edgecv_cli.core.result import Interval, Part
from edgecv_cli.measure.end_to_end import EndToEnd
from edgecv_cli.measure.energy import EnergyUse
from edgecv_cli.measure.machine.conditions import Conditions
from edgecv_cli.measure.operator_profile import OperatorProfile
from edgecv_cli.measure.scenarios import ScenarioOutcome
from edgecv_cli.measure.throughput import Throughput


class BenchRun(Part):
    """One model on one engine; a figure that was not measured is absent."""

    model: str
    engine: str
    provider: str | None = Field(
        default=None, description="What really ran, as the engine reports it."
    )
    threads: int = Field(description="Threads the engine was given.")
    affinity: tuple[int, ...] | None = Field(
        default=None, description="Logical cores that it was kept on."
    )
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    fps: float | None = Field(
        default=None, description="Images a second, one inference after the other."
    )
    batch: int | None = Field(
        default=None, description="Images of one inference, which every time here is that of."
    )
    samples: int | None = Field(default=None, description="Inferences that were timed.")
    rounds: int | None = Field(default=None, description="Blocks that the samples were taken in.")
    launches: int | None = Field(
        default=None, description="Processes that the rounds were taken in, one after the other."
    )
    outliers: int | None = Field(
        default=None,
        description="Samples slower than the upper quartile by over 3 interquartile ranges; they "
        "count like any other.",
    )
    spread: float | None = Field(
        default=None, description="Interquartile range of the samples as a fraction of the median."
    )
    distribution: Distribution | None = None
    intervals: dict[str, Interval] | None = Field(
        default=None,
        description="95 % intervals of the times and fps, by bootstrap over launches and rounds.",
    )
    first_inference_ms: float | None = Field(default=None, description="Median over launches.")
    load_ms: float | None = Field(
        default=None,
        description="Loading the model in a fresh process, the engine's import included; median "
        "over launches.",
    )
    loads_from_cache: int | None = Field(
        default=None,
        description="Launches that took the compiled model from the engine's model cache; absent "
        "where --model-cache was not given, and then load_ms is that of a load without it.",
    )
    peak_rss_bytes: int | None = Field(
        default=None, description="Largest resident set of the child process, interpreter included."
    )
    size_bytes: int | None = None
    map: float | None = Field(default=None, description="COCO mAP, measured with this engine.")
    map_low: float | None = Field(default=None, description="Lower end of its bootstrap interval.")
    map_high: float | None = Field(default=None, description="Upper end of its bootstrap interval.")
    energy: EnergyUse | None = None
    end_to_end: EndToEnd | None = None
    throughput: Throughput | None = None
    scenario: ScenarioOutcome | None = None
    precision: str | None = Field(
        default=None,
        description="What types the layers with weights work in, as the engine shows it: of files "
        "that hold quantized layers, and with --profile.",
    )
    float_fallbacks: int | None = Field(
        default=None, description="Layers that the file quantizes and that ran in float."
    )
    operators: OperatorProfile | None = Field(
        default=None, description="Where the time goes; with --profile."
    )
    error: str | None = Field(default=None, description="Why there are no figures.")


class Ratio(Part):
    """How much faster ``b`` is than ``a``, paired by round."""

    a: str
    b: str
    ratio: float = Field(
        description="time(a) / time(b): above 1, b is faster. Mean over launches of the "
        "interquartile mean over rounds, of logarithms."
    )
    low: float = Field(description="Lower end of the 95 % interval over launches and rounds.")
    high: float


class LatencyResult(Part):
    """What a benchmark measured, in the order that was asked for."""

    runs: tuple[BenchRun, ...]
    ratios: tuple[Ratio, ...]
    warnings: tuple[str, ...]
    rounds: int
    launches: int
    conditions: Conditions | None = None
    seconds: float = Field(description="Wall time of the whole benchmark.")


class SpeedResult(Part):
    """How much faster a candidate is than its baseline, and from what that was taken."""

    ratio: float = Field(description="time(baseline) / time(candidate): above 1 is faster.")
    low: float
    high: float
    baseline: LatencySummary
    candidate: LatencySummary
    rounds: int
    warnings: tuple[str, ...] = ()
