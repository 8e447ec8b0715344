"""Reports composed from results: all that was measured, nothing that was not."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from results import TIMES, candidate, evaluated, quantized, side, unmeasured

from edgecv_cli.core.result import Interval, Result
from edgecv_cli.measure.latency_result import BenchRun, Ratio
from edgecv_cli.report.blocks import (
    Bars,
    Block,
    Callout,
    Chain,
    Changes,
    Document,
    Facts,
    Figures,
    Heading,
    Histograms,
    Paragraph,
    Table,
)
from edgecv_cli.report.html import render
from edgecv_cli.stages.benchmark_result import BenchmarkResult
from edgecv_cli.stages.compose.evaluate import evaluate_document
from edgecv_cli.stages.compose.quantize import compose_quantize, quantize_document
from edgecv_cli.stages.compose.step import compose_result


def headings(blocks: list[Block] | tuple[Block, ...]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Heading)]


def only(kind: type, blocks: list[Block] | tuple[Block, ...]):
    found = [block for block in blocks if isinstance(block, kind)]
    assert len(found) == 1
    return found[0]


def text_of(document: Document) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", render(document).partition("<body>")[2]))


def test_a_full_run_has_every_part() -> None:
    assert headings(quantize_document(quantized()).blocks) == [
        "Before and after",
        "Gates",
        "Latency",
        "Accuracy by class",
        "Layers by precision",
        "How it was decided",
        "Lineage",
        "Machine",
    ]


def test_what_was_not_measured_is_absent() -> None:
    document = quantize_document(unmeasured(agreement=None, provenance=()))
    assert headings(document.blocks) == ["Before and after", "Gates", "How it was decided"]
    text = text_of(document)
    assert "None" not in text
    assert "mAP50" not in text
    assert "ms" not in text.split()
    figures = only(Figures, document.blocks).figures
    assert [figure.label for figure in figures] == ["smaller file"]


def test_figures_stand_beside_how_they_were_made() -> None:
    text = text_of(quantize_document(quantized()))
    figures = ("1.25 x", "1.20 to 1.30", "3.50 x", "96.0 %", "0.930")
    made = ("40 images", "11 rounds", "2 threads", "onnxruntime", "pycocotools", "1000 resamples")
    for said in (*figures, *made, "64 calibration images"):
        assert said in text, said


def test_before_and_after_says_the_change() -> None:
    table = next(b for b in compose_quantize(quantized()) if isinstance(b, Table))
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["mAP50-95"] == ("0.500", "0.480", "−2.0 pt")
    assert rows["95 % interval"] == ("0.400 to 0.600", "0.380 to 0.580", "−5.0 to +1.0 pt")
    assert rows["p50"] == ("6.00 ms", "5.50 ms", "−8 %")
    assert rows["file"][2] == "0 %"


def test_the_worst_drop_comes_first_with_its_objects() -> None:
    changes = only(Changes, compose_quantize(quantized())).changes
    assert [change.label for change in changes] == ["cat", "owl", "dog"]
    assert changes[0].detail == "−10.0 points, 12 objects"
    assert changes[2].detail == "+5.0 points, 1 object"


def test_eighty_classes_are_folded() -> None:
    before = {f"class {n}": 0.5 for n in range(80)}
    after = {f"class {n}": 0.5 - n / 1000 for n in range(80)}
    result = quantized(baseline=side(0.5, 6, before), optimized=side(0.4, 5, after), objects=None)
    changes = only(Changes, compose_quantize(result))
    assert len(changes.changes) == 80
    assert changes.changes[0].label == "class 79"
    assert 5 <= changes.open <= 20


def test_the_histograms_are_the_measured_counts() -> None:
    drawn = only(Histograms, compose_quantize(quantized())).series
    assert [series.counts for series in drawn] == [TIMES.counts] * 2
    assert drawn[0].marks == (("p50", 6.0), ("p95", 7.0))
    assert "19 inferences" in drawn[0].detail
    assert "2 of them slower than shown, up to 31.50 ms" in drawn[0].detail


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(1.1, 1.3, "faster"), (0.8, 0.9, "slower"), (0.9, 1.1, "no difference is shown")],
)
def test_a_speed_says_what_its_interval_shows(low: float, high: float, said: str) -> None:
    result = quantized(speedup_interval=Interval(low=low, high=high))
    speed = only(Figures, compose_quantize(result)).figures[0]
    assert speed.detail.startswith(said)


def test_a_refusal_names_its_gate_and_what_was_kept() -> None:
    result = quantized(
        saved=None, sha256=None, provenance=(), rejected="/x/best.onnx",
        candidates=(candidate("min_speedup", "all"), candidate("max_drop")),
    )  # fmt: skip
    callout = compose_quantize(result)[0]
    assert isinstance(callout, Callout)
    assert (callout.word, callout.tone) == ("Refused.", "bad")
    assert "Not met: max drop." in callout.text
    assert "best.onnx" in callout.text


def test_fp32_that_is_kept_is_not_compared_with_itself() -> None:
    result = quantized(precision="fp32", placement=None, estimator=None, layers=None)
    blocks = compose_quantize(result)
    assert "Accuracy by class" not in headings(blocks)
    assert len(only(Histograms, blocks).series) == 1
    assert "Kept fp32." in [block.word for block in blocks if isinstance(block, Callout)]


def test_reasons_are_counted_and_their_layers_named() -> None:
    tables = [block for block in compose_quantize(quantized()) if isinstance(block, Table)]
    reasons = next(table for table in tables if table.header[0].startswith("why"))
    assert reasons.rows == (("feeds the decode tail", "2", "a, b"), ("too small", "1", "c"))
    text = " ".join(b.text for b in compose_quantize(quantized()) if isinstance(b, Paragraph))
    assert "87.5 % of the multiply-accumulates" in text


def test_lineage_goes_from_the_first_file_to_the_saved_one() -> None:
    links = only(Chain, quantize_document(quantized()).blocks).links
    assert [link.title for link in links] == ["the file it began with", "quantize", "net-int8.onnx"]
    assert links[0].facts == (("the model", "0123"),)
    assert dict(links[1].facts)["images"] == "da7a"
    assert links[2].facts == (("sha256 of the file", "5a5a"),)


def test_several_warnings_share_a_callout() -> None:
    blocks = compose_quantize(quantized(warnings=("one", "two")))
    assert ("one", "two") in [block.points for block in blocks if isinstance(block, Callout)]


@pytest.mark.parametrize("result", [quantized(), unmeasured(), evaluated()])
def test_a_result_from_json_gives_the_same_blocks(result: Result) -> None:
    read = type(result).model_validate(json.loads(json.dumps(result.to_json())))
    assert compose_result(read) == compose_result(result)


def test_hostile_names_are_only_text() -> None:
    evil = "<script>alert(1)</script>"
    result = quantized(
        model=f"/x/{evil.replace('/', '')}.onnx", saved=f"{evil}.onnx", notes=(evil,),
        warnings=(evil,), gates={evil: evil},
        baseline=side(0.5, 6, {evil: 0.5}), optimized=side(0.4, 5, {evil: 0.4}),
        objects={evil: 3},
    )  # fmt: skip
    html = render(quantize_document(result))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5


def test_an_evaluation_shows_the_lowest_class_first() -> None:
    document = evaluate_document(evaluated())
    bars = only(Bars, document.blocks).bars
    assert [bar.label for bar in bars] == ["dog", "owl", "cat"]
    assert bars[0].shown == "0.400, 1 object"
    text = text_of(document)
    assert "3 detections of classes that the data does not label" in text
    assert "score 0.01, NMS IoU 0.65" in text
    assert headings(document.blocks) == ["Accuracy by class", "Lineage", "Machine"]


def test_a_benchmark_is_composed_with_what_failed() -> None:
    run = BenchRun(model="/x/a.onnx", engine="onnxruntime", threads=2, p50_ms=6.0, p95_ms=7.0,
                   samples=19, distribution=TIMES)  # fmt: skip
    broken = BenchRun(model="/x/b.onnx", engine="onnxruntime", threads=2, error="it crashed")
    ratio = Ratio(a="/x/a.onnx", b="/x/b.onnx", ratio=2.0, low=1.9, high=2.1)
    result = BenchmarkResult(
        runs=(run, broken), ratios=(ratio,), warnings=(), rounds=8, seconds=3.0
    )
    blocks = compose_result(result)
    assert len(only(Histograms, blocks).series) == 1
    assert "failed: it crashed" in only(Table, blocks).rows[1]
    assert any("2.00 x as fast as a.onnx" in b.text for b in blocks if isinstance(b, Paragraph))


def test_another_kind_of_result_gives_its_facts() -> None:
    class Counted(Result):
        frames_seen: int

    facts = only(Facts, compose_result(Counted(schema_="x/1", frames_seen=3)))
    assert ("frames seen", "3") in facts.facts
