"""Operators and precision in the report of a benchmark."""

from __future__ import annotations

from edgecv_cli.measure.latency_result import BenchRun
from edgecv_cli.measure.operator_profile import Operator, OperatorKind, OperatorProfile
from edgecv_cli.report import html
from edgecv_cli.report.blocks import Bars, Heading, Paragraph
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.compose.benchmark import benchmark_document
from edgecv_cli.stages.compose.benchmark_files import benchmark_csv
from edgecv_cli.stages.compose.profile import profile_blocks


def result(**changes):
    run = BenchRun(model="/x/a.onnx", engine="onnxruntime", threads=2, p50_ms=2.0, **changes)
    return BenchmarkResult(runs=(run,), ratios=(), warnings=(), rounds=1, seconds=1)


def profile(**changes):
    operators = tuple(
        Operator(name=name, kind="Conv", precision="int8", ms=1.0, share=share, calls=1)
        for name, share in (("<first>", 0.75), ("second", 0.25))
    )
    kinds = (OperatorKind(kind="Conv", count=2, ms=2.0, share=1.0),)
    facts = {"inferences": 9, "statistic": "mean", "inference_ms": 3.0, "operators_ms": 2.0,
             "operator_count": 2, "precisions": {"int8": 2}, "providers": {}}  # fmt: skip
    return OperatorProfile(operators=operators, kinds=kinds, **{**facts, **changes})


def test_without_a_profile_there_is_no_section():
    assert profile_blocks(result()) == []


def test_operators_are_bars_by_kind_and_by_share():
    blocks = profile_blocks(result(operators=profile(quantize_share=0.1)))

    kinds, slowest = (block for block in blocks if isinstance(block, Bars))
    assert [(bar.label, bar.value, bar.shown) for bar in kinds.bars] == [
        ("Conv", 1.0, "100.0 %, 2 operators")
    ]
    assert [(bar.label, bar.value, bar.shown) for bar in slowest.bars] == [
        ("<first>", 0.75, "75.0 %, Conv, int8"),
        ("second", 0.25, "25.0 %, Conv, int8"),
    ]
    texts = [block.text for block in blocks if isinstance(block, Paragraph)]
    assert any(text.startswith("10.0% of the time goes into converting") for text in texts)
    assert any("2.00 ms when timed" in text and text.startswith("Mean of 9") for text in texts)


def test_precision_alone_is_a_sentence():
    heading, text = profile_blocks(result(precision="int8 2 of 2 weighted layers"))

    assert heading == Heading("Operators", 3)
    assert text == Paragraph("a.onnx on onnxruntime: int8 2 of 2 weighted layers.")


def test_names_of_operators_are_escaped_in_the_page():
    page = html.render(benchmark_document(result(operators=profile())))

    assert "&lt;first&gt;" in page
    assert "<first>" not in page


def test_precision_and_fallbacks_are_columns():
    header, row = benchmark_csv(result(precision="int8 2", float_fallbacks=1)).splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))

    assert (cells["precision"], cells["float_fallbacks"]) == ("int8 2", "1")
