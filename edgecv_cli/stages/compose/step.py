"""The blocks of any command's result, for a report that joins several."""

from __future__ import annotations

from collections.abc import Sequence

from edgecv_cli.core.result import Result
from edgecv_cli.report.blocks import Block, Facts
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.compose.benchmark import compose_benchmark
from edgecv_cli.stages.compose.convert import compose_conversion
from edgecv_cli.stages.compose.evaluate import compose_evaluate
from edgecv_cli.stages.compose.quantize import compose_quantize
from edgecv_cli.stages.converting.result import ConversionResult
from edgecv_cli.stages.evaluate_result import EvaluateResult
from edgecv_cli.stages.quantize_result import QuantizeResult


def compose_result(result: Result, pictures: Sequence[Block] = ()) -> list[Block]:
    """Return a result's blocks, without lineage and machine; of a kind that has none, its facts."""
    match result:
        case QuantizeResult():
            return compose_quantize(result, pictures)
        case ConversionResult():
            return compose_conversion(result, pictures)
        case EvaluateResult():
            return compose_evaluate(result, pictures)
        case BenchmarkResult():
            return compose_benchmark(result)
        case _:
            return [_facts(result)]


def _facts(result: Result) -> Facts:
    plain = result.to_json()
    return Facts(
        tuple(
            (name.replace("_", " "), str(value))
            for name, value in plain.items()
            if isinstance(value, str | int | float)
        )
    )
