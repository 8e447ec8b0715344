"""The main figures of a stage's result in one line."""

from __future__ import annotations

from functools import singledispatch

from edgecv_cli.core.result import Result
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.convert_trt_result import ConvertTrtResult
from edgecv_cli.stages.converting.result import ConversionResult
from edgecv_cli.stages.detect_result import DetectSummary
from edgecv_cli.stages.distill_result import DistillResult
from edgecv_cli.stages.evaluate_result import EvaluateResult
from edgecv_cli.stages.inspect import InspectResult
from edgecv_cli.stages.prune_result import PruneResult
from edgecv_cli.stages.quantize_result import QuantizeResult
from edgecv_cli.stages.reshape_result import ReshapeResult


@singledispatch
def headline(result: Result) -> str | None:  # noqa: ARG001 - stages register below
    """Return one line of figures; None for a stage that has none to show."""
    return None


@headline.register
def _evaluate(result: EvaluateResult) -> str:
    return f"mAP {result.map:.3f}, mAP50 {result.map50:.3f} on {result.images} images"


@headline.register
def _detect(result: DetectSummary) -> str:
    return f"{result.detections} objects in {result.frames} frames"


@headline.register
def _inspect(result: InspectResult) -> str:
    family = result.detector.family if result.detector else "no detector"
    return f"{family}, {result.precision}, {result.size_bytes / 1e6:.2f} MB"


@headline.register
def _quantize(result: QuantizeResult) -> str:
    return _figures(result.precision, result, result.agreement)


@headline.register
def _distill(result: DistillResult) -> str:
    agreed = result.agreement.after if result.agreement else None
    return _figures(f"{result.steps} updates", result, agreed)


@headline.register
def _reshape(result: ReshapeResult) -> str:
    height, width = result.to_size
    return _figures(f"{height} x {width}", result, result.agreement)


@headline.register
def _prune(result: PruneResult) -> str | None:
    if result.flops_ratio is None:
        return None
    what = f"{100 * result.flops_ratio:.1f} % of the multiply-accumulates"
    return _figures(what, result, result.agreement)


def _figures(
    what: str,
    result: QuantizeResult | DistillResult | ReshapeResult | PruneResult,
    agreement: float | None,
) -> str:
    said = [what]
    if result.drop is not None:
        said.append(f"mAP {-result.drop.points:+.2f} points")
    if agreement is not None:
        said.append(f"agreement {agreement:.3f}")
    if result.speedup is not None:
        said.append(f"{result.speedup:.2f} x as fast")
    if result.size_ratio is not None:
        said.append(f"{result.size_ratio:.1f} x smaller")
    return ", ".join(said)


@headline.register
def _conversion(result: ConversionResult) -> str:
    said = [result.precision, f"verified: {result.verified or 'nothing was made'}"]
    if result.agreement is not None:
        said.append(f"agreement {result.agreement:.3f}")
    if result.drop is not None:
        said.append(f"mAP {-result.drop.points:+.2f} points")
    if result.speedup is not None:
        said.append(f"{result.speedup:.2f} x as fast as ONNX Runtime")
    return ", ".join(said)


@headline.register
def _tensorrt(result: ConvertTrtResult) -> str:
    errors = len(result.errors())
    said = [result.runtime, f"{errors} errors" if errors else "no rule of level error broken"]
    if result.fixed:
        said.append(f"{len(result.fixed)} places fixed")
    if result.checked is not None and result.checked.agreement is not None:
        said.append(f"agreement {result.checked.agreement:.3f}")
    if result.verified is not None:
        said.append(f"verified: {result.verified}")
    return ", ".join(said)


@headline.register
def _benchmark(result: BenchmarkResult) -> str:
    times = [f"{run.p50_ms:.1f}" for run in result.runs if run.p50_ms is not None]
    said = [f"p50 {' / '.join(times)} ms"] if times else ["nothing could be timed"]
    said += [
        f"{ratio.ratio:.2f} x ({ratio.low:.2f} to {ratio.high:.2f})" for ratio in result.ratios
    ]
    return ", ".join(said)
